"""Compares any method with any other, on all test samples or by group.

Reads results of run.py, with the ranks beside them; nothing is trained.
Without --by-group: a row for each file and pair of methods that it has, with
p-values corrected for all rows by Holm. With it, for one file: samples are
told apart by how often their target was clicked in training, by how many
clicks the model sees, and by whether the target is one of them; intervals are
not corrected for the number of groups. Differences are over the seeds that
both methods have; intervals come from a paired bootstrap over test sessions.
"""

import argparse
import os.path as osp
import sys
from functools import lru_cache
from typing import Any, Collection, Dict, List, Optional, Tuple

import torch
from torch import Tensor

from benchmarks.experiments import options
from benchmarks.experiments.datasets import load
from benchmarks.experiments.report import (
    METRICS,
    data_of,
    environment,
    interval,
    place,
    variant,
)
from benchmarks.experiments.results import (
    Table,
    check_same,
    command,
    load_ranks,
    rows,
    write,
)
from benchmarks.experiments.results import load as load_results
from pyg_sessaug.comparison import gains, holm, paired_bootstrap, per_session
from pyg_sessaug.datasets import SessionDataset

CLICKED = {
    'target never clicked in training': (0, 0),
    'target clicked 1 to 5 times': (1, 5),
    'target clicked 6 to 20 times': (6, 20),
    'target clicked more often': (21, None),
}
LENGTHS = {
    '1 click seen': (1, 1),
    '2 or 3 clicks seen': (2, 3),
    'more clicks seen': (4, None),
}
BOUNDS = ('difference', 'low', 'high')
# Folders of --data, where they are not called like the data set.
FOLDERS = {'yoochoose': 'yoochoose1_64'}


def main(argv: Optional[List[str]] = None) -> None:
    args = parse(argv)
    try:
        report = groups(args) if args.by_group else pairs(args)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    report['environment'] = environment('cpu')
    report = {'command': command('compare.py', argv), **report}
    write(osp.join(args.output, f'{args.name}.json'), report)


