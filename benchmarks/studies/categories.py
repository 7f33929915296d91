"""Do sessions of several categories differ?"""

from typing import Any, Dict, List, Optional

import torch
from torch import Tensor
from torch.utils.data import Subset

from benchmarks.experiments import study
from benchmarks.experiments.options import positive
from benchmarks.experiments.plots import panels, scatter, tsne
from benchmarks.experiments.report import interval
from benchmarks.experiments.results import Table, rows
from benchmarks.studies.samples import (
    draw_samples,
    neighbor_share,
    several_categories,
)
from pyg_sessaug.comparison import gains, per_session
from pyg_sessaug.evaluation import session_vectors

# HR@20 and MRR@20 in Table 5.1, of one category and of several.
THESIS = {
    'diginetica': ((52.87, 46.80), (19.61, 14.39)),
    'yoochoose': ((56.27, 55.15), (26.06, 23.86)),
}


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments(
        'categories',
        'Table 5.1: HR@20 and MRR@20 of test sessions of one category and of '
        'several. Figures 5.1, 5.2 and B.1: maps of their vectors, coloured '
        'by that and by hit or miss.',
    )
    parser.add_argument(
        '--samples', type=positive, default=4000,
        help='sessions on the maps, one prefix of each',
    )  # fmt: skip
    args = study.start(parser, argv)
    runs = study.experiment(args)
    base, test = study.model(runs), runs.data['test']
    rank = runs.run(args.seed, runs.methods[0])['rank']
    several = several_categories(test)
    gain = {key: x[0] for key, x in gains([rank]).items()}
    groups = {
        reading: compare_groups(gain, label, per_session(test))
        for reading, label in several.items()
    }
    overall = {key: 100 * float(x.mean()) for key, x in gain.items()}
    thesis = THESIS.get(args.dataset) if args.fraction == 1 else None
    results = {'overall': overall, 'groups': groups}
    study.write(args, results, table(groups, overall, thesis))

    drawn = draw_samples(test, args.samples)
    vectors = session_vectors(base, Subset(test, drawn.tolist()))
    label = {
        'one or several categories': several['clicks seen'][drawn],
        'miss or hit': rank[drawn] <= 20,
    }
    near = {
        name: dict(zip(('same', 'chance'), neighbor_share(vectors, x)))
        for name, x in label.items()
    }
    cells = [
        ('label', '{name}'),
        ('same among the 10 nearest (%)', '{same:.1%}'),
        ('by chance (%)', '{chance:.1%}'),
    ]
    lines = rows([{'name': name, **x} for name, x in near.items()], cells)
    figure = draw(tsne(vectors), label, type(test).__name__)
    study.write(args, {'neighbors': near}, lines, figure, 'categories_maps')


def compare_groups(
    gain: Dict[str, Tensor],
    several: Tensor,
    session: Tensor,
    num_draws: int = 2000,
) -> Dict[str, Any]:
    """Metrics of both groups, in percent, and their difference.

    The interval holds the middle 95 % of the differences over resamples of
    whole sessions.

    Args:
        gain: What each sample adds to each metric, ``[num_samples]``.
        several: Group of each sample, ``[num_samples]`` bool.
        session: Session of each sample, ``[num_samples]``.
        num_draws: Number of resamples.
    """
    groups = torch.stack([~several, several], dim=1).double()
    # Samples, and what they add to each metric, by session and group:
    parts = [groups, *(groups * x.unsqueeze(1) for x in gain.values())]
    num_sessions = int(session.max()) + 1
    total = torch.zeros(num_sessions, 2 * len(parts)).double()
    total.index_add_(0, session, torch.cat(parts, dim=1))
    draws = []
    for _ in range(num_draws):
        drawn = torch.randint(num_sessions, (num_sessions,))
        count = drawn.bincount(minlength=num_sessions).double()
        draws.append(count @ total)
    draw = torch.stack([total.sum(dim=0), *draws]).view(-1, len(parts), 2)
    mean = 100 * draw[:, 1:] / draw[:, :1]
    difference = mean[..., 1] - mean[..., 0]
    bounds = difference.new_tensor([0.025, 0.975])
    low, high = difference[1:].quantile(bounds, dim=0).tolist()
    result: Dict[str, Any] = {'one_share': float(groups[:, 0].mean())}
    for i, metric in enumerate(gain):
        result[metric] = {
            'one': float(mean[0, i, 0]),
            'several': float(mean[0, i, 1]),
            'difference': float(difference[0, i]),
            'low': low[i],
            'high': high[i],
        }
    return result


def table(groups: Any, overall: Any, thesis: Any) -> Table:
    found = [{'reading': x, **group} for x, group in groups.items()]
    cells = [('categories of', '{reading}')]
    cells.append(('one category (% of samples)', '{one_share:.1%}'))
    for metric in overall:
        cells += [
            (f'{metric} one', f'{{{metric}[one]:.2f}}'),
            ('several', f'{{{metric}[several]:.2f}}'),
            ('difference [95 %]', lambda x, y=metric: interval(x[y])),
        ]
    lines = rows(found, cells)
    if thesis is not None:
        line = ['thesis', '–']
        for one, more in thesis:
            line += [f'{one:.2f}', f'{more:.2f}', f'{more - one:+.2f}']
        lines.append(line)
    line = ['all samples', '–']
    for value in overall.values():
        line += [f'{value:.2f}', f'{value:.2f}', '–']
    return [*lines, line]


def draw(points: Tensor, label: Dict[str, Tensor], name: str) -> Any:
    figure, axes = panels(1, 2, (8, 4.4))
    texts = (
        ('Categories of the clicks', ('one', 'several')),
        ('Target among the first 20', ('miss', 'hit')),
    )
    for axis, x, (title, names) in zip(axes, label.values(), texts):
        scatter(axis, points, x, names, title)
    figure.suptitle(f'Vectors of {len(points):,} test sessions of {name}')
    return figure


if __name__ == '__main__':
    study.call(main)
