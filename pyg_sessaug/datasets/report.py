r"""What was prepared: checked, and told in ten lines before training."""

from datetime import datetime, timedelta
from typing import Any, Dict, Iterator, Tuple

import numpy as np
import torch
from torch import Tensor

from pyg_sessaug.data.sessions import CHUNK, Array, Sessions


def check_prepared(name: str, raw: Dict[str, Any]) -> None:
    r"""Refuses what a data set should not return.

    Args:
        name (str): Its class.
        raw (dict): What :meth:`SessionDataset.prepare` returned.

    Raises:
        ValueError: If an item is out of range, lengths do not add up, or a
            target, a time or a category is out of place.
    """
    num_items = len(raw['item_ids'])
    for split in ('train', 'val', 'test'):
        if split not in raw:
            continue
        sessions, where = raw[split], f"{name}.prepare(): {split}'s"
        item, ptr, target = sessions.kept, sessions.ptr, sessions.listed
        bad = ((item < 0) | (item >= num_items)).nonzero().view(-1)
        if bad.numel() > 0:
            raise ValueError(
                f'{where} click {int(bad[0])} is item {int(item[bad[0]])}, '
                f'but items go from 0 to {num_items - 1}, as `item_ids` has '
                f'{num_items}'
            )
        if int(ptr[0]) != 0 or int(ptr[-1]) != item.numel():
            raise ValueError(
                f'{where} lengths add up to {int(ptr[-1] - ptr[0])}, but it '
                f'has {item.numel()} clicks'
            )
        if (ptr.diff() < 1).any():
            raise ValueError(
                f'{where} session {int((ptr.diff() < 1).nonzero()[0])} has '
                f'no clicks; leave it out'
            )
        if target is not None:
            first = torch.zeros(item.numel() + 1, dtype=torch.bool)
            first[ptr] = True
            outside = ((target < 0) | (target >= item.numel())).any()
            if outside or first[target].any():
                raise ValueError(
                    f'{where} targets must be positions of clicks that are '
                    f'not the first of their session'
                )
        if sessions.time is not None and sessions.time.shape != item.shape:
            raise ValueError(
                f'{where} times are of shape {list(sessions.time.shape)}, '
                f'but it has {item.numel()} clicks'
            )
    categories = raw['categories']
    if categories is not None and categories.shape != (num_items,):
        raise ValueError(
            f'{name}.prepare(): categories are of shape '
            f'{list(categories.shape)}, but there are {num_items} items'
        )


def make_report(
    parts: Dict[str, Sessions], num_items: int, read: Dict[str, Any]
) -> Dict[str, Any]:
    r"""Describes prepared sessions in plain values.

    Args:
        parts (dict): Sessions of each split.
        num_items (int): Size of the vocabulary.
        read (dict): What reading and filtering a log had to say: rows
            :obj:`read`, :obj:`dropped` by reason, :obj:`warnings`, ...

    Returns:
        dict: :obj:`read` with :obj:`items`, :obj:`length` (median, 99 % and
        longest over all sessions), :obj:`repeats` (share of clicks on an
        item that the session had before) and :obj:`splits`.
    """
    length = torch.cat([x.length for x in parts.values()])
    middle = length.sort()[0]

    def at(share: float) -> int:
        return int(middle[int(share * (middle.numel() - 1))])

    clicks = sum(x.num_clicks for x in parts.values())
    repeats = sum(map(_count_repeats, parts.values()))
    return {
        **read,
        'sessions': length.numel(),
        'items': num_items,
        'clicks': clicks,
        'length': [at(0.5), at(0.99), at(1.0)],
        'repeats': repeats / clicks,
        'splits': {
            name: {
                'sessions': x.num_sessions,
                'clicks': x.num_clicks,
                'samples': x.num_samples,
                'from': _start(x),
            }
            for name, x in parts.items()
        },
    }


def format_report(report: Dict[str, Any]) -> str:
    r"""The report as text.

    Args:
        report (dict): What :func:`make_report` returned.
    """
    lines = []
    if 'read' in report:
        kept = report['read'] - sum(report['dropped'].values())
        lines.append(f'{report["read"]:,} rows read, {kept:,} kept')
        lines += [
            f'  {count:,} left out: {reason}'
            for reason, count in report['dropped'].items()
        ]
    if 'period' in report:
        first, last = map(spell_date, report['period'])
        lines.append(f'clicks from {first} to {last}')
    median, most, longest = report['length']
    lines += [
        f'{report["sessions"]:,} sessions, {report["items"]:,} items, '
        f'{report["clicks"]:,} clicks',
        f'clicks per session: {median} (median), {most} (99 %), {longest} '
        f'(longest)',
        f'{report["repeats"]:.1%} of clicks are on an item clicked before in '
        f'their session',
    ]
    if report.get('duplicates'):
        lines.append(
            f'{report["duplicates"]:,} clicks repeat session, item and time '
            f'of another; --drop-duplicates leaves them out'
        )
    for name, split in report['splits'].items():
        start = split['from']
        since = '' if start is None else f', from {spell_date(start)}'
        lines.append(
            f'{name}: {split["sessions"]:,} sessions, '
            f'{split["samples"]:,} samples{since}'
        )
    lines += [f'warning: {x}' for x in report.get('warnings', [])]
    return '\n'.join(lines)


def spell_date(seconds: float) -> str:
    r"""A time since 1970 as a date, or one that is relative as seconds."""
    if seconds < 366 * 86_400:
        return f'second {seconds:.0f}'
    date = datetime(1970, 1, 1) + timedelta(0, seconds)
    return f'{date:%Y-%m-%d %H:%M:%S}'


def _start(sessions: Sessions) -> Any:
    r"""Last click of the first session to end."""
    if sessions.time is None or sessions.num_sessions == 0:
        return None
    return float(sessions.time[sessions.ptr[1:] - 1].min())


def find_repeats(sessions: Sessions) -> Tensor:
    r"""Whether each click is on an item that was clicked before in its
    session, ``[num_clicks]`` bool.
    """
    repeats = torch.zeros(sessions.num_clicks, dtype=torch.bool)
    for clicks, key in _chunks(sessions):
        order = key.argsort(kind='stable')
        value = torch.from_numpy(key[order])
        again = torch.from_numpy(order[1:])[value[1:] == value[:-1]]
        repeats[clicks][again] = True
    return repeats


def _count_repeats(sessions: Sessions) -> int:
    r"""How many these are, in less time than it takes to find them."""
    repeats = 0
    for _, key in _chunks(sessions):
        key.sort()
        repeats += int((key[1:] == key[:-1]).sum())
    return repeats


def _chunks(sessions: Sessions) -> Iterator[Tuple[slice, Array]]:
    r"""Clicks of whole sessions, about a chunk of them at a time, and what
    tells their session and item.
    """
    item, ptr = sessions.kept.numpy(), sessions.ptr.numpy()
    first, width = 0, 1 + int(item.max(initial=0))
    while first < ptr.size - 1:
        end = int(np.searchsorted(ptr, ptr[first] + CHUNK, 'right')) - 1
        end = max(first + 1, end)
        owner = np.repeat(
            np.arange(end - first), np.diff(ptr[first : end + 1])
        )
        clicks = slice(int(ptr[first]), int(ptr[end]))
        yield clicks, owner * width + item[clicks]
        first = end
