"""Does a Gaussian mixture tell clusters of different sizes apart?"""

import math
from statistics import mean
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor

from benchmarks.experiments import study
from benchmarks.experiments.options import positive
from benchmarks.experiments.plots import legend_below, panels, scatter
from benchmarks.experiments.results import Table, rows
from pyg_sessaug.clusters import ItemClusters

# A head and two ears: centre, radius and share of the points.
DISCS = {
    'head': ((0.0, 0.0), 1.0, 0.6),
    'left ear': ((-1.05, 1.1), 0.45, 0.2),
    'right ear': ((1.05, 1.1), 0.45, 0.2),
}
METHODS = {'kmeans': 'KMeans', 'gmm': 'EM'}


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments(
        'mouse',
        'Figure 4.3: KMeans and expectation maximization on the Mouse data, '
        'three discs of two sizes, generated here.',
        data=False,
    )
    add = parser.add_argument
    add('--points', type=positive, default=1000, help='of a mouse')
    add('--repeats', type=positive, default=20, help='mice to draw')
    args = study.start(parser, argv)
    mice = [draw_mouse(args.points) for _ in range(args.repeats)]
    labels, results = {}, {}
    for method in METHODS:
        labels[method] = [
            match(ItemClusters.fit(points, method, len(DISCS)).labels, truth)
            for points, truth in mice
        ]
        pairs = zip(labels[method], mice)
        results[method] = [compare(x, truth) for x, (_, truth) in pairs]

    figure, axes = panels(1, 3, (8, 3))
    points, truth = mice[0]
    shown = [('Mouse', truth)]
    shown += [(METHODS[method], labels[method][0]) for method in METHODS]
    for axis, (title, label) in zip(axes, shown):
        scatter(axis, points, label, list(DISCS), title, legend=False)
        axis.set(xlabel='x', ylabel='y', aspect='equal')
    handles = axes[0].get_legend_handles_labels()[0]
    legend_below(figure, handles=handles, labels=DISCS, ncols=3)
    study.write(args, results, table(results), figure)


def table(results: Dict[str, Any]) -> Table:
    found = [
        {
            'name': name,
            'right': mean(x['right'] for x in results[method]),
            'rand': mean(x['rand_index'] for x in results[method]),
        }
        for method, name in METHODS.items()
    ]
    cells = [
        ('clusters', '{name}'),
        ('points in the right part (%)', '{right:.1%}'),
        ('adjusted Rand index', '{rand:.3f}'),
    ]
    return rows(found, cells)


def draw_mouse(num_points: int) -> Tuple[Tensor, Tensor]:
    """Points spread evenly over each disc, ``[N, 2]``, and their discs."""
    centers, radii, shares = zip(*DISCS.values())
    size = (torch.tensor(shares) * num_points).round().long()
    size[0] = num_points - size[1:].sum()
    disc = torch.repeat_interleave(size)
    radius = torch.tensor(radii)[disc] * torch.rand(num_points).sqrt()
    angle = 2 * math.pi * torch.rand(num_points)
    offset = torch.stack([angle.cos(), angle.sin()], dim=1)
    return torch.tensor(centers)[disc] + radius.unsqueeze(1) * offset, disc


def match(label: Tensor, truth: Tensor) -> Tensor:
    """The clusters numbered so that most points have their disc's number."""
    from scipy.optimize import linear_sum_assignment

    k = len(DISCS)
    count = torch.bincount(k * label + truth, minlength=k * k).view(k, k)
    _, disc = linear_sum_assignment(count.numpy(), maximize=True)
    return torch.from_numpy(disc)[label]


def compare(label: Tensor, truth: Tensor) -> Dict[str, float]:
    """Share of points with the right label, and adjusted Rand index."""
    from sklearn.metrics import adjusted_rand_score

    right = float((label == truth).double().mean())
    rand = float(adjusted_rand_score(truth.numpy(), label.numpy()))
    return {'right': right, 'rand_index': rand}


if __name__ == '__main__':
    study.call(main)
