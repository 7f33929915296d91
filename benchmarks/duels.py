"""Is one model of the leaderboard better than another?

Reads the ranks that leaderboard.py wrote; nothing is trained. Differences are
over the seeds that both have, intervals by a paired bootstrap over test
sessions, p-values corrected by Holm for the pairs of a metric.
"""

import argparse
import os.path as osp
import sys
from typing import Any, Dict, List, Optional

from benchmarks.compare import differences, shared
from benchmarks.experiments import options
from benchmarks.experiments.datasets import load
from benchmarks.experiments.report import METRICS, environment, interval
from benchmarks.experiments.results import command, load_ranks, rows, write
from pyg_sessaug.comparison import holm, per_session

RESULTS = osp.join(osp.dirname(osp.abspath(__file__)), 'results')


def main(argv: Optional[List[str]] = None) -> None:
    args = parse_args(argv)
    try:
        found = duels(args)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    cells: List[Any] = [('model', '{model}'), ('beside', '{beside}')]
    cells.append(('seeds', lambda x: len(x['seeds'])))
    for metric in METRICS:
        head = f'{metric} beyond it [95 %]'
        cells.append((head, lambda x, key=metric: interval(x[key])))
        cells.append(('p (Holm)', f'{{{metric}[p_holm]:.4f}}'))
    report = {
        'command': command('duels.py', argv),
        'about': args.dataset,
        'table': rows(found, cells),
        'rows': found,
        'environment': environment('cpu'),
    }
    write(osp.join(args.output, f'duels-{args.dataset}.json'), report)


def duels(args: argparse.Namespace) -> List[Dict[str, Any]]:
    """Each pair with its differences."""
    path = osp.join(args.results, f'leaderboard-{args.dataset}.json')
    ranks = load_ranks(path)
    pairs = []
    for text in args.pairs:
        model, _, other = text.partition(':')
        if not shared(ranks, model, other):
            names = ', '.join(dict.fromkeys(x for _, x in ranks))
            raise ValueError(
                f'no seed has both of {text!r} in {path}; it has {names}'
            )
        pairs.append((model, other))
    root = args.root or osp.join('data', args.dataset)
    test = load(
        args.dataset,
        root,
        'test',
        processed_root=osp.join(args.output, 'data'),
    )
    values = differences(ranks, pairs, per_session(test))
    found = [
        {'model': a, 'beside': b, 'seeds': shared(ranks, a, b), **value}
        for (a, b), value in zip(pairs, values)
    ]
    for metric in METRICS:
        p = [value[metric]['p'] for value in values]
        for value, corrected in zip(found, holm(p)):
            value[metric]['p_holm'] = corrected
    return found


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = options.parser(
        __doc__, 'dataset root output', output='runs/duels',
        dataset='diginetica',
    )  # fmt: skip
    add = parser.add_argument
    add('--pairs', nargs='+', required=True, metavar='MODEL:OTHER',
        help='rows as the leaderboard names them, such as '
        "'blend refit:srgnn-plus refit'")  # fmt: skip
    add('--results', default=RESULTS, help='folder of the leaderboard')
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
