r"""From a table of clicks to filtered, split and indexed sessions."""

from dataclasses import replace
from typing import Any, Dict, Optional, Tuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from pyg_sessaug.data.sessions import (
    CHUNK,
    Sessions,
    count_items,
    gather,
    look_up,
    masked,
    repeat,
)
from pyg_sessaug.datasets.clicks import Clicks

DAY = 86_400
#: Ids that span no more are looked up in a table, and not sorted.
NARROW = 1 << 25


def prepare_clicks(
    clicks: Clicks,
    min_item_clicks: int = 5,
    test_days: float = 7,
    drop_boundary: bool = False,
    session_gap: Optional[float] = None,
    test_from: Optional[float] = None,
    test_ratio: Optional[float] = None,
    min_session_length: int = 2,
    consume: bool = False,
) -> Dict[str, Any]:
    r"""Filters, splits and indexes clicks as SR-GNN's preprocessing does.

    Sessions of one click are dropped, then items with too few clicks, then
    sessions with fewer than 2 clicks left. Whole sessions are split in time:
    filtering before splitting is the protocol of the thesis and the field,
    although it lets the test period decide which items are rare. The
    vocabulary is that of the training sessions, in order of first click;
    other items are removed from the test sessions, of which those with fewer
    than 2 clicks left are dropped.

    Args:
        clicks (Clicks): The log.
        min_item_clicks (int): Clicks that an item needs.
            (default: :obj:`5`)
        test_days (float): Length of the test period, the end of the log, in
            days; with :obj:`0` all is for training. (default: :obj:`7`)
        drop_boundary (bool): Whether sessions exactly at the beginning of
            the test period belong to neither split, as in SR-GNN's code,
            rather than to training. (default: :obj:`False`)
        session_gap (float, optional): Seconds without a click after which a
            new session begins. (default: :obj:`None`, sessions are those of
            the log)
        test_from (float, optional): Second at which the test period begins,
            in place of :obj:`test_days`. (default: :obj:`None`)
        test_ratio (float, optional): Share of the sessions, the newest, for
            testing, in place of :obj:`test_days`. (default: :obj:`None`)
        min_session_length (int): Clicks that a session needs, at least 2.
            (default: :obj:`2`)
        consume (bool): Whether :obj:`clicks` may be emptied on the way,
            which spares memory. (default: :obj:`False`)

    Returns:
        dict: :obj:`train`, :obj:`test` and, where the log has such a part,
        :obj:`val` (:class:`Sessions` by date, then by first row in the log),
        :obj:`item_ids` ([num_items] int64 or list of strings),
        :obj:`categories` ([num_items] int64 or :obj:`None`), the most
        frequent category of each item over training clicks, the lowest of
        equally frequent ones, -1 without any, and :obj:`report`.

    Raises:
        ValueError: If a time is not finite, or no session is left for
            training or testing.
    """
    if clicks.item.numel() == 0:
        raise ValueError('the log has no clicks')
    for i, time in enumerate(clicks.time.split(CHUNK)):
        bad = (~time.isfinite()).nonzero().view(-1)
        if bad.numel() > 0:
            raise ValueError(
                f'click {i * CHUNK + int(bad[0])} of the log has time '
                f'{float(time[bad[0]])}; remove clicks without a time'
            )
    report = {**clicks.report, 'period': [*map(float, clicks.time.aminmax())]}
    dropped = dict(report.get('dropped', {}))
    given, clicks = clicks, _sorted(clicks)
    is_new = _begins_session(clicks, session_gap)
    start = is_new.nonzero().view(-1)
    size = start.diff(append=start.new_tensor([is_new.numel()]))
    # As in SR-GNN's code, clicks dropped below count for these:
    first, date = _first_rows_and_dates(clicks, start, size)
    report['duplicates'] = _count_duplicates(clicks, is_new)
    part = None if clicks.part is None else clicks.part[start]

    ids: Any = clicks.item_names
    item, time, category = clicks.item, clicks.time, clicks.category
    del clicks, is_new
    if consume:
        given.clear()
    if ids is None:
        ids, item = _distinct(item)
    # Masks, so that clicks are copied once.
    least = min_session_length
    keep = repeat(size >= least, size)
    count = count_items(masked(item, keep), len(ids))
    both = keep & look_up(count >= min_item_clicks, item)
    length = _lengths(both, start)
    kept = (length >= least).nonzero().view(-1)
    few = keep.numel() - int(keep.sum())
    rare = int(keep.sum()) - int(both.sum())
    few += int(both.sum()) - int(length[kept].sum())
    if few:
        dropped[f'in sessions of fewer than {least} clicks'] = few
    if rare:
        dropped['on rare items'] = rare
    if kept.numel() == 0:
        if not (size >= least).any():
            raise ValueError(
                f'none of {size.numel():,} sessions has {least} clicks; see '
                f'that the column of sessions (--session) names sessions, or '
                f'people, with `session_gap` (--session-gap), and not clicks'
            )
        raise ValueError(
            f'no session has {least} clicks on items with at least '
            f'{min_item_clicks} clicks; lower `min_item_clicks` '
            f'(--min-item-clicks)'
        )
    keep = both & repeat(length >= least, size)
    item = masked(item, keep)
    time = masked(time, keep)
    category = None if category is None else masked(category, keep)
    del both, keep, start, size
    length = length[kept]
    ptr = cumsum(length)
    by_date = first[kept].argsort()
    by_date = by_date[date[kept][by_date].argsort(stable=True)]
    date = date[kept][by_date]
    del first
    masks = _split(
        date,
        None if part is None else part[kept][by_date],
        test_days,
        drop_boundary,
        test_from,
        test_ratio,
    )
    at_boundary = ~(masks['train'] | masks['val'] | masks['test'])
    if at_boundary.any():
        dropped['at the boundary of the splits'] = int(
            length[by_date[at_boundary]].sum()
        )
    train = by_date[masks['train']]
    train_start, train_length = ptr[train], length[train]
    number_of, known = _vocabulary(
        gather(item, train_start, train_length), len(ids)
    )
    out: Dict[str, Any] = {}
    for name in ('val', 'test'):
        chosen = by_date[masks[name]]
        begin, size = ptr[chosen], length[chosen]
        numbers = look_up(number_of, gather(item, begin, size))
        keep = numbers >= 0
        left = _lengths(keep, cumsum(size)[:-1])
        keep &= repeat(left >= 2, size)
        unknown = keep.numel() - int(keep.sum())
        if unknown:
            reason = 'of val or test on items unknown to training'
            dropped[reason] = dropped.get(reason, 0) + unknown
        if chosen.numel() > 0 and not keep.any():
            raise ValueError(
                f'no {name} session has 2 clicks on items of the training '
                f'sessions; change `test_days` (--test-days)'
            )
        out[name] = Sessions.from_lengths(
            masked(numbers, keep),
            left[left >= 2],
            masked(gather(time, begin, size), keep),
        )
        if chosen.numel() > 0:
            report[f'{name}_from'] = float(date[masks[name]].min())
    # Last, as they take most memory, and without what they are made of.
    del train, chosen, by_date, ptr, length, kept, date, masks, keep, numbers
    train_item = gather(item, train_start, train_length)
    del item
    train_item = look_up(number_of, train_item)
    categories = None
    if category is not None:
        categories = _item_categories(
            train_item.long(),
            gather(category, train_start, train_length),
            known.numel(),
        )
    train_time = gather(time, train_start, train_length)
    del time
    out['train'] = Sessions.from_lengths(train_item, train_length, train_time)
    if part is None:
        del out['val']
    report['dropped'] = dropped
    names = ids[known] if isinstance(ids, Tensor) else None
    return {
        **out,
        'item_ids': names if names is not None else [ids[i] for i in known],
        'categories': categories,
        'report': report,
    }


