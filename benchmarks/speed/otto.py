"""A log of OTTO's shape: how it is prepared, and trained on a sample of items.

OTTO has 12.9 million sessions, 216 million events and 1.86 million items.
Generated are sessions of lognormal length within four weeks, of items whose
popularity falls about as one over their rank, in OTTO's JSON lines. They are
prepared in a process of its own, and some steps of SRGNN trained in another.
Time is that of the processor.
"""

import argparse
import os
import os.path as osp
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import numpy as np
import torch
from torch.utils.data import Subset

from benchmarks.experiments import options
from benchmarks.experiments.options import fraction, positive
from benchmarks.experiments.report import environment
from benchmarks.experiments.results import Table, command, rows, write
from benchmarks.speed.memory import alone, peak_mb
from benchmarks.speed.prepare import DAY, START, prepare, write_otto
from pyg_sessaug.datasets import Otto
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import fit

SESSIONS, EVENTS, ITEMS = 12_900_000, 216_000_000, 1_860_000
AT_ONCE = 100_000  # Sessions
# Of the logarithm of a session's events, of which half have at most 6.
MEDIAN, SIGMA, LONGEST = 6.0, 1.5, 500


def generate(share: float, seed: int) -> Iterator[Dict[str, Any]]:
    """Yields sessions, items and milliseconds, oldest session first."""
    rng = np.random.default_rng(seed)
    num_sessions, num_items = (round(share * x) for x in (SESSIONS, ITEMS))
    # Ids that tell nothing of popularity.
    id_of = rng.permutation(num_items)
    step = 28 * DAY / num_sessions
    for first in range(0, num_sessions, AT_ONCE):
        session = np.arange(first, min(first + AT_ONCE, num_sessions))
        length = MEDIAN * np.exp(SIGMA * rng.standard_normal(session.size))
        length = length.astype(np.int64).clip(2, LONGEST)
        owner = np.repeat(session, length)
        begin = np.cumsum(length) - length
        place = np.arange(owner.size) - np.repeat(begin, length)
        # By the inverse of what one over the rank adds up to.
        rank = np.exp(rng.random(owner.size) * np.log(num_items + 1))
        gap = np.repeat(rng.integers(1000, 60_000, session.size), length)
        yield {
            'session': owner,
            'item': id_of[rank.astype(np.int64) - 1],
            'place': place,
            'time': START + (owner * step).astype(np.int64) + place * gap,
        }


def write_log(root: str, share: float, seed: int) -> int:
    """Writes the log, and tells its events."""
    raw, events = Path(root) / 'raw', 0
    raw.mkdir(parents=True)
    for i, table in enumerate(generate(share, seed)):
        write_otto(raw, table, append=i > 0)
        events += table['item'].size
    return events


def train(root: str, steps: int, num_negatives: int) -> Dict[str, Any]:
    """Steps of SRGNN on samples of the whole log."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data, val = Otto(root), Otto(root, 'val')
    some = torch.randint(len(data), (100 * steps,)).tolist()
    model = SRGNN(data.num_items)
    start = time.process_time()
    fit(
        model,
        Subset(data, some),
        Subset(val, range(min(len(val), 100))),
        epochs=1,
        loss='sampled',
        num_negatives=num_negatives,
        schedule='steps',
        progress=False,
    )
    seconds = time.process_time() - start
    return {
        'steps': steps,
        'seconds': round(seconds, 1),
        'samples_per_second': round(100 * steps / seconds),
        'gib': round(peak_mb() / 1024, 2),
        'epoch_hours': round(len(data) * seconds / (100 * steps) / 3600, 2),
    }


def tables(row: Dict[str, Any]) -> Dict[str, Table]:
    prepared = {**row, **row['prepared']}
    return {
        'prepared': rows([prepared], [
            ('sessions', '{sessions:,}'), ('events', '{clicks:,}'),
            ('items kept', '{num_items:,}'), ('GB raw', '{raw_gb:.2f}'),
            ('events a second', '{per_second:,}'),
            ('GiB', '{peak_rss_gib:.2f}'),
        ]),
        'trained': rows([{**row['trained'], **row['prepared']}], [
            ('samples of an epoch', '{train_samples:,}'),
            ('steps', '{steps:,}'),
            ('samples a second', '{samples_per_second:,}'),
            ('GiB', '{gib:.2f}'), ('hours of an epoch', '{epoch_hours:.2f}'),
        ]),
    }  # fmt: skip


def parse(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = options.parser(__doc__, 'seed output', output='runs/otto')
    add = parser.add_argument
    text = 'of the sessions and items of OTTO'
    add('--share', type=fraction, default=0.01, help=text)
    add('--steps', type=positive, default=2000, help='of training')
    add('--negatives', type=positive, default=2048, help='items of a step')
    add('--data', help='folder for the log, about 55 bytes an event, and as '
                       'much again; the system\'s own without it')  # fmt: skip
    add('--beside', default='nothing', help='what else the machine does')
    return parser.parse_args(argv)


def main(argv: Optional[List[str]] = None) -> None:
    args = parse(argv)
    with tempfile.TemporaryDirectory(dir=args.data) as root:
        try:
            events = alone(write_log, root, args.share, args.seed)
            prepared = alone(prepare, 'Otto', root, events)
            print(prepared, flush=True)
            trained = alone(train, root, args.steps, args.negatives)
            print(trained, flush=True)
        except OSError as error:
            sys.exit(f'error: {error}')
    row = {
        'sessions': round(args.share * SESSIONS),
        'raw_gb': prepared['raw_bytes'] / 1e9,
        'per_second': round(events / prepared['cpu_seconds']),
        'prepared': prepared,
        'trained': trained,
    }
    surroundings = environment('cpu')
    report = {
        'command': command('speed/otto.py', argv),
        'about': f'{args.share:.0%} of the shape of OTTO, batches of 100, '
        f'{args.negatives:,} negatives, one thread of '
        f'{surroundings["cpu"]}; beside it ran {args.beside}',
        'table': tables(row),
        'environment': surroundings,
        'cpus': os.cpu_count(),
        'share': args.share,
        **row,
    }
    write(osp.join(args.output, 'otto.json'), report)


if __name__ == '__main__':
    main()