def parse(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = options.parser(__doc__, 'output', output='runs/compare')
    add = parser.add_argument
    add('files', nargs='+', help='results of run.py')
    add('--methods', nargs='+', required=True, metavar='METHOD[:OTHER]',
        help='which, and what each is compared with')  # fmt: skip
    add('--beside', default='base', metavar='OTHER',
        help='what a METHOD alone is compared with')  # fmt: skip
    add('--by-group', action='store_true', help='tell samples apart')
    add('--data', default='data', help='folder of the data sets')
    add('--name', default='comparison', help='of the files written')
    args = parser.parse_args(argv)
    args.pairs = [
        (method, other or args.beside)
        for method, _, other in (x.partition(':') for x in args.methods)
    ]
    return args


def pairs(args: argparse.Namespace) -> Dict[str, Any]:
    """Each pair in each file that has both, on all samples."""
    sessions = lru_cache(lambda name: per_session(read(args, name, 'test')))
    found: List[Dict[str, Any]] = []
    files = [(path, load_results(path)) for path in args.files]
    for path, results in sorted(files, key=lambda x: place(x[1]['settings'])):
        settings = results['settings']
        runs = {(x['seed'], x['method']) for x in results['runs']}
        given = [pair for pair in args.pairs if shared(runs, *pair)]
        if not given:
            continue
        check(path, settings, read(args, settings['dataset'], 'test'), args)
        session = sessions(settings['dataset'])
        values = differences(load_ranks(path), given, session)
        for (method, other), value in zip(given, values):
            about = {'file': osp.basename(path), 'data': data_of(settings)}
            about |= {'model': variant(settings), 'method': method}
            about |= {'beside': other, 'seeds': shared(runs, method, other)}
            found.append({**about, **value})
    found.sort(key=lambda x: args.pairs.index((x['method'], x['beside'])))
    if not found:
        raise ValueError(
            f'no file has both methods of one of {", ".join(args.methods)}; '
            f'pass files that do'
        )
    for metric in METRICS:
        corrected = holm([row[metric]['p'] for row in found])
        for row, p in zip(found, corrected):
            row[metric]['p_holm'] = p
    seeds = sorted({x for row in found for x in row['seeds']})
    about = f'seeds {", ".join(map(str, seeds))}'
    return {'about': about, 'table': pairs_table(found), 'rows': found}


def pairs_table(found: List[Dict[str, Any]]) -> Table:
    """What is compared, how it differs, and where."""
    cells: List[Any] = [('method', '{method}'), ('beside', '{beside}')]
    for metric in METRICS:
        beyond = f'{metric} beyond it [95 %]'
        cells.append((beyond, lambda x, key=metric: interval(x[key])))
        cells.append(('p (Holm)', f'{{{metric}[p_holm]:.4f}}'))
    cells.append(('seeds', lambda x: len(x['seeds'])))
    cells.append(('where', '{data}, {model}'))
    return rows(found, cells)


def groups(args: argparse.Namespace) -> Dict[str, Any]:
    """Each method beside one other in each group of samples of one file."""
    others = {other for _, other in args.pairs}
    if len(args.files) > 1 or len(others) > 1:
        raise ValueError(
            f'--by-group takes one file and one method beside the others, got '
            f'{len(args.files)} files and {", ".join(sorted(others))}'
        )
    (path,), (other,) = args.files, others
    settings = load_results(path)['settings']
    rank = load_ranks(path)
    train, test = (
        read(args, settings['dataset'], split, settings['fraction'])
        for split in ('train', 'test')
    )
    check(path, settings, train, args)
    names = [method for method, _ in args.pairs]
    for name in (other, *names):
        if not shared(rank, name, other):
            raise ValueError(
                f'{path} has no runs of {name} with a seed of {other}; choose '
                f'from {", ".join(dict.fromkeys(x for _, x in rank))}'
            )
    session, found = per_session(test), []
    base = gains([rank[x, other] for x in shared(rank, other, other)])
    for name, mask in masks(train, test).items():
        if not mask.any():
            continue
        inside = session[mask].unique(return_inverse=True)[1]
        part = {key: value[mask] for key, value in rank.items()}
        share = float(mask.double().mean())
        row: Dict[str, Any] = {'group': name, 'share': share}
        row[other] = {x: 100 * float(base[x][:, mask].mean()) for x in METRICS}
        values = differences(part, args.pairs, inside)
        found.append({**row, **dict(zip(names, values))})
    seeds = sorted({seed for seed, name in rank if name in (other, *names)})
    return {
        'about': f'{variant(settings)}; {data_of(settings)}; seeds '
        f'{", ".join(map(str, seeds))}; bold: the 95 % interval, which is in '
        f'the file, leaves out 0',
        'table': groups_table(found, other, names),
        'settings': settings,
        'groups': found,
    }


def groups_table(
    found: List[Dict[str, Any]], other: str, names: List[str]
) -> Table:
    """What each method has over the other in each group, in bold where the
    interval leaves out 0.
    """

    def gain(row: Dict[str, Any], name: str) -> str:
        value = row[name][row['metric']]
        text = f'{value["difference"]:+.2f}'
        return f'**{text}**' if value['low'] * value['high'] > 0 else text

    records = [{**row, 'metric': x} for row in found for x in METRICS]
    cells: List[Any] = [('test samples', '{group}')]
    cells += [('share (%)', '{share:.1%}'), ('metric (%)', '{metric}')]
    cells.append((other, lambda x: f'{x[other][x["metric"]]:.2f}'))
    cells += [(x, lambda row, key=x: gain(row, key)) for x in names]
    return rows(records, cells)


def read(
    args: argparse.Namespace, dataset: str, split: str, fraction: float = 1.0
) -> SessionDataset:
    root = osp.join(args.data, dataset)
    if not osp.isdir(root):
        root = osp.join(args.data, FOLDERS.get(dataset, dataset))
    return load(dataset, root, split, fraction, osp.join(args.output, 'data'))


def check(
    path: str,
    settings: Dict[str, Any],
    dataset: SessionDataset,
    args: argparse.Namespace,
) -> None:
    """Refuses other data than that of the runs."""
    remedy = f'point --data to the folder of those runs, not to {args.data}'
    check_same(path, settings, {'raw_sha256': dataset.raw_sha256}, remedy)


def shared(
    runs: Collection[Tuple[int, str]], method: str, other: str
) -> List[int]:
    """The seeds that both methods were run with."""
    return sorted(
        seed for seed, x in runs if x == method and (seed, other) in runs
    )


def differences(
    rank: Dict[Tuple[int, str], Tensor],
    pairs: List[Tuple[str, str]],
    session: Tensor,
) -> List[Dict[str, Dict[str, float]]]:
    """How far the first of each pair is above the second in each metric, in
    percent. Drawn together, all pairs see the same sessions.
    """
    each = []
    for method, other in pairs:
        ours, theirs = (
            gains([rank[seed, x] for seed in shared(rank, method, other)])
            for x in (method, other)
        )
        each += [(ours[x] - theirs[x]).mean(dim=0) for x in METRICS]
    result = paired_bootstrap(torch.stack(each), session)
    found = iter(
        {
            **{x: 100 * float(getattr(result, x)[i]) for x in BOUNDS},
            'p': float(result.p[i]),
        }
        for i in range(len(each))
    )
    return [{x: next(found) for x in METRICS} for _ in pairs]


def measures(
    train: SessionDataset, test: SessionDataset
) -> Tuple[Tensor, Tensor, Tensor]:
    """Of each test sample how often its target was clicked in training, how
    many clicks a model sees, and whether the target is one of them,
    ``[num_samples]``.
    """
    sessions = test.flat_sessions
    item, target = sessions.item, sessions.target
    session = sessions.session_of(torch.arange(item.numel()))
    clicks = train.flat_sessions.item.bincount(minlength=train.num_items)
    # The first click on each item of each session:
    _, pair = (session * train.num_items + item).unique(return_inverse=True)
    first = torch.full((int(pair.max()) + 1,), item.numel())
    first.scatter_reduce_(0, pair, torch.arange(item.numel()), 'amin')
    length = target - sessions.ptr[session[target]]
    return clicks[item[target]], length, first[pair[target]] < target


def masks(train: SessionDataset, test: SessionDataset) -> Dict[str, Tensor]:
    """Which test samples are in each group, ``[num_samples]`` bool."""
    count, length, seen = measures(train, test)

    def within(value: Tensor, low: int, high: Optional[int]) -> Tensor:
        below = value >= low
        return below if high is None else below & (value <= high)

    return {
        'all': torch.ones_like(seen),
        **{name: within(count, *x) for name, x in CLICKED.items()},
        **{name: within(length, *x) for name, x in LENGTHS.items()},
        'target seen in the session': seen,
        'target not seen in it': ~seen,
    }


if __name__ == '__main__':
    main()
