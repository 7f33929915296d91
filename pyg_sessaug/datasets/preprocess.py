r"""From a table of clicks to filtered, split and indexed sessions."""

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from pyg_sessaug.data.sessions import Sessions, expand_ranges

DAY = 86_400
#: Ids that span no more are looked up in a table, and not sorted.
NARROW = 1 << 25


@dataclass
class Clicks:
    r"""A table of clicks.

    Args:
        session (Tensor): Session of each click, ``[num_clicks]``, integers of
            any value.
        item (Tensor): Raw item id of each click, ``[num_clicks]``, integers;
            a position in :obj:`item_names` where that is given.
        time (Tensor): Seconds of each click, ``[num_clicks]``, float64.
        order (Tensor, optional): What sorts the clicks of a session,
            ``[num_clicks]``. (default: :obj:`None`, which is :obj:`time`)
        date (Tensor, optional): Seconds, ``[num_clicks]``, float64; that of
            its last row in the log dates a session. (default: :obj:`None`,
            a session's date is the time of its last click)
        category (Tensor, optional): Category of each click,
            ``[num_clicks]``, int64 from 0, or -1 for none.
            (default: :obj:`None`)
        item_names (list or Tensor, optional): Raw item ids by position.
            (default: :obj:`None`)
        row (Tensor, optional): Row of each click in the log,
            ``[num_clicks]``, integers. (default: :obj:`None`, in the order
            of the log)
        part (Tensor, optional): Of a log that is split already: 0 for
            training, 1 for validation, 2 for test, ``[num_clicks]``.
            (default: :obj:`None`)
        category_names (list, optional): What categories stand for.
            (default: :obj:`None`)
        report (dict): What the reader has to say.
            (default: an empty one)
    """

    session: Tensor
    item: Tensor
    time: Tensor
    order: Optional[Tensor] = None
    date: Optional[Tensor] = None
    category: Optional[Tensor] = None
    item_names: Union[List[str], Tensor, None] = None
    row: Optional[Tensor] = None
    part: Optional[Tensor] = None
    category_names: Optional[List[str]] = None
    report: Dict[str, Any] = field(default_factory=dict)

    @property
    def raw_item(self) -> Tensor:
        r"""Raw ids that are integers, ``[num_clicks]``, int64."""
        if isinstance(self.item_names, Tensor):
            return self.item_names[self.item.long()]
        return self.item.long()

    def select(self, keep: Tensor) -> 'Clicks':
        r"""The clicks of a mask, ``[num_clicks]`` bool, or of indices."""
        values: Dict[str, Any] = {
            key: value[keep]
            for key, value in vars(self).items()
            if isinstance(value, Tensor) and key != 'item_names'
        }
        return replace(self, **values)


def prepare_clicks(
    clicks: Clicks,
    min_item_clicks: int = 5,
    test_days: float = 7,
    drop_boundary: bool = False,
    session_gap: Optional[float] = None,
    test_from: Optional[float] = None,
    test_ratio: Optional[float] = None,
    min_session_length: int = 2,
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
    bad = (~clicks.time.isfinite()).nonzero().view(-1)
    if bad.numel() > 0:
        raise ValueError(
            f'click {int(bad[0])} of the log has time '
            f'{float(clicks.time[bad[0]])}; remove clicks without a time'
        )
    clicks = _sorted(clicks)
    session = _number_sessions(clicks, session_gap)
    # As in SR-GNN's code, clicks dropped below count for these:
    first, date = _first_rows_and_dates(clicks, session)
    report = {**clicks.report, 'period': [*map(float, clicks.time.aminmax())]}
    report['duplicates'] = _count_duplicates(clicks, session)
    part = None
    if clicks.part is not None:
        part = torch.zeros(first.numel(), dtype=torch.int8)
        part[session] = clicks.part
    dropped = dict(report.get('dropped', {}))

    def drop(keep: Tensor, reason: str) -> None:
        nonlocal clicks, session
        lost = keep.numel() - int(keep.sum())
        if lost:
            dropped[reason] = dropped.get(reason, 0) + lost
            clicks, session = clicks.select(keep), session[keep]

    few = f'in sessions of fewer than {min_session_length} clicks'
    ids: Any = clicks.item_names
    if ids is None:
        ids, item = _distinct(clicks.item)
        clicks = replace(clicks, item=item)
    drop(_in_long_session(session, min_session_length), few)
    count = torch.bincount(clicks.item, minlength=len(ids))
    drop((count >= min_item_clicks)[clicks.item], 'on rare items')
    drop(_in_long_session(session, min_session_length), few)
    if session.numel() == 0:
        raise ValueError(
            f'no session has {min_session_length} clicks on items with at '
            f'least {min_item_clicks} clicks; lower `min_item_clicks` '
            f'(--min-item-clicks)'
        )

    kept, length = session.unique_consecutive(return_counts=True)
    kept, ptr = kept.long(), cumsum(length)
    by_date = first[kept].argsort()
    by_date = by_date[date[kept][by_date].argsort(stable=True)]
    date = date[kept][by_date]
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
    train_length = length[train]
    click = _clicks_of(ptr, train, train_length)
    known, number = _vocabulary(clicks.item[click], len(ids))
    out: Dict[str, Any] = {
        'train': Sessions.from_lengths(
            number[clicks.item[click]], train_length, clicks.time[click]
        )
    }
    categories = None
    if clicks.category is not None:
        categories = _item_categories(
            out['train'].item, clicks.category[click], known.numel()
        )
    for name in ('val', 'test'):
        chosen = by_date[masks[name]]
        click = _clicks_of(ptr, chosen, length[chosen])
        owner = torch.repeat_interleave(length[chosen])
        item = number[clicks.item[click]]
        keep = item >= 0
        item, click, owner = item[keep], click[keep], owner[keep]
        enough = _in_long_session(owner, 2)
        lost = int(length[chosen].sum()) - int(enough.sum())
        if lost:
            reason = 'of val or test on items unknown to training'
            dropped[reason] = dropped.get(reason, 0) + lost
        if chosen.numel() > 0 and not enough.any():
            raise ValueError(
                f'no {name} session has 2 clicks on items of the training '
                f'sessions; change `test_days` (--test-days)'
            )
        _, test_length = owner[enough].unique_consecutive(return_counts=True)
        out[name] = Sessions.from_lengths(
            item[enough], test_length, clicks.time[click[enough]]
        )
        if chosen.numel() > 0:
            report[f'{name}_from'] = float(date[masks[name]].min())
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
            f'else it is split'
        )
    return masks


