r"""Sessions kept flat: one array of clicks and the pointers between them."""

from functools import cached_property
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.utils import cumsum

Array = npt.NDArray[Any]
CHUNK = 1 << 20  # Clicks


class Sessions:
    r"""Click sessions and the samples drawn from them.

    A sample is a prefix of a session and the click after it. Where all
    prefixes are samples, pointers alone tell them; else the position of each
    sample's target is listed. Items are kept in 32 bits where these hold
    them, so a click needs 4 bytes, and 8 more for its time.

    Args:
        item (Tensor): Item of each click, sessions one after another,
            ``[num_clicks]``, integers, in ``0 ... num_items - 1``.
        ptr (Tensor): First click of each session and the end,
            ``[num_sessions + 1]``, int64; each session has a click.
        target (Tensor, optional): Position in :obj:`item` of each sample's
            target, ``[num_samples]``, int64; never the first click of a
            session. (default: :obj:`None`, all others are targets)
        time (Tensor, optional): Seconds of each click, ``[num_clicks]``,
            float64. (default: :obj:`None`)
    """

    #: Item of each click as it is kept, ``[num_clicks]``, int32, or int64
    #: where 32 bits do not hold one.
    kept: Tensor
    #: Position of each sample's target, ``[num_samples]``, int64;
    #: :obj:`None` where all prefixes are samples.
    listed: Optional[Tensor]

    def __init__(
        self,
        item: Tensor,
        ptr: Tensor,
        target: Optional[Tensor] = None,
        time: Optional[Tensor] = None,
    ) -> None:
        if item.dtype == torch.int64 and _fits(item):
            item = item.int()
        if target is not None and _are_all(target, ptr, item.numel()):
            target = None
        self.kept, self.ptr, self.listed, self.time = item, ptr, target, time

    @classmethod
    def from_lengths(
        cls,
        item: Tensor,
        length: Tensor,
        time: Optional[Tensor] = None,
    ) -> 'Sessions':
        r"""Sessions whose samples are all their prefixes, shortest first.

        Args:
            item (Tensor): Item of each click, ``[num_clicks]``, integers.
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
        return cls(item, ptr, time=time)

    @classmethod
    def from_state(cls, state: Dict[str, Any]) -> 'Sessions':
        r"""Sessions of a file, which may hold more.

        Args:
            state (dict): As :meth:`state` returns it.
        """
        item, ptr, time = (state[key] for key in ('item', 'ptr', 'time'))
        return cls(item, ptr, state.get('target'), time)

    def state(self) -> Dict[str, Any]:
        r"""What a file holds: :obj:`item` as kept, :obj:`ptr`, :obj:`time`
        and, where not all prefixes are samples, :obj:`target`.
        """
        state = {'item': self.kept, 'ptr': self.ptr, 'time': self.time}
        if self.listed is not None:
            state['target'] = self.listed
        return state

    @property
    def item(self) -> Tensor:
        r"""Item of each click, ``[num_clicks]``, int64, made anew."""
        return self.kept.long()

    @property
    def target(self) -> Tensor:
        r"""Position of each sample's target, ``[num_samples]``, int64, made
        anew where none is listed.
        """
        if self.listed is not None:
            return self.listed
        is_target = torch.ones(self.num_clicks, dtype=torch.bool)
        is_target[self.ptr[:-1]] = False
        return is_target.nonzero().view(-1)

    @property
    def num_sessions(self) -> int:
        r"""Number of sessions."""
        return self.ptr.numel() - 1

    @property
    def num_clicks(self) -> int:
        r"""Number of clicks, targets included."""
        return self.kept.numel()

    @property
    def num_samples(self) -> int:
        r"""Number of samples."""
        if self.listed is not None:
            return self.listed.numel()
        return self.num_clicks - self.num_sessions

    @property
    def length(self) -> Tensor:
        r"""Clicks of each session, ``[num_sessions]``, int64."""
        return self.ptr.diff()

    def session_of(self, position: Tensor) -> Tensor:
        r"""Session of each click position, same shape, int64."""
        return torch.searchsorted(self.ptr, position, right=True) - 1

    def locate(self, sample: Array) -> Tuple[Array, Array]:
        r"""Where samples are.

        Args:
            sample (numpy.ndarray): Sample numbers, ``[*]``, int64.

        Returns:
            (numpy.ndarray, numpy.ndarray): Session of each, and position of
            its target, both ``[*]`` int64.

        Raises:
            IndexError: If there is no such sample.
        """
        if self.listed is not None:
            target = self.listed.numpy()[sample]
            return self.ptr.numpy().searchsorted(target, 'right') - 1, target
        size = self.num_samples
        if sample.size and not -size <= sample.min() <= sample.max() < size:
            raise IndexError(
                f'samples go from 0 to {size - 1}, got {sample.min()} to '
                f'{sample.max()}'
            )
        sample = sample % max(1, size)
        session = self._first_sample.searchsorted(sample, 'right') - 1
        return session, sample + session + 1

    @cached_property
    def _first_sample(self) -> Array:
        # Each session has a sample less than it has clicks.
        return self.ptr.numpy() - np.arange(self.ptr.numel())

    def select(self, session: Tensor) -> 'Sessions':
        r"""The given sessions, in the given order, with all their samples.

        Args:
            session (Tensor): Session numbers, ``[*]``, int64.
        """
        return self._part(self.ptr[session], self.length[session])

    def map_items(self, index: Tensor) -> 'Sessions':
        r"""The same clicks by other numbers of the items, all prefixes being
        samples. Sessions that are left with fewer than two clicks are left
        out.

        Args:
            index (Tensor): The number of each item, -1 to leave its clicks
                out, ``[num_items]``, int64.
        """
        item = look_up(index, self.kept)
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
        return self._part(self.ptr[1:] - length, length)

    def _part(self, start: Tensor, length: Tensor) -> 'Sessions':
        r"""A range of clicks of each session, and the samples within."""
        ptr, target = cumsum(length), None
        if self.listed is not None:
            is_target = torch.zeros(self.num_clicks, dtype=torch.bool)
            is_target[self.listed] = True
            is_target = gather(is_target, start, length)
            is_target[ptr[:-1][length > 0]] = False
            target = is_target.nonzero().view(-1)
        return Sessions(
            gather(self.kept, start, length),
            ptr,
            target,
            None if self.time is None else gather(self.time, start, length),
        )


def _fits(item: Tensor) -> bool:
    r"""Whether 32 bits hold all items."""
    if item.numel() == 0:
        return True
    low, high = map(int, item.aminmax())
    return -(2**31) <= low and high < 2**31


def _are_all(target: Tensor, ptr: Tensor, num_clicks: int) -> bool:
    r"""Whether all clicks but the first of each session are targets."""
    length = ptr.diff()
    if target.numel() != num_clicks - length.numel():
        return False
    if target.numel() == 0:
        return True
    whole = int(ptr[0]) == 0 and int(ptr[-1]) == num_clicks
    if not whole or bool((length < 1).any()):
        return False
    ascends = bool((target[1:] > target[:-1]).all())
    if not ascends or target[0] < 0 or target[-1] >= num_clicks:
        return False
    is_first = torch.zeros(num_clicks, dtype=torch.bool)
    is_first[ptr[:-1]] = True
    return not bool(is_first[target].any())


def take(columns: Dict[str, Any], masks: Sequence[Tensor]) -> List[Sessions]:
    r"""The sessions of each mask, in their order.

    Args:
        columns (dict): What :class:`Sessions` keep, by name. It is taken
            out, so that each may be freed once it is copied.
        masks (list): Which sessions, each ``[num_sessions]`` bool.
    """
    length, item = columns.pop('ptr').diff(), columns.pop('kept')
    target, is_target = columns.pop('listed'), None
    if target is not None:
        is_target = torch.zeros(item.numel(), dtype=torch.bool)
        is_target[target] = True
    del target
    keeps = [repeat(mask, length) for mask in masks]
    items = [masked(item, keep) for keep in keeps]
    del item
    time = columns.pop('time')
    return [
        Sessions(
            items.pop(0),
            cumsum(length[mask]),
            None
            if is_target is None
            else masked(is_target, keep).nonzero().view(-1),
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


def look_up(table: Tensor, index: Tensor) -> Tensor:
    r"""``table[index]``, where indices of 32 bits stay as they are."""
    return table.index_select(0, index)


def count_items(item: Tensor, size: int) -> Tensor:
    r"""Clicks of each item, ``[size]`` int64.

    Args:
        item (Tensor): Item of each click, ``[num_clicks]``, integers.
        size (int): Number of items.
    """
    # In pieces, since each is made 64 bits wide.
    pieces = (torch.bincount(x, minlength=size) for x in item.split(CHUNK))
    return sum(pieces, torch.zeros(size, dtype=torch.int64))


def gather(value: Tensor, start: Tensor, count: Tensor) -> Tensor:
    r"""The values of ranges, one after another: those at the positions of
    :func:`expand_ranges`, which are listed for some ranges at a time.

    Args:
        value (Tensor): What to gather, ``[n, *]``.
        start (Tensor): First position of each range, ``[m]``, int64.
        count (Tensor): Length of each range, ``[m]``, int64.
    """
    ptr = cumsum(count)
    size, first = int(ptr[-1]), 0
    out = value.new_empty(size, *value.shape[1:])
    while first < count.numel():
        # At least one range, and about a chunk of values:
        end = int(torch.searchsorted(ptr, ptr[first] + CHUNK, right=True))
        end = max(first + 1, end - 1)
        part = slice(first, end)
        place, _, _ = expand_ranges(start[part], count[part])
        into = out[int(ptr[first]) : int(ptr[end])]
        torch.index_select(value, 0, place, out=into)
        first = end
    return out


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
