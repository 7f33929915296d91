r"""What all models that only count have in common."""

import inspect
from abc import ABC, abstractmethod
from typing import Any, Dict, NamedTuple, Tuple, TypeVar

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from pyg_sessaug.data.graphs import node_batch
from pyg_sessaug.data.sessions import Sessions

T = TypeVar('T', bound='SessionCounts')


class SessionNodes(NamedTuple):
    r"""The clicked items of some sessions, each once per session.

    Args:
        item (Tensor): Item of each node, ``[N]``, int64.
        graph (Tensor): Session of each node, in ascending order, ``[N]``,
            int64.
        node (Tensor): Node of each click, ``[L]``, int64.
        ago (Tensor): Clicks of the session since each click, 0 for its
            newest, ``[L]``, int64.
        length (Tensor): Clicks of each session, ``[B]``, int64.
        session (Tensor): Number of the counted session that each session is
            a part of, -1 for none, ``[B]``, int64.
    """

    item: Tensor
    graph: Tensor
    node: Tensor
    ago: Tensor
    length: Tensor
    session: Tensor


class SessionCounts(torch.nn.Module, ABC):
    r"""Base of models that score by what training sessions hold.

    Its state is these sessions, :obj:`item` and :obj:`ptr` as in
    :class:`~pyg_sessaug.data.sessions.Sessions`, oldest first. All that is
    counted is made of them, by :meth:`fit`, by :meth:`update` and when a
    state is loaded.

    Args:
        num_items (int): Number of items.
    """

    item: Tensor
    ptr: Tensor

    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.num_items = num_items
        self.register_buffer('item', torch.empty(0, dtype=torch.long))
        self.register_buffer('ptr', torch.zeros(1, dtype=torch.long))

    @property
    def num_sessions(self) -> int:
        r"""Number of sessions counted."""
        return self.ptr.numel() - 1

    def fit(self: T, dataset: Any) -> T:
        r"""Counts the sessions of a data set; earlier ones are forgotten.

        Args:
            dataset (SessionDataset): The training split, oldest session
                first.

        Raises:
            ValueError: If it is a slice, or has items beyond the model's.
        """
        sessions = dataset.flat_sessions
        if len(dataset) != sessions.num_samples:
            raise ValueError(
                f'{self.__class__.__name__} counts whole sessions, but got a '
                f'slice of {len(dataset)} of {sessions.num_samples} samples; '
                f'pass the whole split, or one made with a `fraction`'
            )
        self._take(sessions.item, sessions.ptr)
        return self

    def update(self: T, sessions: Sessions) -> T:
        r"""Adds newer sessions, as if :meth:`fit` had counted them all.

        Args:
            sessions (Sessions): Sessions that are newer than those counted
                before, oldest first.

        Raises:
            ValueError: If they have items beyond the model's.
        """
        device = self.item.device
        ptr = sessions.ptr[1:].to(device) + self.item.numel()
        item = torch.cat([self.item, sessions.item.to(device)])
        self._take(item, torch.cat([self.ptr, ptr]))
        return self

    @torch.no_grad()
    def score(self, data: Data) -> Tensor:
        r"""Scores of all items, ``[B, num_items]``, float32; 0 where nothing
        speaks for an item.

        Args:
            data (Data or Batch): Session graphs. Where they have
                :obj:`session` [B], the number of the counted session that
                each one is a part of and -1 for none, a session does not
                count for its own parts.

        Raises:
            ValueError: If nothing was counted, a session has no click, or
                :obj:`session` is none of those counted.
        """
        nodes = session_nodes(data)
        self.check(nodes.session)
        score = torch.zeros(
            nodes.length.numel() * self.num_items, device=self.item.device
        )
        self._add_scores(score, nodes)
        return score.view(-1, self.num_items)

    def check(self, session: Tensor) -> None:
        r"""Raises unless these sessions can be asked about.

        Args:
            session (Tensor): Numbers of counted sessions, -1 for none, int64.

        Raises:
            ValueError: If nothing was counted, or a session is none of those
                counted.
        """
        name = self.__class__.__name__
        if self.num_sessions == 0:
            raise ValueError(
                f'{name} has counted no session; call fit(dataset) first'
            )
        newest = int(session.max()) if session.numel() > 0 else -1
        if newest >= self.num_sessions:
            raise ValueError(
                f'{name} got a part of session {newest}, but has counted '
                f'{self.num_sessions}; fit it to the data set that the batch '
                f'is from'
            )

    def log_probability(self, data: Data) -> Tensor:
        r"""Logarithms of the scores over their sum, ``[B, num_items]``; minus
        infinity for a session of which nothing is known.

        Args:
            data (Data or Batch): Session graphs, as of :meth:`score`.
        """
        # Votes for what is clicked several times a session may be negative.
        score = self.score(data).clamp_(min=0)
        tiny = torch.finfo(score.dtype).tiny
        share = score / score.sum(dim=1, keepdim=True).clamp(min=tiny)
        none = share == 0
        # Most are zero, whose logarithm takes ten times as long to find.
        return share.clamp_(min=tiny).log_().masked_fill_(none, -torch.inf)

    @abstractmethod
    def _count(self) -> None:
        r"""Counts the sessions anew."""

    @abstractmethod
    def _add_scores(self, score: Tensor, nodes: SessionNodes) -> None:
        r"""Adds what speaks for each item to zeros, ``[B * num_items]``."""

    def _take(self, item: Tensor, ptr: Tensor) -> None:
        if item.numel() > 0:
            low, high = int(item.min()), int(item.max())
            if low < 0 or high >= self.num_items:
                raise ValueError(
                    f'{self.__class__.__name__} was made for items 0 to '
                    f'{self.num_items - 1}, but the sessions hold {low} to '
                    f'{high}; make it with the num_items of the data set'
                )
        device = self.item.device
        self.item, self.ptr = item.to(device), ptr.to(device)
        self._count()

    def _load_from_state_dict(
        self, state_dict: Dict[str, Any], prefix: str, *args: Any
    ) -> None:
        # A state has as many sessions as its model had counted.
        for name in ('item', 'ptr'):
            if f'{prefix}{name}' in state_dict:
                size = state_dict[f'{prefix}{name}'].size()
                setattr(self, name, getattr(self, name).new_zeros(size))
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._take(self.item, self.ptr)

    def extra_repr(self) -> str:
        names = inspect.signature(type(self)).parameters
        return ', '.join(f'{name}={getattr(self, name)!r}' for name in names)


