"""Where do strong models win?"""

import os.path as osp
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor

from benchmarks.compare import FOLDERS, measures
from benchmarks.experiments import study
from benchmarks.experiments.plots import (
    COLORS,
    LINES,
    MARKERS,
    legend_below,
    panels,
)
from benchmarks.experiments.results import Table, load_ranks, rows
from pyg_sessaug.comparison import paired_bootstrap, per_session
from pyg_sessaug.metrics import ranking_metrics

RESULTS = osp.join(osp.dirname(osp.dirname(osp.abspath(__file__))), 'results')
# What is compared: a file of ranks, and the method there.
METHODS = {
    'blend': ('leaderboard-{}', 'blend refit'),
    'SRGNNPlus': ('leaderboard-{}', 'srgnn-plus refit'),
    'VSKNN': ('leaderboard-{}', 'vsknn refit'),
    'SRGNN': ('{}-srgnn', 'base'),
}
# Groups by their lowest value.
POPULARITY = {
    '0': 0, '1–5': 1, '6–20': 6, '21–50': 21, '51–200': 51, 'more': 201,
}  # fmt: skip
LENGTH = {'1': 1, '2': 2, '3': 3, '4–5': 4, '6–9': 6, '10 or more': 10}
SEEN = {'new': 0, 'clicked before': 1}
HEADS = {
    'popularity': 'clicks on the target in training',
    'length': 'clicks seen of the session',
    'seen': 'the target in its session',
}


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments(
        'strengths',
        'No figure of the thesis: metrics of the strongest models, of SRGNN '
        'and of counts by how often the target was clicked in training, by '
        'how much of the session is seen, and by whether it was clicked '
        'before. Reads the ranks of other results; nothing is trained. '
        'Intervals of HR@20 are 95 %, by a bootstrap over sessions.',
    )
    parser.set_defaults(fraction=1.0, dataset='diginetica')
    parser.add_argument(
        '--results', default=RESULTS, help='folder of the ranks'
    )
    args = study.start(parser, argv)
    args.root = args.root or osp.join(
        'data', FOLDERS.get(args.dataset, args.dataset)
    )
    ranks = read(args.results, args.dataset)
    # All training sessions, which those models count or are trained on.
    train = study.read(args, 'train', val_ratio=0.0)
    test = study.read(args, 'test')
    session = per_session(test)
    groups = {
        (kind, name): mask
        for kind, value in zip(HEADS, measures(train, test))
        for name, mask in split(kind, value).items()
    }
    found = [
        {'by': kind, 'group': name, **describe(ranks, mask, session)}
        for (kind, name), mask in groups.items()
        if mask.any()
    ]
    del args.results
    study.write(
        args, {'groups': found}, table(found), draw(found),
        f'strengths_{args.dataset}',
    )  # fmt: skip


def read(folder: str, dataset: str) -> Dict[str, Tensor]:
    """The ranks of each method, ``[num_samples]``."""
    found = {}
    for name, (file, method) in METHODS.items():
        path = osp.join(folder, f'{file.format(dataset)}.json')
        known = load_ranks(path)
        if (0, method) not in known:
            raise ValueError(
                f'{path} has no ranks of {method} with seed 0; run '
                f'leaderboard.py for it first'
            )
        found[name] = known[0, method]
    return found


def split(kind: str, value: Tensor) -> Dict[str, Tensor]:
    """Which samples are in each group, ``[num_samples]`` bool."""
    bounds = {'popularity': POPULARITY, 'length': LENGTH, 'seen': SEEN}[kind]
    low = torch.tensor(list(bounds.values()))
    group = torch.bucketize(value.long(), low, right=True) - 1
    return {name: group == i for i, name in enumerate(bounds)}


def describe(
    ranks: Dict[str, Tensor], mask: Tensor, session: Tensor
) -> Dict[str, Any]:
    """What each method reaches on some of the samples, in percent."""
    inside = session[mask].unique(return_inverse=True)[1]
    hits = torch.stack([rank[mask] <= 20 for rank in ranks.values()])
    _, low, high, _ = paired_bootstrap(hits, inside)
    found: Dict[str, Any] = {'share': float(mask.double().mean())}
    for i, (name, rank) in enumerate(ranks.items()):
        metrics = ranking_metrics(rank[mask])
        found[name] = {x: 100 * metrics[x] for x in ('HR@20', 'MRR@20')}
        found[name]['low'] = 100 * float(low[i])
        found[name]['high'] = 100 * float(high[i])
    return found


def table(found: List[Dict[str, Any]]) -> Table:
    """A line for each group."""
    cells: List[Tuple[str, Any]] = [
        ('samples by', lambda x: f'{HEADS[x["by"]]}: {x["group"]}'),
        ('share (%)', '{share:.1%}'),
    ]
    for name in METHODS:
        text = f'{{{name}[HR@20]:.1f}} / {{{name}[MRR@20]:.1f}}'
        cells.append((f'{name}, HR@20 / MRR@20 (%)', text))
    return rows(found, cells)


def draw(found: List[Dict[str, Any]]) -> Any:
    """HR@20 by group, a panel for each kind."""
    figure, axes = panels(1, len(HEADS), (11, 3.8), 'y', sharey=True)
    for axis, (kind, head) in zip(axes, HEADS.items()):
        groups = [x for x in found if x['by'] == kind]
        names = [f'{x["group"]}\n{x["share"]:.0%}' for x in groups]
        for i, method in enumerate(METHODS):
            part = [x[method] for x in groups]
            value = [x['HR@20'] for x in part]
            axis.errorbar(
                range(len(groups)),
                value,
                [
                    [x['HR@20'] - x['low'] for x in part],
                    [x['high'] - x['HR@20'] for x in part],
                ],
                label=method,
                color=COLORS[i],
                marker=MARKERS[i],
                linestyle=LINES[i],
                markersize=5,
                capsize=2,
            )
        axis.set_xticks(range(len(groups)), names, fontsize=8)
        axis.set_xlabel(f'{head},\nand share of the samples')
    axes[0].set_ylabel('HR@20 (%)')
    legend_below(figure, ncols=len(METHODS))
    return figure


if __name__ == '__main__':
    study.call(main)