def _clicks_of(ptr: Tensor, session: Tensor, length: Tensor) -> Tensor:
    # Most logs are sorted by date, and a range is no list of positions.
    return expand_ranges(ptr[session], length)[0]


def _sorted(clicks: Clicks) -> Clicks:
    r"""Clicks by part, session, order and row."""
    session, order = clicks.session, clicks.order
    order = clicks.time if order is None else order
    if clicks.row is None:
        count = session.numel()
        kind = torch.int32 if count < 2**31 else torch.int64
        clicks = replace(clicks, row=torch.arange(count, dtype=kind))
    if clicks.part is not None:
        return clicks  # As the reader sorts them.
    # Most logs are sorted, which is ten times faster to see than to do.
    new = session[1:] > session[:-1]
    same = session[1:] == session[:-1]
    if (new | (same & (order[1:] >= order[:-1]))).all():
        return clicks
    row = order.argsort(stable=True)
    return clicks.select(row[session[row].argsort(stable=True)])


def _number_sessions(clicks: Clicks, gap: Optional[float]) -> Tensor:
    r"""Number of each click's session, ``[num_clicks]``, int32."""
    session = clicks.session
    new = session[1:] != session[:-1]
    if clicks.part is not None:
        new |= clicks.part[1:] != clicks.part[:-1]
    if gap is not None:
        new |= clicks.time.diff() > gap
    number = torch.zeros(session.numel(), dtype=torch.int32)
    torch.cumsum(new, 0, dtype=torch.int32, out=number[1:])
    return number


def _distinct(item: Tensor) -> Tuple[Tensor, Tensor]:
    r"""Ids, ascending, and the place of each click's among them."""
    low, high = map(int, item.aminmax())
    if high - low >= NARROW:
        return item.unique(return_inverse=True)
    item = item - low
    place = torch.zeros(high - low + 1, dtype=torch.int32)
    place[item] = 1
    ids = place.nonzero().view(-1) + low
    return ids, (place.cumsum(0, dtype=torch.int32) - 1)[item]


def _in_long_session(session: Tensor, least: int) -> Tensor:
    return (session.bincount() >= least)[session]


def _count_duplicates(clicks: Clicks, session: Tensor) -> int:
    r"""Clicks that repeat another's session, item and time."""
    time = clicks.time
    tied = (session[1:] == session[:-1]) & (time[1:] == time[:-1])
    run = torch.zeros_like(session)
    torch.cumsum(~tied, 0, dtype=run.dtype, out=run[1:])
    within = torch.zeros(session.numel(), dtype=torch.bool)
    within[1:] |= tied
    within[:-1] |= tied
    item = clicks.item[within]
    if item.numel() == 0:
        return 0
    pair = torch.stack([run[within].long(), item.long()])
    return item.numel() - pair.unique(dim=1).size(1)


def _first_rows_and_dates(
    clicks: Clicks,
    session: Tensor,
) -> Tuple[Tensor, Tensor]:
    length = session.bincount()
    row = clicks.row
    assert row is not None
    first, last = (
        torch.empty(length.numel(), dtype=row.dtype).scatter_reduce_(
            0, session.long(), row, reduce, include_self=False
        )
        for reduce in ['amin', 'amax']
    )
    if clicks.date is None:
        return first, clicks.time[length.cumsum(0) - 1]
    # The date of the row that comes last in the log:
    is_last = row == last[session]
    return first, clicks.date[is_last]


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