def session_nodes(data: Data) -> SessionNodes:
    r"""The clicked items of session graphs.

    Args:
        data (Data or Batch): The graphs. Nodes without a click, which a
            transform may have added, are left out.

    Raises:
        ValueError: If a session has no click, or there is none.
    """
    batch, ptr = node_batch(data)
    graph = batch[data.click_index]
    length = torch.bincount(graph, minlength=ptr.numel() - 1)
    if length.numel() == 0 or bool((length == 0).any()):
        raise ValueError(
            'a batch holds no session, or one without clicks; leave such '
            'sessions out'
        )
    place = torch.arange(graph.numel(), device=graph.device)
    clicked = torch.zeros_like(batch, dtype=torch.bool)
    clicked[data.click_index] = True
    session = data.get('session')
    return SessionNodes(
        item=data.x[clicked],
        graph=batch[clicked],
        node=clicked.cumsum(0)[data.click_index] - 1,
        ago=length.cumsum(0)[graph] - 1 - place,
        length=length,
        session=torch.full_like(length, -1) if session is None else session,
    )


def expand_pointers(ptr: Tensor, row: Tensor) -> Tuple[Tensor, Tensor]:
    r"""The entries of some rows, one row after another.

    Args:
        ptr (Tensor): Where each row begins, and the end, ``[num_rows + 1]``,
            int64.
        row (Tensor): Row numbers, ``[n]``, int64.

    Returns:
        (Tensor, Tensor): The entries, and the place in :obj:`row` of the row
        that each is from, both int64.
    """
    start = ptr[row]
    return expand_counts(start, ptr[row + 1] - start)


def expand_counts(start: Tensor, count: Tensor) -> Tuple[Tensor, Tensor]:
    r"""As :func:`~pyg_sessaug.data.sessions.expand_ranges`, on any device.

    Args:
        start (Tensor): First value of each range, ``[n]``, int64.
        count (Tensor): Length of each range, ``[n]``, int64.

    Returns:
        (Tensor, Tensor): The values, and the range that each is from, both
        int64.
    """
    owner = torch.arange(count.numel(), device=count.device)
    owner = torch.repeat_interleave(owner, count)
    value = (start - cumsum(count)[:-1]).index_select(0, owner)
    value += torch.arange(value.numel(), device=value.device)
    return value, owner


def new_keys(key: Tensor) -> Tensor:
    r"""Whether each of the sorted keys differs from the one before it."""
    is_new = torch.ones_like(key, dtype=torch.bool)
    is_new[1:] = key[1:] != key[:-1]
    return is_new


def exchanged_items(item: Tensor, num_items: int) -> Tensor:
    r"""A permutation of the clicked items within tenths by clicks, in which
    none stands for itself: what controls take for items that do not matter.

    Args:
        item (Tensor): The item of each click, ``[L]``, int64.
        num_items (int): Size of the vocabulary.

    Returns:
        Tensor: The item that each one stands for, ``[num_items]``, int64;
        itself where it has no clicks, or is the only one that has.
    """
    clicks = torch.bincount(item.cpu(), minlength=num_items)
    order = torch.arange(num_items)
    seen = (clicks > 0).nonzero().view(-1)
    ranked = seen[clicks[seen].argsort(stable=True)]
    for part in ranked.tensor_split(max(1, min(10, seen.numel() // 2))):
        # One cycle in a random order.
        drawn = part[torch.randperm(part.numel())]
        order[drawn] = drawn.roll(1)
    return order
