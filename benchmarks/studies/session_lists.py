"""Recommendation lists of several models for one session, and for many.

Table 7.5: cumulative distance, in the embeddings of the base model, between
the target of one test session and the other items that several models
recommend; figure B.2: a map of these recommendations. And for many test
sessions the same distance, as a mean over the list, against that of the base.
"""

from typing import Any, Dict, List, Optional

import matplotlib.pyplot as plt
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.experiments import plots, study
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.options import positive
from benchmarks.experiments.report import interval
from benchmarks.experiments.results import Table, rows
from benchmarks.studies import samples
from pyg_sessaug.comparison import paired_bootstrap
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.metrics import top_items
from pyg_sessaug.nn import SessionModel
from pyg_sessaug.transforms import NormalizeEdges

K = 20
SHOWN = 6


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments('session_lists', __doc__)
    samples.add_arguments(parser)
    add = parser.add_argument
    add('--methods', nargs='+', type=method, metavar='METHOD',
        default=['base', 'i2i', 'category', 'gmm', 'kmeans'],
        help='models to compare, by their names in run.py')  # fmt: skip
    add('--sessions', type=positive, default=5000,
        help='test sessions to compare on')  # fmt: skip
    add('--points', type=positive, default=3000, help='items on the map')
    args = study.start(parser, argv)
    names = list(dict.fromkeys(['base', 'i2i', *args.methods]))
    runs = study.experiment(args, names)
    test = runs.data['test']
    one = samples.choose(args, runs)
    many = samples.draw_samples(test, args.sessions)
    sessions = test.flat_sessions
    target = sessions.item[sessions.target]
    many = many[test.seen_items[target[many]]]
    index = torch.cat([torch.tensor([one]), many])
    embedding = study.model(runs).item_embedding.detach()
    lists, lengths, goal = {}, {}, int(target[one])
    for name in names:
        items = recommend(study.model(runs, name), test[index])
        lists[name] = items[0].tolist()
        lengths[name] = list_distance(embedding, items, target[index])
    results = {
        'session': samples.describe(test, one),
        'lists': {
            name: {
                'target_at': _place(items, goal),
                'cumulative': cumulative(lengths[name][0]),
            }
            for name, items in lists.items()
        },
        'sessions': many.numel(),
        'mean': compare({x: lengths[x][1:] for x in names}),
    }
    session = samples.clicks_and_target(test, one)
    figure = plot(embedding, test.seen_items, lists, session, args.points)
    study.write(args, results, table(results), figure)


def method(name: str) -> str:
    return parse_method(name).name


@torch.no_grad()
def recommend(net: SessionModel, data: Any) -> Tensor:
    """The first 20 items of each sample, ``[num_samples, 20]``."""
    loader = SessionLoader(data, 100, transform=NormalizeEdges())
    bar = tqdm(loader, 'recommend', leave=False, delay=5, disable=None)
    return torch.cat([top_items(net.score(x), K)[1] for x in bar])


def list_distance(embedding: Tensor, items: Tensor, target: Tensor) -> Tensor:
    """Distance of listed items to the target, NaN for the target itself.

    Args:
        embedding: Where the items lie, ``[num_items, d]``.
        items: Listed items, ``[num_samples, k]``.
        target: ``[num_samples]``.
    """
    parts = []
    for own, goal in zip(items.split(500), target.split(500)):
        gap = embedding[own].double() - embedding[goal].double().unsqueeze(1)
        parts.append(gap.norm(dim=2))
    distance = torch.cat(parts)
    return distance.masked_fill(items == target.unsqueeze(1), torch.nan)


def cumulative(distance: Tensor) -> List[float]:
    """Sums over the list without the target."""
    return distance[~distance.isnan()].cumsum(0).tolist()


def compare(lengths: Dict[str, Tensor]) -> Dict[str, Dict[str, float]]:
    """Mean distance of a list, and its difference to that of the base."""
    mean = {name: x.nanmean(dim=1) for name, x in lengths.items()}
    out = {name: {'mean': float(x.mean())} for name, x in mean.items()}
    others = [name for name in mean if name != 'base']
    found = paired_bootstrap(
        torch.stack([mean[name] - mean['base'] for name in others]),
        torch.arange(mean['base'].numel()),
    )
    for i, name in enumerate(others):
        for key in ('difference', 'low', 'high'):
            out[name][key] = float(getattr(found, key)[i])
    return out


