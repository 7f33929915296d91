r"""Sessions kept flat: one array of clicks and the pointers between them."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.utils import cumsum

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Sessions:
    r"""Click sessions and the samples drawn from them.

    A sample is a prefix of a session and the click after it. It is stored
    as the position of that click, so memory grows with clicks and a sample
    always knows its session.

    Args:
        item (Tensor): Item of each click, sessions one after another,
            ``[num_clicks]``, int64, in ``0 ... num_items - 1``.
        ptr (Tensor): First click of each session and the end,
            ``[num_sessions + 1]``, int64.
        target (Tensor): Position in :obj:`item` of each sample's target,
            ``[num_samples]``, int64; never the first click of a session.
        time (Tensor, optional): Seconds of each click, ``[num_clicks]``,
            float64. (default: :obj:`None`)
    """

    item: Tensor
    ptr: Tensor
    target: Tensor
    time: Optional[Tensor] = None

    @classmethod
    def from_lengths(
        cls,
        item: Tensor,
        length: Tensor,
        time: Optional[Tensor] = None,
    ) -> 'Sessions':
        r"""Sessions whose samples are all their prefixes, shortest first.

        Args:
            item (Tensor): Item of each click, ``[num_clicks]``, int64.
            length (Tensor): Clicks of each session, ``[num_sessions]``,
                int64, at least 2.
            time (Tensor, optional): Seconds of each click,
                ``[num_clicks]``, float64. (default: :obj:`None`)
        """
        short = (length < 2).nonzero().view(-1)
        if short.numel() > 0:
            raise ValueError(
                f'session {int(short[0])} has {int(length[short[0]])} '
                f'click(s), but a sample needs a click and a target; drop '
                f'sessions with fewer than 2 clicks'
            )
        ptr = cumsum(length)
        if int(ptr[-1]) != item.numel():
            raise ValueError(
                f'lengths add up to {int(ptr[-1])}, but there are '
                f'{item.numel()} clicks'
            )
        is_target = torch.ones(item.numel(), dtype=torch.bool)
        is_target[ptr[:-1]] = False
        return cls(item, ptr, is_target.nonzero().view(-1), time)

    @property
    def num_sessions(self) -> int:
        r"""Number of sessions."""
        return self.ptr.numel() - 1

    @property
    def num_clicks(self) -> int:
        r"""Number of clicks, targets included."""
        return self.item.numel()

    @property
    def num_samples(self) -> int:
        r"""Number of samples."""
        return self.target.numel()

    @property
    def length(self) -> Tensor:
        r"""Clicks of each session, ``[num_sessions]``, int64."""
        return self.ptr.diff()

    def session_of(self, position: Tensor) -> Tensor:
        r"""Session of each click position, same shape, int64."""
        return torch.searchsorted(self.ptr, position, right=True) - 1

    def select(self, session: Tensor) -> 'Sessions':
        r"""The given sessions, in the given order, with all their samples.

        Args:
            session (Tensor): Session numbers, ``[*]``, int64.
        """
        length = self.length[session]
        click, ptr = positions(self.ptr[session], length), cumsum(length)
        is_target = torch.zeros(self.num_clicks, dtype=torch.bool)
        is_target[self.target] = True
        return Sessions(
            item=self.item[click],
            ptr=ptr,
            target=is_target[click].nonzero().view(-1),
            time=None if self.time is None else self.time[click],
        )

    def map_items(self, index: Tensor) -> 'Sessions':
        r"""The same clicks by other numbers of the items, all prefixes being
        samples. Sessions that are left with fewer than two clicks are left
        out.

        Args:
            index (Tensor): The number of each item, -1 to leave its clicks
                out, ``[num_items]``, int64.
        """
        item = index[self.item]
        keep = item >= 0
        session = torch.repeat_interleave(self.length)
        length = torch.bincount(session[keep], minlength=self.num_sessions)
        keep &= (length >= 2)[session]
        time = None if self.time is None else self.time[keep]
        return Sessions.from_lengths(item[keep], length[length >= 2], time)

    def last_clicks(self, count: int) -> 'Sessions':
        r"""The last clicks of each session, and the samples among them.

        Args:
            count (int): Clicks of a session to keep, at least 2.
        """
        length = self.length.clamp(max=count)
        click, ptr = positions(self.ptr[1:] - length, length), cumsum(length)
        is_target = torch.zeros(self.num_clicks, dtype=torch.bool)
        is_target[self.target] = True
        is_target = is_target[click]
        is_target[ptr[:-1][length > 0]] = False
        return Sessions(
            item=self.item[click],
            ptr=ptr,
            target=is_target.nonzero().view(-1),
            time=None if self.time is None else self.time[click],
        )


def take(columns: Dict[str, Any], masks: Sequence[Tensor]) -> List[Sessions]:
    r"""The sessions of each mask, in their order.

    Args:
        columns (dict): Tensors of :class:`Sessions` by name. They are taken
            out, so that each may be freed once it is copied.
        masks (list): Which sessions, each ``[num_sessions]`` bool.
    """
    length, item = columns.pop('ptr').diff(), columns.pop('item')
    is_target = np.zeros(item.numel(), bool)
    is_target[columns.pop('target').numpy()] = True
    keeps = [repeat(mask, length) for mask in masks]
    items = [masked(item, keep) for keep in keeps]
    del item
    time = columns.pop('time')
    return [
        Sessions(
            items.pop(0),
            cumsum(length[mask]),
            torch.from_numpy(is_target[keep.numpy()]).nonzero().view(-1),
            None if time is None else masked(time, keep),
        )
        for mask, keep in zip(masks, keeps)
    ]


def masked(value: Tensor, mask: Tensor) -> Tensor:
    r"""``value[mask]``, without torch's list of positions."""
    return torch.from_numpy(value.numpy()[mask.numpy()])