def _split(
    date: Tensor,
    part: Optional[Tensor],
    test_days: float,
    drop_boundary: bool,
    test_from: Optional[float],
    test_ratio: Optional[float],
) -> Dict[str, Tensor]:
    r"""Which sessions, oldest first, belong to each split."""
    if part is not None:
        names = ('train', 'val', 'test')
        masks = {name: part == i for i, name in enumerate(names)}
        split = float('nan')
    elif test_ratio is not None:
        count = round(test_ratio * date.numel())
        test = torch.arange(date.numel()) >= date.numel() - count
        masks = {'train': ~test, 'test': test}
    elif test_from is not None:
        masks = {'train': date < test_from, 'test': date >= test_from}
    elif test_days == 0:
        every = torch.ones_like(date, dtype=torch.bool)
        masks = {'train': every, 'test': ~every}
    else:
        split = float(date[-1]) - test_days * DAY
        train = date < split if drop_boundary else date <= split
        masks = {'train': train, 'test': date > split}
    masks.setdefault('val', torch.zeros_like(masks['train']))
    sizes = {name: int(mask.sum()) for name, mask in masks.items()}
    wants_test = test_days != 0 or test_from is not None or part is not None
    if sizes['train'] == 0 or (wants_test and sizes['test'] == 0):
        days = float(date.max() - date.min()) / DAY
        raise ValueError(
            f'the last {test_days} days of the log leave {sizes["train"]} '
            f'training and {sizes["test"]} test sessions, and its sessions '
            f'span {days:.3g} days; change `test_days` (--test-days), or how '
            f'else it is split; if they span more, their times are in another '
            f'unit: pass `time_unit` (--time-unit), its seconds'
        )
    return masks


