"""Trains every day, anew and from yesterday's model, on a log that drifts.

Every day some items go and others come in their place, tastes change, and
what follows an item does too. On the evening of a day a model is trained on
the last days; the sessions of the next day test it, of which clicks on items
that were never seen before are left out. Minutes are those of the processor,
so that a busy machine does not change them.
"""

import csv
from typing import Any, Iterator, List

import torch
from torch import Tensor

DAY = 86_400
MODEL = dict(scale=16.0, dropout=0.2, num_layers=1)
# Chances of a click: to follow from the last one, or to go back.
FOLLOWS, REPEATS = 0.7, 0.1


def days(args: Any) -> Iterator[List[List[int]]]:
    """Sessions of each day; an item that is new has a new number."""
    torch.manual_seed(args.seed)
    n = args.items
    item, newest = torch.arange(n), n
    taste = torch.randn(n)
    after = torch.randint(n, (n, 8))
    while True:
        chance = (1.2 * taste).softmax(0)
        length = 2 + torch.distributions.Geometric(0.35).sample(
            [args.sessions]
        )
        yield [
            item[list(_walk(int(x), chance, after))].tolist() for x in length
        ]
        gone = torch.rand(n) < args.turnover
        item[gone] = torch.arange(newest, newest + int(gone.sum()))
        newest += int(gone.sum())
        taste = 0.95 * taste + 0.3 * torch.randn(n)
        moved = torch.rand(n) < args.turnover
        after[moved] = torch.randint(n, (int(moved.sum()), 8))


def _walk(length: int, chance: Tensor, after: Tensor) -> List[int]:
    first = torch.multinomial(chance, length, replacement=True).tolist()
    draw, place = torch.rand(length).tolist(), torch.rand(length).tolist()
    clicks: List[int] = []
    for popular, x, y in zip(first, draw, place):
        if clicks and x < FOLLOWS:  # Some followers more often than others
            clicks.append(int(after[clicks[-1], int(8 * y * y)]))
        elif clicks and x < FOLLOWS + REPEATS:
            clicks.append(clicks[int(len(clicks) * y)])
        else:
            clicks.append(popular)
    return clicks


def write_day(path: str, day: int, sessions: List[List[int]]) -> None:
    with open(path, 'w', newline='') as f:
        writer = csv.writer(f)
        writer.writerow(['session_id', 'item_id', 'time'])
        for i, items in enumerate(sessions):
            start = day * DAY + i * DAY // (len(sessions) + 1)
            for click, item in enumerate(items):
                row = [f'{day}-{i}', f'i{item}', start + click]
                writer.writerow(row)
