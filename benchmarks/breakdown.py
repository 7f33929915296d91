"""Shows on which test samples the methods of a results.json gain.

Samples are told apart by how often their target was clicked in training, by
how many clicks the model sees, and by whether the target is one of them;
--versus compares with a control instead of the base. Nothing is trained: the
file holds the ranks of all test targets. Intervals come from a paired
bootstrap over test sessions, without correction for the number of groups.
"""

import argparse
import os.path as osp
import sys
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor

from benchmarks.experiments.datasets import load
from benchmarks.experiments.earlier import check_same, load_results, read
from benchmarks.experiments.report import (
    METRICS,
    environment,
    interval,
    write_report,
)
from pyg_sessaug.comparison import compare, gains, per_session
from pyg_sessaug.datasets import SessionDataset

BINS = {
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


def main(argv: Optional[List[str]] = None) -> None:
    args = parse(argv)
    try:
        report = breakdown(args)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    write_report(args.output, report)


def parse(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('file', help='results.json of run.py')
    add(
        '--root',
        help='folder with the raw files in raw/ (default: data/DATASET)',
    )
    add(
        '--methods',
        nargs='+',
        metavar='METHOD',
        help='which (default: all of the file)',
    )
    add(
        '--versus',
        default='base',
        metavar='METHOD',
        help='what they are compared with (default: base)',
    )
    add(
        '--output',
        default='runs/breakdown',
        help='folder for results and prepared data (default: runs/breakdown)',
    )
    return parser.parse_args(argv)


def breakdown(args: argparse.Namespace) -> Dict[str, Any]:
    """Metrics of every group, and the differences to the base."""
    results = load_results(args.file)
    settings = results['settings']
    root = args.root or osp.join('data', settings['dataset'])
    train, test = (
        load(
            settings['dataset'],
            root,
            split,
            settings['fraction'],
            osp.join(args.output, 'data'),
        )
        for split in ('train', 'test')
    )
    check_same(
        args.file,
        settings,
        {'raw_sha256': train.raw_sha256},
        f'point --root to the data of those runs, not to {root}',
    )
    runs = read(args.file, settings)
    gain = by_method(runs, args.versus, args.methods, args.file)
    session, rows = per_session(test), []
    for name, mask in groups(train, test).items():
        if not mask.any():
            continue
        _, inside = session[mask].unique(return_inverse=True)
        row: Dict[str, Any] = {'group': name}
        row['share'] = float(mask.double().mean())
        for metric in METRICS:
            part = {x: value[metric][:, mask] for x, value in gain.items()}
            row[metric] = compare(part, inside, args.versus)
        rows.append(row)
    return {
        'study': 'breakdown',
        'settings': {
            'dataset': settings['dataset'],
            'fraction': settings['fraction'],
            'seeds': sorted({seed for seed, _ in runs}),
            'run_settings': settings,
        },
        'environment': environment('cpu'),
        'groups': rows,
        'table': table(rows, args.versus),
    }


def by_method(
    runs: Dict[Any, Any],
    versus: str,
    methods: Optional[List[str]],
    path: str,
) -> Dict[str, Dict[str, Tensor]]:
    """What each sample adds to each metric, by method; NaN for missing runs.

    Returns:
        dict: By method and metric ``[num_seeds, num_samples]``.
    """
    known = list(dict.fromkeys(name for _, name in runs))
    for name in [versus, *(methods or ())]:
        if name not in known:
            raise ValueError(
                f'{path} has no runs of {name}; choose from {", ".join(known)}'
            )
    seeds = sorted({seed for seed, name in runs if name == versus})
    size = next(iter(runs.values()))['rank'].numel()
    nothing = torch.full((size,), torch.nan, dtype=torch.double)
    out: Dict[str, Dict[str, Tensor]] = {}
    for name in dict.fromkeys([versus, *(methods or known)]):
        each = [
            gains([runs[seed, name]['rank']]) if (seed, name) in runs else None
            for seed in seeds
        ]
        out[name] = {
            metric: torch.stack(
                [nothing if x is None else x[metric][0] for x in each]
            )
            for metric in METRICS
        }
    return out


def groups(train: SessionDataset, test: SessionDataset) -> Dict[str, Tensor]:
    """Which test samples are in each group, ``[num_samples]`` bool."""
    sessions = test.flat_sessions
    item, target = sessions.item, sessions.target
    session = sessions.session_of(torch.arange(item.numel()))
    clicks = train.flat_sessions.item.bincount(minlength=train.num_items)
    count = clicks[item[target]]
    length = target - sessions.ptr[session[target]]
    # The first click on each item of each session:
    _, pair = (session * train.num_items + item).unique(return_inverse=True)
    first = torch.full((int(pair.max()) + 1,), item.numel())
    first.scatter_reduce_(0, pair, torch.arange(item.numel()), 'amin')
    seen = first[pair[target]] < target

    def within(value: Tensor, low: int, high: Optional[int]) -> Tensor:
        below = value >= low
        return below if high is None else below & (value <= high)

    return {
        'all': torch.ones_like(seen),
        **{name: within(count, *x) for name, x in BINS.items()},
        **{name: within(length, *x) for name, x in LENGTHS.items()},
        'target seen in the session': seen,
        'target not seen in it': ~seen,
    }


def table(rows: List[Dict[str, Any]], versus: str) -> List[List[str]]:
    """A line for each group and metric."""
    names = [name for name in rows[0][METRICS[0]] if name != versus]
    lines = [['test samples', 'share (%)', 'metric (%)', versus, *names]]
    for row in rows:
        for metric in METRICS:
            values = row[metric]
            lines.append(
                [
                    row['group'],
                    f'{100 * row["share"]:.1f}',
                    metric,
                    f'{values[versus]["mean"]:.2f}',
                    *(interval(values[name]) for name in names),
                ]
            )
    return lines


if __name__ == '__main__':
    main()
