"""Times recommendations on the CPU: one session at a time, and many.

Models have random weights, which cost what trained ones do; sessions are
those of the test set. Batches and single sessions take turns, and medians are
reported, so that a busy moment decides nothing. On a machine that is busy all
the time look at the time of the CPU, which waiting for others does not count.

The floor of one session is `topk(W @ v, k)` in float32, timed before each.
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
from pyg_sessaug.nn import Blend
from pyg_sessaug.registry import MODELS, find_class

# For SRGNN: one session by its floor on one thread, its 99th percentile by
# its median, and sessions per second in batches on two threads.
TARGETS = {'ratio': 1.8, 'p99_by_median': 2.0, 'sessions_per_second': 6000.0}

# What is timed beside models by their names.
COSINE, BLEND = 'srgnn, cosine', 'blend of srgnn and srgnn-plus'


def make(name: str, num_items: int, hidden: int) -> Any:
    """A model with random weights."""
    if name == BLEND:
        parts = ('srgnn', 'srgnn-plus')
        return Blend([make(part, num_items, hidden) for part in parts])
    if name == COSINE:
        return find_class('srgnn')(num_items, hidden, scale=12.0)
    return find_class(name)(num_items, hidden)


def raw_prefixes(dataset: Any, count: int) -> List[List[int]]:
    """Raw ids of randomly drawn samples."""
    ids, index = dataset.item_ids, torch.randint(len(dataset), (count,))
    return [ids[torch.tensor(x)].tolist() for x in prefixes(dataset, index)[0]]


def measure(
    recommender: Recommender, sessions: List[List[int]], args: Any
) -> Dict[str, Any]:
    """Latency of one session and throughput of many."""
    size = recommender.model.num_items
    k = min(args.k, size)
    weight, vector = torch.randn(size, args.hidden), torch.randn(args.hidden)
    recommender.recommend(sessions[: args.batch])  # Warms up.
    floor: List[Tuple[float, float]] = []
    single: List[Tuple[float, float]] = []
    batches: List[Tuple[float, float]] = []
    for start in range(0, len(sessions) - args.batch + 1, args.batch):
        part = sessions[start : start + args.batch]
        clock(batches, partial(recommender.recommend, part, args.k))
        for session in part[: args.singles]:
            one = partial(recommender.recommend, session, args.k)
            clock(floor, lambda: torch.topk(weight @ vector, k))
            clock(single, one)
    wall, cpu = zip(*single)
    batch_wall, batch_cpu = zip(*batches)
    return {
        'sessions': len(single),
        'floor_ms': 1e3 * median(x for x, _ in floor),
        'ratio': median(wall) / median(x for x, _ in floor),
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
        ('one session, median (ms)', '{median_ms:.2f}'),
        ('by its floor', '{ratio:.2f}'),
        ('99th percentile (ms)', '{p99_ms:.2f}'),
        ('CPU time (ms)', '{median_cpu_ms:.2f}'),
        ('in batches, sessions per second', '{sessions_per_second:,.0f}'),
        ('per second of CPU time', '{sessions_per_cpu_second:,.0f}'),
    ]
    return rows(found, cells)


def parse(argv: Optional[List[str]] = None) -> argparse.Namespace:
    shared = 'dataset root seed output'
    parser = options.parser(__doc__, shared, output='runs/latency')
    add = parser.add_argument
    add('--models', nargs='+', choices=[*MODELS, COSINE, BLEND],
        default=['srgnn', COSINE, 'srgnn-plus', 'tagnn', BLEND])  # fmt: skip
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
        model = make(name, test.num_items, args.hidden).eval()
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
