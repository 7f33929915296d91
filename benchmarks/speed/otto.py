"""A log of OTTO's shape: how it is prepared, and trained on a sample of items.

OTTO has 12.9 million sessions, 216 million events and 1.86 million items.
Generated are sessions of lognormal length within four weeks, of items whose
popularity falls about as one over their rank, in OTTO's JSON lines. They are
prepared in a process of its own, and some steps of SRGNN trained in another.
Time is that of the processor.
"""

import argparse
import json
import os
import os.path as osp
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
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
from pyg_sessaug import SessionLoader
from pyg_sessaug.datasets import Otto
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import fit

SESSIONS, EVENTS, ITEMS = 12_900_000, 216_000_000, 1_860_000
AT_ONCE = 100_000  # Sessions
# Of the logarithm of a session's events, of which half have at most 6.
MEDIAN, SIGMA, LONGEST = 6.0, 1.5, 500
VALIDATION = 20  # Samples, whose scores are of all items.


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
    """Writes the log unless it is there, and tells its events."""
    about, events = {'share': share, 'seed': seed}, 0
    written, part = Path(root) / 'log.json', Path(root) / 'part'
    if written.exists():
        there = json.loads(written.read_text())
        events = there.pop('events')
        if there != about:
            raise ValueError(
                f'{root} holds the log of {there} and not of {about}; name '
                f'another folder, or remove it'
            )
        return events
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for i, table in enumerate(generate(share, seed)):
        write_otto(part, table, append=i > 0)
        events += table['item'].size
    part.rename(Path(root) / 'raw')
    written.write_text(json.dumps({**about, 'events': events}))
    return events


def prepare_anew(root: str, events: int) -> Dict[str, Any]:
    """Prepares the log, whatever was prepared before."""
    shutil.rmtree(Path(root) / 'processed', ignore_errors=True)
    return prepare('Otto', root, events)


def train(root: str, steps: int, num_negatives: int) -> Dict[str, Any]:
    """Steps of SRGNN on samples of the whole log."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data, val = Otto(root), Otto(root, 'val')
    some = Subset(data, torch.randint(len(data), (100 * steps,)).tolist())
    clicks = int(SessionLoader(some).num_clicks.sum())
    model = SRGNN(data.num_items)
    start = time.process_time()
    fit(
        model,
        some,
        Subset(val, range(min(len(val), VALIDATION))),
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
        'clicks_per_second': round(clicks / seconds),
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
        'trained': rows([{**row['prepared'], **row['trained']}], [
            ('samples of an epoch', '{train_samples:,}'),
            ('steps', '{steps:,}'),
            ('samples a second', '{samples_per_second:,}'),
            ('clicks a second', '{clicks_per_second:,}'),
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
    add('--log', help='folder that keeps the log, about 52 bytes an event, '
                      'for another run, and meanwhile as much again; without '
                      'it the log is gone afterwards')  # fmt: skip
    add('--beside', default='nothing', help='what else the machine does')
    return parser.parse_args(argv)


def main(argv: Optional[List[str]] = None) -> None:
    args = parse(argv)
    with ExitStack() as stack:
        root = args.log
        if root is None:
            root = stack.enter_context(tempfile.TemporaryDirectory())
        try:
            events = alone(write_log, root, args.share, args.seed)
            prepared = alone(prepare_anew, root, events)
            print(prepared, flush=True)
            trained = alone(train, root, args.steps, args.negatives)
            print(trained, flush=True)
        except (OSError, ValueError) as error:
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