def table(results: Dict[str, Any]) -> Table:
    found = [
        {'name': name, **row, **results['mean'][name]}
        for name, row in results['lists'].items()
    ]
    cells = [('model', '{name}'), ('target at', '{target_at}')]
    cells += [(f'{i + 1}', f'{{cumulative[{i}]:.3f}}') for i in range(SHOWN)]
    cells += [
        ('all', lambda x: f'{x["cumulative"][-1]:.3f}'),
        ('mean, many sessions', '{mean:.4f}'),
        ('difference to base [95 %]', lambda x: interval(x, 4)),
    ]
    return rows(found, cells)


def plot(
    embedding: Tensor,
    seen: Tensor,
    lists: Dict[str, List[int]],
    session: Tensor,
    num_points: int,
) -> Any:
    """A map of items with the recommendations of each model."""
    shown = torch.tensor([*session, *(i for x in lists.values() for i in x)])
    others = seen.nonzero().view(-1)
    others = others[torch.randperm(others.numel())[:num_points]]
    item = torch.cat([shown, others]).unique()
    point = dict(zip(item.tolist(), plots.tsne(embedding[item]).tolist()))
    columns = min(3, len(lists))
    lines = -(-len(lists) // columns)
    size, shared = (9, 0.6 + 3.1 * lines), {'sharex': True, 'sharey': True}
    fig, axes = plots.panels(lines, columns, size, squeeze=False, **shared)
    for axis in axes.flat[len(lists) :]:
        axis.axis('off')
    near = torch.tensor([point[i] for i in [*lists['base'], int(session[-1])]])
    low, high = near.amin(dim=0), near.amax(dim=0)
    margin = 0.15 * (high - low).clamp(min=0.5)
    limits = list(zip((low - margin).tolist(), (high + margin).tolist()))
    # Details stand in the corner that is farthest from where they are.
    every = torch.tensor(list(point.values()))
    middle = (every.amin(dim=0) + every.amax(dim=0)) / 2
    left, bottom = torch.where(low + high > 2 * middle, 0.02, 0.53).tolist()
    for i, (axis, (name, items)) in enumerate(zip(axes.flat, lists.items())):
        axis.set(title=name, xlabel='t-SNE 1', ylabel='t-SNE 2')
        axis.label_outer()
        inset = axis.inset_axes(
            (left, bottom, 0.45, 0.45), xlim=limits[0], ylim=limits[1],
            xticks=[], yticks=[],
        )  # fmt: skip
        for place, size in ((axis, 30), (inset, 110)):
            _draw(place, point, items, session, size, i)
        axis.indicate_inset_zoom(inset, edgecolor='k')
    handles = [
        plt.Line2D([], [], ls='', marker=marker, color=color, label=label)
        for marker, color, label in (
            ('o', '#888888', 'recommended (larger: higher in the list)'),
            ('+', 'k', 'clicked'),
            ('*', 'k', 'target'),
            ('.', '#cccccc', 'other items'),
        )
    ]
    labels = [x.get_label() for x in handles]
    plots.legend_below(fig, handles=handles, labels=labels, ncols=4)
    fig.suptitle('Recommendations for one session, in the base model’s space')
    return fig


def _draw(
    axis: Any,
    point: Dict[int, List[float]],
    items: List[int],
    session: Tensor,
    size: float,
    number: int,
) -> None:
    axis.scatter(*zip(*point.values()), s=2, c='#cccccc', lw=0)
    # The first of the list last, so that it is on top.
    for place in reversed(range(len(items))):
        axis.scatter(
            *point[items[place]], s=size * (1 - place / len(items)) + 5,
            marker=plots.MARKERS[number % 8], alpha=0.7, ec='k', lw=0.4,
            color=plots.COLORS[1 + number % 6],
        )  # fmt: skip
    clicks = [point[i] for i in session[:-1].tolist()]
    axis.scatter(*zip(*clicks), marker='+', c='k', s=45, lw=1.2)
    axis.scatter(*point[int(session[-1])], marker='*', c='k', s=110, ec='w',
                 lw=0.6)  # fmt: skip


def _place(items: List[int], target: int) -> Optional[int]:
    return items.index(target) + 1 if target in items else None


if __name__ == '__main__':
    study.call(main)
