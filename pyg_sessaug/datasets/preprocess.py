r"""From a table of clicks to filtered, split and indexed sessions."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from pyg_sessaug.data.sessions import Sessions, expand_ranges

DAY = 86_400


@dataclass
class Clicks:
    r"""A table of clicks, its rows in the order of the log.

    Args:
        session (Tensor): Session of each click, ``[num_clicks]``, int64, any
            values.
        item (Tensor): Raw item id of each click, ``[num_clicks]``, int64; a
            position in :obj:`item_names` where that is given.
        time (Tensor): Seconds of each click, ``[num_clicks]``, float64.
        order (Tensor, optional): What sorts the clicks of a session,
            ``[num_clicks]``. (default: :obj:`None`, which is :obj:`time`)
        date (Tensor, optional): Seconds, ``[num_clicks]``, float64; that of
            its last row in the log dates a session. (default: :obj:`None`,
            a session's date is the time of its last click)
        category (Tensor, optional): Category of each click,
            ``[num_clicks]``, int64 from 0, or -1 for none.
            (default: :obj:`None`)
        item_names (list, optional): Raw item ids that are strings.
            (default: :obj:`None`)
    """

    session: Tensor
    item: Tensor
    time: Tensor
    order: Optional[Tensor] = None
    date: Optional[Tensor] = None
    category: Optional[Tensor] = None
    item_names: Optional[List[str]] = None

    def select(self, mask: Tensor) -> 'Clicks':
        r"""The clicks where :obj:`mask`, ``[num_clicks]`` bool, is set."""
        order, date, category = (
            None if value is None else value[mask]
            for value in (self.order, self.date, self.category)
        )
        return Clicks(
            self.session[mask],
            self.item[mask],
            self.time[mask],
            order,
            date,
            category,
            self.item_names,
        )


def prepare_clicks(
    clicks: Clicks,
    min_item_clicks: int = 5,
    test_days: float = 7,
    drop_boundary: bool = False,
    session_gap: Optional[float] = None,
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
            days. (default: :obj:`7`)
        drop_boundary (bool): Whether sessions exactly at the beginning of
            the test period belong to neither split, as in SR-GNN's code,
            rather than to training. (default: :obj:`False`)
        session_gap (float, optional): Seconds without a click after which a
            new session begins. (default: :obj:`None`, sessions are those of
            the log)

    Returns:
        dict: :obj:`train` and :obj:`test` (:class:`Sessions` by date, then
        by first row in the log), :obj:`item_ids` ([num_items] int64 or list
        of strings) and :obj:`categories` ([num_items] int64 or
        :obj:`None`), the most frequent category of each item over training
        clicks, the lowest of equally frequent ones, -1 without any.

    Raises:
        ValueError: If a time is not finite, or no session is left for
            training or testing.
    """
    if clicks.item.numel() == 0:
        raise ValueError('the log has no clicks')
    bad = (~clicks.time.isfinite()).nonzero().view(-1)
    if bad.numel() > 0:
        raise ValueError(
            f'click {int(bad[0])} of the log has time '
            f'{float(clicks.time[bad[0]])}; remove clicks without a time'
        )
    row, session = _sort(clicks, session_gap)
    # As in SR-GNN's code, clicks dropped below count for these:
    first, date = _first_rows_and_dates(clicks, row, session)
    keep = _in_long_session(session)
    row, session = row[keep], session[keep]
    ids, item = clicks.item[row].unique(return_inverse=True)
    keep = item.bincount()[item] >= min_item_clicks
    row, session, item = row[keep], session[keep], item[keep]
    keep = _in_long_session(session)
    row, session, item = row[keep], session[keep], item[keep]
    if row.numel() == 0:
        raise ValueError(
            f'no session has 2 clicks on items with at least '
            f'{min_item_clicks} clicks; lower `min_item_clicks` '
            f'(--min-item-clicks)'
        )

    kept, length = session.unique_consecutive(return_counts=True)
    ptr = cumsum(length)
    by_date = first[kept].argsort()
    by_date = by_date[date[kept][by_date].argsort(stable=True)]
    date = date[kept][by_date]
    split = date[-1] - test_days * DAY
    train = by_date[date < split if drop_boundary else date <= split]
    test = by_date[date > split]
    if train.numel() == 0 or test.numel() == 0:
        days = float(date[-1] - date[0]) / DAY
        raise ValueError(
            f'the last {test_days} days of the log leave {train.numel()} '
            f'training and {test.numel()} test sessions, and its sessions '
            f'span {days:.3g} days; change `test_days` (--test-days)'
        )

    train_length = length[train]
    train = expand_ranges(ptr[train], train_length)[0]
    test, session, _ = expand_ranges(ptr[test], length[test])
    known, number = _vocabulary(item[train], ids.numel())
    train_item, test_item = number[item[train]], number[item[test]]
    train, test = row[train], row[test]
    keep = test_item >= 0
    test, test_item, session = test[keep], test_item[keep], session[keep]
    keep = _in_long_session(session)
    if not keep.any():
        raise ValueError(
            'no test session has 2 clicks on items of the training '
            'sessions; change `test_days` (--test-days)'
        )
    test, test_item, session = test[keep], test_item[keep], session[keep]
    _, test_length = session.unique_consecutive(return_counts=True)

    ids = ids[known]
    names, categories = clicks.item_names, None
    if clicks.category is not None:
        categories = _item_categories(
            train_item, clicks.category[train], ids.numel()
        )
    return {
        'train': Sessions.from_lengths(
            train_item, train_length, clicks.time[train]
        ),
        'test': Sessions.from_lengths(
            test_item, test_length, clicks.time[test]
        ),
        'item_ids': ids if names is None else [names[i] for i in ids.tolist()],
        'categories': categories,
    }


def newest_samples(sessions: Sessions, count: int) -> Sessions:
    r"""Keeps the newest samples, as SR-GNN's code cuts YooChoose.

    There the samples of a session stand longest first, so the session that
    the cut runs through keeps its shortest prefixes: it is truncated.

    Args:
        sessions (Sessions): Oldest first, all prefixes being samples.
        count (int): Samples to keep, at least 1.
    """
    last = (sessions.length - 1).cumsum(0)
    surplus = int(last[-1]) - count
    if surplus <= 0:
        return sessions
    first = int(torch.searchsorted(last, surplus, right=True))
    length = sessions.length[first:].clone()
    length[0] = last[first] - surplus + 1
    click, _, _ = expand_ranges(sessions.ptr[first:-1], length)
    time = sessions.time
    return Sessions.from_lengths(
        sessions.item[click], length, None if time is None else time[click]
    )


def _sort(clicks: Clicks, gap: Optional[float]) -> Tuple[Tensor, Tensor]:
    r"""Rows by session, then order, then row; and their session number."""
    session, time = clicks.session, clicks.time
    order = time if clicks.order is None else clicks.order
    row = torch.arange(session.numel())
    same = session[1:] == session[:-1]
    # Most logs are sorted, which is ten times faster to see than to do.
    if not (
        (session[1:] > session[:-1]) | (same & (order[1:] >= order[:-1]))
    ).all():
        row = order.argsort(stable=True)
        row = row[session[row].argsort(stable=True)]
        session, time = session[row], time[row]
        same = session[1:] == session[:-1]
    if gap is not None:
        same &= time.diff() <= gap
    number = torch.zeros_like(session)
    number[1:] = (~same).cumsum(0)
    return row, number


def _in_long_session(session: Tensor) -> Tensor:
    return session.bincount()[session] >= 2


def _first_rows_and_dates(
    clicks: Clicks,
    row: Tensor,
    session: Tensor,
) -> Tuple[Tensor, Tensor]:
    length = session.bincount()
    first, last = (
        torch.empty_like(length).scatter_reduce_(
            0, session, row, reduce, include_self=False
        )
        for reduce in ['amin', 'amax']
    )
    if clicks.date is None:
        return first, clicks.time[row[length.cumsum(0) - 1]]
    return first, clicks.date[last]


def _vocabulary(item: Tensor, size: int) -> Tuple[Tensor, Tensor]:
    r"""Items by first click; and the number of each item, -1 if absent."""
    first = torch.full((size,), item.numel()).scatter_reduce_(
        0, item, torch.arange(item.numel()), 'amin'
    )
    known = first.argsort()[: int((first < item.numel()).sum())]
    number = torch.full((size,), -1)
    number[known] = torch.arange(known.numel())
    return known, number


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
