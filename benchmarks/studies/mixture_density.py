"""What does a multimodal distribution of items look like?"""

import os.path as osp
from typing import List, Optional

import torch
from torch import Tensor, distributions

from benchmarks.experiments import study
from benchmarks.experiments.options import positive
from benchmarks.experiments.plots import COLORS, panels
from benchmarks.experiments.results import rows
from pyg_sessaug.datasets import MultimodalSessions

GRID = 241


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments(
        'mixture_density',
        'Figure 6.1: the density of a mixture of Gaussians in two '
        'dimensions, here of the items of MultimodalSessions, and the '
        'sessions drawn from it.',
        data=False,
    )
    add = parser.add_argument
    parser.set_defaults(seed=2)  # Whose modes lie apart.
    add('--num-modes', type=positive, default=4, help='of the density')
    add('--num-items', type=positive, default=1000, help='to draw')
    add('--shown', type=positive, default=3, help='sessions to draw')
    args = study.start(parser, argv)
    data = MultimodalSessions(
        osp.join(args.output, 'data'), 'test', num_items=args.num_items,
        num_modes=args.num_modes, channels=2, seed=args.seed,
    )  # fmt: skip
    points, mode = data.item_points, data.item_modes
    mixture = fit(points, mode)
    low, high = points.amin(0) - 3, points.amax(0) + 3
    x, y = (torch.linspace(low[i], high[i], GRID) for i in range(2))
    place = torch.cartesian_prod(x, y)
    density = mixture.log_prob(place).exp().view(GRID, GRID)
    cell = float((x[1] - x[0]) * (y[1] - y[0]))

    sessions = data.flat_sessions
    click_mode = mode[sessions.item]
    session = sessions.session_of(torch.arange(sessions.num_clicks))
    same = session[1:] == session[:-1]
    changed = same & (click_mode[1:] != click_mode[:-1])
    multimodal = session[1:][changed].unique().numel() / data.sessions
    results = {
        'peaks': int(peaks(density).sum()),
        'mass_on_grid': float(density.sum()) * cell,
        'multimodal_sessions': multimodal,
        'changes_per_step': int(changed.sum()) / int(same.sum()),
    }
    several = 'test sessions with clicks in several modes (%)'
    cells = [
        ('', 'value'),
        ('modes', f'{args.num_modes}'),
        ('peaks of the density', '{peaks}'),
        (several, '{multimodal_sessions:.1%}'),
        ('steps to another mode (%)', '{changes_per_step:.1%}'),
    ]
    lines = [list(x) for x in zip(*rows([results], cells))]

    figure, axis = panels(1, 1, (8, 5))
    filled = axis.contourf(x, y, density.t(), 24, cmap='cividis')
    figure.colorbar(filled, label='Density')
    axis.scatter(*points.t(), s=3, c='white', alpha=0.5, lw=0, label='item')
    path_colors = (COLORS[1], COLORS[2], COLORS[6])
    of_eight = (sessions.length == 8).nonzero().view(-1)
    for i, index in enumerate(of_eight[: args.shown]):
        item = sessions.item[sessions.ptr[index] : sessions.ptr[index + 1]]
        axis.plot(*points[item].t(), '-o', ms=4, lw=1.2, mec='black', mew=0.5,
                  color=path_colors[i % 3],
                  label=f'session {i + 1}, 8 clicks')  # fmt: skip
    title = f'A mixture of {args.num_modes} Gaussians and sessions in it'
    axis.set(title=title, xlabel='Latent dimension 1',
             ylabel='Latent dimension 2')  # fmt: skip
    axis.legend(loc='upper left', fontsize=8, facecolor='#555555',
                labelcolor='white', framealpha=0.8)  # fmt: skip
    study.write(args, results, lines, figure)


def fit(points: Tensor, mode: Tensor) -> distributions.Distribution:
    """The mixture by the share and mean of each mode, of unit variance."""
    share = mode.bincount().float()
    mean = torch.stack([points[mode == i].mean(0) for i in range(len(share))])
    normal = distributions.Normal(mean, torch.ones_like(mean))
    mode_of = distributions.Categorical(share)
    component = distributions.Independent(normal, 1)
    return distributions.MixtureSameFamily(mode_of, component)


def peaks(density: Tensor) -> Tensor:
    """Where a grid is higher than all around, bool of the same shape."""
    around = torch.nn.functional.max_pool2d(density[None], 3, 1, 1)[0]
    return (density == around) & (density > 1e-3 * density.max())


if __name__ == '__main__':
    study.call(main)