def _sorted(clicks: Clicks) -> Clicks:
    r"""Clicks by part, session, order and row."""
    session, order = clicks.session, clicks.order
    order = clicks.time if order is None else order
    if clicks.part is not None:
        return clicks  # As the reader sorts them.
    # Most logs are sorted, which is ten times faster to see than to do.
    starts = range(0, session.numel() - 1, CHUNK)
    parts = (slice(i, i + CHUNK + 1) for i in starts)
    if all(_ascends(session[part], order[part]) for part in parts):
        return clicks
    row = order.argsort(stable=True)
    row = row[session[row].argsort(stable=True)]
    clicks = clicks.select(row)
    return clicks if clicks.row is not None else replace(clicks, row=row)


def _ascends(session: Tensor, order: Tensor) -> bool:
    new = session[1:] > session[:-1]
    same = session[1:] == session[:-1]
    return bool((new | (same & (order[1:] >= order[:-1]))).all())


def _begins_session(clicks: Clicks, gap: Optional[float]) -> Tensor:
    r"""Whether each click is the first of a session, ``[num_clicks]``."""
    session = clicks.session
    is_new = torch.ones(session.numel(), dtype=torch.bool)
    torch.ne(session[1:], session[:-1], out=is_new[1:])
    if clicks.part is not None:
        is_new[1:] |= clicks.part[1:] != clicks.part[:-1]
    if gap is not None:
        parts = is_new[1:], clicks.time[1:], clicks.time[:-1]
        for new, later, earlier in zip(*(x.split(CHUNK) for x in parts)):
            new |= later - earlier > gap
    return is_new


def _distinct(item: Tensor) -> Tuple[Tensor, Tensor]:
    r"""Ids, ascending, and the place of each click's among them."""
    low, high = map(int, item.aminmax())
    if high - low >= NARROW:
        return item.unique(return_inverse=True)
    place = count_items(item - low if low else item, high - low + 1) > 0
    ids = place.nonzero().view(-1) + low
    number = place.cumsum(0, dtype=torch.int32) - 1
    out = torch.empty(item.shape, dtype=torch.int32)
    for into, raw in zip(out.split(CHUNK), item.split(CHUNK)):
        into.copy_(look_up(number, raw - low))
    return ids, out


def _lengths(keep: Tensor, start: Tensor) -> Tensor:
    r"""How many clicks of each session are kept, ``[num_sessions]`` int64."""
    return torch.from_numpy(
        np.add.reduceat(keep.numpy(), start.numpy(), dtype=np.int64)
    )


def _count_duplicates(clicks: Clicks, is_new: Tensor) -> int:
    r"""Clicks that repeat another's session, item and time."""
    time = clicks.time
    tied = ~is_new
    tied[1:] &= time[1:] == time[:-1]
    within = tied.clone()
    within[:-1] |= tied[1:]
    item = masked(clicks.item, within)
    run = (~masked(tied, within)).cumsum(0)
    if item.numel() == 0:
        return 0
    _, item = _distinct(item)  # From 0
    key = (run * (1 + int(item.max())) + item).numpy()
    return key.size - np.unique(key).size


def _first_rows_and_dates(
    clicks: Clicks, start: Tensor, size: Tensor
) -> Tuple[Tensor, Tensor]:
    end = start + size - 1
    first, last = start, end
    if clicks.row is not None:
        row, begin = clicks.row.numpy(), start.numpy()
        first = torch.from_numpy(np.minimum.reduceat(row, begin))
        last = torch.from_numpy(np.maximum.reduceat(row, begin))
    if clicks.date is None:
        return first, clicks.time[end]
    # The date of the row that comes last in the log:
    if clicks.row is None:
        return first, clicks.date[last]
    return first, clicks.date[clicks.row == repeat(last, size)]


def _vocabulary(item: Tensor, size: int) -> Tuple[Tensor, Tensor]:
    r"""The number of each item, -1 if absent; and items by first click."""
    first = np.full(size, item.numel())
    # Of equal places the one written last stays:
    for stop in range(item.numel(), 0, -CHUNK):
        part = np.arange(max(0, stop - CHUNK), stop)[::-1]
        first[item.numpy()[part]] = part
    order = torch.from_numpy(first).argsort()
    known = order[: int((first < item.numel()).sum())]
    number = torch.full((size,), -1, dtype=torch.int32)
    number[known] = torch.arange(known.numel(), dtype=torch.int32)
    return number, known


def _item_categories(
    item: Tensor,
    category: Tensor,
    num_items: int,
) -> Tensor:
    r"""Most frequent category of each item, from 0, or -1."""
    result = torch.full((num_items,), -1)
    known = category >= 0
    if not known.any():
        return result
    item, category = item[known], category[known]
    size = int(category.max()) + 1
    pair, count = (item * size + category).unique(return_counts=True)
    order = count.argsort(descending=True, stable=True)
    item = pair[order] // size
    order = order[item.argsort(stable=True)]
    item, count = (pair[order] // size).unique_consecutive(return_counts=True)
    best = pair[order][cumsum(count)[:-1]] % size
    result[item] = best.unique(return_inverse=True)[1]
    return result
