"""One session among the modes of the items.

Figure 7.1: the region of the items' latent space around one test session,
coloured by mode (cluster), the clicks of the session connected by arrows; and
the modes of its items beside the share of test sessions that stay in one.
"""

from typing import Any, Dict, List, Optional

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from benchmarks.experiments import plots, study
from benchmarks.experiments.options import positive
from benchmarks.experiments.results import Table, rows
from benchmarks.studies import samples
from benchmarks.studies.measures import fit, within_share

ARROW = {'arrowstyle': '->', 'connectionstyle': 'arc3,rad=0.15', 'lw': 1.2}
ARROW |= {'shrinkA': 3, 'shrinkB': 3}


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments('session_modes', __doc__)
    samples.add_arguments(parser)
    add = parser.add_argument
    add('--clusters', choices=('gmm', 'kmeans'), default='gmm', help='modes')
    add('--num-clusters', type=positive, default=8, help='their number')
    add('--points', type=positive, default=4000, help='items on the map')
    args = study.start(parser, argv)
    runs = study.experiment(args, ['base', 'i2i'])
    test = runs.data['test']
    index = samples.choose(args, runs)
    embedding = study.model(runs).item_embedding.detach()
    clusters, _ = fit(runs, embedding, args.clusters, args.num_clusters)
    session = samples.clicks_and_target(test, index)
    results = {
        'session': samples.describe(test, index),
        'modes': clusters.labels[session[:-1]].add(1).tolist(),
        'target_mode': int(clusters.labels[session[-1]]) + 1,
        'within': within_share(clusters.labels, test.flat_sessions),
    }
    torch.manual_seed(args.seed)
    seen = test.seen_items.nonzero().view(-1)
    others = seen[torch.randperm(seen.numel())[: args.points]]
    item = torch.cat([session, others]).unique()
    figure = plot(
        plots.tsne(embedding[item]),
        clusters.labels[item],
        torch.searchsorted(item, session),
    )
    study.write(args, results, table(results), figure)


def table(results: Dict[str, Any]) -> Table:
    cells = [
        ('modes of the clicks', lambda x: ' '.join(map(str, x['modes']))),
        ('of the target', '{target_mode}'),
        ('sessions in one mode (%)', '{within:.1%}'),
    ]
    return rows([results], cells)


def plot(point: Tensor, label: Tensor, session: Tensor) -> Any:
    """Two maps: of all items, and of those around the session.

    Args:
        point: Place of each item shown, ``[N, 2]``.
        label: Its mode, ``[N]``.
        session: Places in these of the clicks and the target.
    """
    fig, axes = plots.panels(1, 2, (9, 4.6))
    for axis, size in zip(axes, (4, 14)):
        for mode in label.unique().tolist():
            axis.scatter(
                *point[label == mode].t(), s=size, lw=0, alpha=0.8,
                color=plots.COLORS[mode % 8], marker=plots.MARKERS[mode % 8],
                label=f'mode {mode + 1}',
            )  # fmt: skip
        clicks = point[session[:-1]]
        for a, b in zip(clicks[:-1].tolist(), clicks[1:].tolist()):
            if a != b:
                axis.annotate('', b, a, arrowprops=ARROW)
        axis.scatter(*clicks.t(), s=60, fc='none', ec='k', lw=1.3)
        axis.scatter(*point[session[-1]], marker='*', c='k', s=120, ec='w',
                     lw=0.6)  # fmt: skip
        axis.set(xlabel='t-SNE 1', ylabel='t-SNE 2')
    low, high = point[session].amin(dim=0), point[session].amax(dim=0)
    margin = 0.15 * (high - low).clamp(min=1.0)
    low, high = low - margin, high + margin
    x, y = zip(low.tolist(), high.tolist())
    axes[1].set(xlim=x, ylim=y, title='Around the session')
    style = {'fc': 'none', 'ec': 'k', 'ls': '--'}
    frame = plt.Rectangle(low.tolist(), *(high - low).tolist(), **style)
    axes[0].add_patch(frame)
    axes[0].set_title('Items and their modes')
    handles, names = axes[0].get_legend_handles_labels()
    for marker, name, fill in (('o', 'click', 'none'), ('*', 'target', 'k')):
        mark = plt.Line2D([], [], ls='', marker=marker, mec='k', mfc=fill)
        handles.append(mark)
        names.append(name)
    plots.legend_below(
        fig, handles=handles, labels=names, ncols=5, markerscale=1.5
    )
    return fig


if __name__ == '__main__':
    study.call(main)
