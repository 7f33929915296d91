"""Where do the items of similar sessions help a strong model?"""

import os.path as osp
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

from benchmarks.compare import FOLDERS, measures
from benchmarks.duels import RESULTS
from benchmarks.experiments import plots, study
from benchmarks.experiments.datasets import load
from benchmarks.experiments.report import METRICS, interval
from benchmarks.experiments.results import Table, load_ranks, rows
from benchmarks.studies.strengths import HEADS, LENGTH, POPULARITY, SEEN
from pyg_sessaug.comparison import gains, paired_bootstrap, per_session
from pyg_sessaug.datasets import SessionDataset

Pairs = Dict[str, Tuple[Tensor, Tensor]]
# Whose first 20 items are the context, but for the last click.
BASE, NEIGHBORS = 'srgnn-plus', 'vsknn'
BATCH, NUM_DRAWS = 5000, 1000
# What is compared, both by the name of their row of the leaderboard and by
# the first seed that both have.
PAIRS = {
    'base': ('srgnn-plus-context', BASE),
    'control': ('srgnn-plus-context', 'srgnn-plus-shuffled'),
    'blend': ('blend-both refit', 'blend refit'),
    'one vector': ('srgnn-modes', BASE),
    'chance modes': ('srgnn-modes', 'srgnn-modes-shuffled'),
}
# Groups by their lowest value.
GROUPS = {
    'all': {'all': 0},
    'context': {'without the target': 0, 'with it': 1},
    'modes': {'1': 0, '2': 2, '3 or more': 3},
    'popularity': POPULARITY,
    'length': LENGTH,
    'seen': SEEN,
}
TITLES = {
    **HEADS,
    'all': 'all samples',
    'context': 'context',
    'modes': 'categories of the items seen',
}


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments(
        'context',
        'No figure of the thesis: what 20 items of similar sessions add to '
        'SRGNNPlus, beyond it and beyond their shuffled control, and to a '
        'blend, and what two vectors for sessions of two modes add: by '
        'whether the first 20 of VSKNN, which these items are but for the '
        'last click, hold the target, by how many categories the items of '
        'the session have, by how often the target was clicked in training, '
        'by how much of the session is seen, and by whether the target was '
        'clicked before. Reads the ranks of leaderboard.py; nothing is '
        'trained. Intervals are 95 %, by a paired bootstrap over sessions, '
        'and not corrected for the number of groups.',
        data=False,
    )
    add = parser.add_argument
    names = ['diginetica', 'yoochoose']
    add('--datasets', nargs='+', default=names, help='those of the ranks')
    add('--data', default='data', help='folder of the data sets')
    add('--results', default=RESULTS, help='folder of the ranks')
    args = study.start(parser, argv)
    found = {name: breakdown(args, name) for name in args.datasets}
    del args.results, args.data
    tables = {name: table(groups) for name, groups in found.items()}
    study.write(args, {'groups': found}, tables, draw(found))


def breakdown(args: Any, dataset: str) -> List[Dict[str, Any]]:
    """What context adds in each group of test samples."""
    path = osp.join(args.results, f'leaderboard-{dataset}.json')
    ranks = load_ranks(path)
    pairs: Pairs = {}
    for name, (ours, theirs) in PAIRS.items():
        own = [x for x, y in ranks if y == ours and (x, theirs) in ranks]
        if own:
            pairs[name] = ranks[min(own), ours], ranks[min(own), theirs]
    if 'control' not in pairs or (0, NEIGHBORS) not in ranks:
        raise ValueError(
            f'{path} has no ranks of context, its control and {NEIGHBORS} '
            f'with seed 0; run leaderboard.py for them first'
        )
    root = osp.join(args.data, FOLDERS.get(dataset, dataset))
    folder = osp.join(args.output, 'data')
    train, test = (
        load(dataset, root, x, processed_root=folder)
        for x in ('train', 'test')
    )
    hit, held = (ranks[0, x] <= 20 for x in (BASE, NEIGHBORS))
    every = torch.zeros(len(test))
    values = {'all': every, 'context': held, **samples(train, test)}
    session, found = per_session(test), []
    for kind, value in values.items():
        low = torch.tensor(list(GROUPS[kind].values()))
        group = torch.bucketize(value.long(), low, right=True) - 1
        for i, name in enumerate(GROUPS[kind]):
            mask = group == i
            if not mask.any():
                continue
            shares = {
                'share': mask,
                'hit': hit[mask],
                'held': held[mask],
                'alone': held[mask] & ~hit[mask],
            }
            row: Dict[str, Any] = {'by': kind, 'group': name}
            row |= {k: float(x.double().mean()) for k, x in shares.items()}
            row['over'] = beyond(pairs, mask, session)
            found.append(row)
    return found


