"""Times recommendations on the CPU: one session at a time, and many.

Models have random weights, which cost what trained ones do; sessions are
those of the test set. Batches and single sessions take turns, and medians are
reported, so that a busy moment decides nothing. On a machine that is busy all
the time look at the time of the CPU, which waiting for others does not count.
"""

import argparse
import json
import os.path as osp
import sys
import time
from functools import partial
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import torch

from benchmarks.experiments import options
from benchmarks.experiments.datasets import load
from benchmarks.experiments.options import positive
from benchmarks.experiments.report import environment
from benchmarks.experiments.results import Table, command, rows, write
from benchmarks.speed.yardsticks import prefixes
from pyg_sessaug import Recommender
from pyg_sessaug.registry import MODELS, find_class

# For SRGNN: milliseconds for one session, sessions per second in batches.
TARGETS = {'median_ms': 10.0, 'sessions_per_second': 5000.0}


def raw_prefixes(dataset: Any, count: int) -> List[List[int]]:
    """Raw ids of randomly drawn samples."""
    ids, index = dataset.item_ids, torch.randint(len(dataset), (count,))
    return [ids[torch.tensor(x)].tolist() for x in prefixes(dataset, index)[0]]


def measure(
    recommender: Recommender, sessions: List[List[int]], args: Any
) -> Dict[str, Any]:
    """Latency of one session and throughput of many."""
    recommender.recommend(sessions[: args.batch])  # Warms up.
    single: List[Tuple[float, float]] = []
    batches: List[Tuple[float, float]] = []
    for start in range(0, len(sessions) - args.batch + 1, args.batch):
        part = sessions[start : start + args.batch]
        clock(batches, partial(recommender.recommend, part, args.k))
        for session in part[: args.singles]:
            one = partial(recommender.recommend, session, args.k)
            clock(single, one)
    wall, cpu = zip(*single)
    batch_wall, batch_cpu = zip(*batches)
    return {
        'sessions': len(single),
        'median_ms': 1e3 * median(wall),
        'p99_ms': 1e3 * float(np.percentile(wall, 99)),
        'median_cpu_ms': 1e3 * median(cpu),
        'batches': len(batches),
        'sessions_per_second': args.batch / median(batch_wall),
        'sessions_per_cpu_second': args.batch / median(batch_cpu),
    }


def clock(times: List[Tuple[float, float]], run: Callable[[], Any]) -> None:
    """Seconds on the clock, and of the processor in all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    times.append((time.perf_counter() - wall, time.process_time() - cpu))


def table(found: List[Dict[str, Any]]) -> Table:
    cells = [
        ('model', '{model}'),
        ('threads', '{threads}'),
        ('one session, median (ms)', '{median_ms:.1f}'),
        ('99th percentile (ms)', '{p99_ms:.1f}'),
        ('CPU time (ms)', '{median_cpu_ms:.1f}'),
        ('in batches, sessions per second', '{sessions_per_second:,.0f}'),
        ('per second of CPU time', '{sessions_per_cpu_second:,.0f}'),
    ]
    return rows(found, cells)


def parse(argv: Optional[List[str]] = None) -> argparse.Namespace:
    shared = 'dataset root seed output'
    parser = options.parser(__doc__, shared, output='runs/latency')
    add = parser.add_argument
    add('--models', nargs='+', choices=MODELS, default=['srgnn', 'tagnn'])
    add('--threads', nargs='+', type=positive, default=[1, 2])
    add('--batch', type=positive, default=512, help='sessions at once')
    add('--rounds', type=positive, default=40, help='timed batches')
    add('--singles', type=positive, default=25,
        help='sessions timed alone in each round')  # fmt: skip
    add('--k', type=positive, default=20, help='items per session')
    add('--hidden', type=positive, default=100, help='size of vectors')
    return parser.parse_args(argv)


def main(argv: Optional[List[str]] = None) -> None:
    args = parse(argv)
    torch.manual_seed(args.seed)
    try:
        root = args.root or osp.join('data', args.dataset)
        folder = osp.join(args.output, 'data')
        test = load(args.dataset, root, 'test', processed_root=folder)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    sessions = raw_prefixes(test, args.batch * args.rounds)
    found = []
    for name in args.models:
        model = find_class(name)(test.num_items, args.hidden).eval()
        recommender = Recommender(model, test.item_ids)
        for threads in args.threads:
            torch.set_num_threads(threads)
            row = measure(recommender, sessions, args)
            found.append({'model': name, 'threads': threads, **row})
            print(json.dumps(found[-1]), flush=True)
    hidden = ('root', 'output', 'models', 'threads')
    settings = {k: v for k, v in vars(args).items() if k not in hidden}
    report = {
        'command': command('speed/latency.py', argv),
        'about': f'{args.dataset}; seed {args.seed}',
        'table': table(found),
        'settings': settings,
        'environment': environment('cpu'),
        'num_items': test.num_items,
        'clicks_per_session': sum(map(len, sessions)) / len(sessions),
        'targets': TARGETS,
        'latency': found,
    }
    write(osp.join(args.output, 'latency.json'), report)


if __name__ == '__main__':
    main()
