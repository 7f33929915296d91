"""Does a Gaussian mixture tell clusters of different sizes apart?"""

import math
from typing import List, Optional, Tuple

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from benchmarks.experiments import study
from benchmarks.studies.maps import scatter
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
    add('--points', type=study.positive, default=1000, help='of a mouse')
    add('--repeats', type=study.positive, default=20, help='mice to draw')
    args = study.start(parser, argv)
    mice = [draw_mouse(args.points) for _ in range(args.repeats)]
    labels = {
        method: [
            match(ItemClusters.fit(points, method, len(DISCS)).labels, truth)
            for points, truth in mice
        ]
        for method in METHODS
    }
    scores = {
        method: [
            compare(label, truth) for label, (_, truth) in zip(found, mice)
        ]
        for method, found in labels.items()
    }
    lines = [
        ['clusters', 'points in the right part (%)', 'adjusted Rand index']
    ]
    for method, values in scores.items():
        right, rand = (sum(x) / len(values) for x in zip(*values))
        lines.append([METHODS[method], f'{100 * right:.1f}', f'{rand:.3f}'])
    results = {
        method: [{'right': x, 'rand_index': y} for x, y in values]
        for method, values in scores.items()
    }

    figure, axes = plt.subplots(1, 3, figsize=(8, 3), layout='constrained')
    points, truth = mice[0]
    shown = [('Mouse', truth)]
    shown += [(METHODS[method], labels[method][0]) for method in METHODS]
    for axis, (title, label) in zip(axes, shown):
        scatter(axis, points, label, list(DISCS), title, legend=False)
        axis.set(xlabel='x', ylabel='y', aspect='equal')
    handles = axes[0].get_legend_handles_labels()[0]
    figure.legend(
        handles, DISCS, loc='outside lower center', ncols=3, frameon=False
    )
    study.write(args, results, lines, figure)


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


def compare(label: Tensor, truth: Tensor) -> Tuple[float, float]:
    """Share of points with the right label, and adjusted Rand index."""
    from sklearn.metrics import adjusted_rand_score

    right = float((label == truth).double().mean())
    return right, float(adjusted_rand_score(truth.numpy(), label.numpy()))


if __name__ == '__main__':
    study.call(main)