def beyond(
    pairs: Pairs, mask: Tensor, session: Tensor
) -> Dict[str, Dict[str, Dict[str, float]]]:
    """How far the first of each pair is above the second in each metric on
    some of the samples, in percent.
    """
    inside, apart = session[mask].unique(return_inverse=True)[1], []
    for pair in pairs.values():
        ours, theirs = (gains([x[mask]]) for x in pair)
        apart += [(ours[x] - theirs[x])[0] for x in METRICS]
    found = paired_bootstrap(torch.stack(apart), inside, NUM_DRAWS)
    names = 'difference', 'low', 'high'
    cells = iter(zip(*((100 * x).tolist() for x in found[:3])))
    return {
        pair: {x: dict(zip(names, next(cells))) for x in METRICS}
        for pair in pairs
    }


def samples(train: SessionDataset, test: SessionDataset) -> Dict[str, Tensor]:
    """What each test sample is grouped by, ``[num_samples]``."""
    found = dict(zip(HEADS, measures(train, test)))
    if train.categories is not None:
        parts = torch.arange(len(test)).split(BATCH)
        modes = [num_modes(test.get_batch(x), train.categories) for x in parts]
        found = {'modes': torch.cat(modes), **found}
    return found


def num_modes(data: Batch, categories: Tensor) -> Tensor:
    """Different categories of the items of each session, ``[B]``."""
    size = int(categories.max()) + 2  # -1 is no category
    key = data.batch * size + categories[data.x] + 1
    return torch.bincount(key.unique() // size, minlength=data.num_graphs)


def table(groups: List[Dict[str, Any]]) -> Table:
    """A line for each group."""
    cells: List[Tuple[str, Any]] = [
        ('samples by', lambda x: f'{TITLES[x["by"]]}: {x["group"]}'),
        ('share (%)', '{share:.1%}'),
        ('base, HR@20 (%)', '{hit:.1%}'),
        ('context holds the target (%)', '{held:.1%}'),
        ('and the base does not (%)', '{alone:.1%}'),
    ]
    for pair in PAIRS:
        for metric in METRICS * (pair in groups[0]['over']):
            cells.append(
                (
                    f'{metric} over {pair}',
                    lambda x, y=pair, z=metric: interval(x['over'][y][z]),
                )
            )
    return rows(groups, cells)


def draw(found: Dict[str, List[Dict[str, Any]]]) -> Any:
    """What context adds beyond its control by group, a row for each metric
    and a panel for each kind.
    """
    kinds = [x for x in GROUPS if x != 'all']
    width = [len(GROUPS[x]) + 1 for x in kinds]
    figure, axes = plots.panels(
        2, len(kinds), (12, 5), 'y', width_ratios=width, sharey='row'
    )
    for line, metric in zip(axes, METRICS):
        for axis, kind in zip(line, kinds):
            names = list(GROUPS[kind])
            for i, (dataset, groups) in enumerate(found.items()):
                part = [x for x in groups if x['by'] == kind]
                place = [names.index(x['group']) + 0.2 * i for x in part]
                plots.differences(
                    axis, place, [x['over']['control'][metric] for x in part],
                    label=dataset, color=plots.COLORS[i], linestyle='',
                    marker=plots.MARKERS[i], markersize=4,
                )  # fmt: skip
            axis.axhline(0, color='#666666', linewidth=1)
            ticks = [x.replace(' ', '\n', 1) for x in names]
            axis.set_xticks(range(len(names)), ticks, fontsize=7)
        line[0].set_ylabel(f'{metric} over the control\n(points, 95 %)')
    for axis, kind in zip(axes[1], kinds):
        axis.set_xlabel(TITLES[kind], fontsize=8)
    plots.legend_below(figure, axes[0, 0], ncols=len(found))
    return figure


if __name__ == '__main__':
    study.call(main)