def repeat(value: Tensor, times: Tensor) -> Tensor:
    r"""Repeats each value, without torch's list of positions."""
    return torch.from_numpy(np.repeat(value.numpy(), times.numpy()))


def positions(start: Tensor, count: Tensor) -> Tensor:
    r"""The values of :func:`expand_ranges`, without more memory than they."""
    some = (count > 0).numpy()
    first, size = start.numpy()[some], count.numpy()[some]
    value = np.ones(int(size.sum()), np.int64)
    if value.size > 0:
        # Steps: 1 within a range, and from the end of one to the next.
        value[0] = first[0]
        value[size.cumsum()[:-1]] = first[1:] - (first + size - 1)[:-1]
        np.cumsum(value, out=value)
    return torch.from_numpy(value)


def expand_ranges(
    start: Tensor, count: Tensor
) -> Tuple[Tensor, Tensor, Tensor]:
    r"""Concatenates the ranges ``start[i] ... start[i] + count[i] - 1``.

    Args:
        start (Tensor): First value of each range, ``[n]``, int64.
        count (Tensor): Length of each range, ``[n]``, int64.

    Returns:
        (Tensor, Tensor, Tensor): The values ``[sum(count)]``, the range each
        belongs to ``[sum(count)]``, and where each range begins and the last
        ends ``[n + 1]``; all int64.
    """
    value, owner, ptr = expand_numpy_ranges(start.numpy(), count.numpy())
    tensor = torch.from_numpy
    return tensor(value), tensor(owner), tensor(ptr)


def expand_numpy_ranges(
    start: Array, count: Array
) -> Tuple[Array, Array, Array]:
    r"""As :func:`expand_ranges`, for arrays of any integer type."""
    ptr = np.zeros(count.size + 1, dtype=np.int64)
    np.cumsum(count, out=ptr[1:])
    owner = np.repeat(np.arange(count.size), count)
    value = (start - ptr[:-1])[owner]
    value += np.arange(value.size)
    return value, owner, ptr
