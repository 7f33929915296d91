"""Trains every day, anew and from yesterday's model, on a log that drifts.

Every day some items go and others come in their place, tastes change, and
what follows an item does too. A model is trained on the last days, and the
sessions of the next day test it, without clicks on items that training does
not know. Minutes are the processor's, so a busy machine does not change them.
"""

import argparse
import csv
import json
import os
import os.path as osp
import time
from statistics import fmean
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch import Tensor

from benchmarks.experiments.options import natural, parser, positive
from benchmarks.experiments.report import environment
from benchmarks.experiments.results import Table, command, write
from pyg_sessaug import Recommender, evaluate, fit
from pyg_sessaug.datasets import SessionLog
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import preset, warm_start

SPLITS = ('train', 'val', 'test')
MODEL: Dict[str, Any] = dict(
    hidden_channels=64, scale=16.0, dropout=0.2, num_layers=1
)
EPOCHS = 2  # From yesterday's model
ITEMS = 400  # At a time, of which a share changes every day:
TURNOVER = 0.03
FOLLOWS, REPEATS = 0.7, 0.1  # Chances of a click, else on what is popular


def write_days(folder: str, num_days: int, sessions: int, seed: int) -> None:
    """A file for each day; an item that is new has a new number."""
    torch.manual_seed(seed)
    os.makedirs(folder, exist_ok=True)
    item, taste = torch.arange(ITEMS), torch.randn(ITEMS)
    after = torch.randint(ITEMS, (ITEMS, 8))
    for day in range(num_days):
        path = osp.join(folder, f'{day}.csv')
        with open(path, 'w', newline='') as f:
            writer = csv.writer(f)
            writer.writerow(['session_id', 'item_id', 'time'])
            for i in range(sessions):
                start = 86_400 * (day + i / sessions)
                for click, place in enumerate(_walk(taste, after)):
                    when = int(start) + click
                    writer.writerow([f'{day}-{i}', f'i{item[place]}', when])
        gone, moved = torch.rand(2, ITEMS) < TURNOVER
        item[gone] = int(item.max()) + 1 + torch.arange(int(gone.sum()))
        taste = 0.95 * taste + 0.3 * torch.randn(ITEMS)
        after[moved] = torch.randint(ITEMS, (int(moved.sum()), 8))


def _walk(taste: Tensor, after: Tensor) -> List[int]:
    length = 2 + int(torch.distributions.Geometric(0.35).sample())
    popular = torch.multinomial((1.2 * taste).softmax(0), length, True)
    clicks = [int(popular[0])]
    for start, x, y in zip(popular[1:], *torch.rand(2, length - 1)):
        if x < FOLLOWS:  # Some followers more often than others
            clicks.append(int(after[clicks[-1], int(8 * y * y)]))
        elif x < FOLLOWS + REPEATS:
            clicks.append(clicks[int(len(clicks) * y)])
        else:
            clicks.append(int(start))
    return clicks


def run_days(args: argparse.Namespace, seed: int) -> Iterator[Dict[str, Any]]:
    """What is reached on each day, by either way."""
    root = osp.join(args.output, f'log-{seed}')
    num_days = args.window + args.days
    write_days(osp.join(root, 'raw'), num_days, args.sessions, seed)
    yesterday = None
    for day in range(args.days):
        files = [f'{day + i}.csv' for i in range(args.window + 1)]
        options: Any = dict(file=files, test_days=1, min_item_clicks=1)
        options['force_reload'] = True  # Of an earlier run, maybe
        splits = [SessionLog(root, x, **options) for x in SPLITS]
        first, cold = measure(splits, seed)
        row = {'seed': seed, 'day': day, 'anew': cold}
        if yesterday is not None:
            first, row['warm'] = measure(splits, seed, yesterday)
        yesterday = first
        print(json.dumps(row), flush=True)
        yield row


def measure(
    splits: List[SessionLog], seed: int, yesterday: Any = None
) -> Tuple[Recommender, Dict[str, float]]:
    """Trains; tells what it reaches on the day to come, and its minutes."""
    train, val, test = splits
    torch.manual_seed(seed)
    start, row = time.process_time(), {}
    model = SRGNN(train.num_items, **MODEL)
    options = preset('auto', train)
    if yesterday is not None:
        row.update(warm_start(model, yesterday, train))
        row['untrained'] = 100 * evaluate(model, test)['HR@20']
        options = preset('auto', train, epochs=EPOCHS)
    fit(model, train, val, seed=seed, progress=False, **options)
    row['minutes'] = (time.process_time() - start) / 60
    row['HR@20'] = 100 * evaluate(model, test)['HR@20']
    return Recommender.from_dataset(model, train), row


def table(rows: List[Dict[str, Any]]) -> Table:
    columns = {
        'new items': ('warm', 'new', '.1f'),
        'anew: HR@20 (%)': ('anew', 'HR@20', '.1f'),
        'anew: minutes': ('anew', 'minutes', '.2f'),
        'from yesterday, untrained: HR@20 (%)': ('warm', 'untrained', '.1f'),
        'from yesterday: HR@20 (%)': ('warm', 'HR@20', '.1f'),
        'from yesterday: minutes': ('warm', 'minutes', '.2f'),
    }
    parts = {
        str(day): [row for row in rows if row['day'] == day]
        for day in sorted({row['day'] for row in rows})
    }
    parts['mean from 1 on'] = [row for row in rows if 'warm' in row]
    lines = [['day', *columns]]
    for name, part in parts.items():
        line = [name]
        for way, key, form in columns.values():
            values = [row[way][key] for row in part if way in row]
            line.append(format(fmean(values), form) if values else '–')
        lines.append(line)
    return lines


def main(argv: Optional[List[str]] = None) -> None:
    defaults: Any = dict(threads=1, output='runs/every_day')
    made = parser(__doc__, 'threads output', **defaults)
    add = made.add_argument
    add('--seeds', nargs='+', type=natural, default=[0], help='a log each')
    add('--days', type=positive, default=8, help='days to train on')
    add('--window', type=positive, default=7, help='days that a model sees')
    add('--sessions', type=positive, default=400, help='sessions a day')
    args = made.parse_args(argv)
    torch.set_num_threads(args.threads)
    rows = [row for seed in args.seeds for row in run_days(args, seed)]
    settings = {k: v for k, v in vars(args).items() if k != 'output'}
    report = {
        'command': command('every_day.py', argv),
        'about': f'SRGNN; generated logs of seeds {args.seeds}',
        'table': table(rows),
        'settings': {**settings, **MODEL, 'epochs': EPOCHS},
        'environment': environment('cpu'),
        'rows': rows,
    }
    write(osp.join(args.output, 'every_day.json'), report)


if __name__ == '__main__':
    main()
