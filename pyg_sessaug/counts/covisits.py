r"""Counts of items that are clicked in the same sessions."""

from typing import Tuple

import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from pyg_sessaug.counts.session_counts import (
    SessionCounts,
    SessionNodes,
    expand_pointers,
)
from pyg_sessaug.counts.votes import (
    Votes,
    add_equal,
    most_votes,
    sort_equal,
)
from pyg_sessaug.data.devices import widest
from pyg_sessaug.data.progress import progress_bar

# What rare items and short rows are damped as if they had more of.
ITEM_PRIOR, ROW_PRIOR = 3, 1
# Of what is counted one by one, lest a file ask for work without an end.
MOST = 10_000


class CoVisits(SessionCounts):
    r"""Scores items by how often they are clicked with those of the session.

    Each pair of clicks of a training session counts in both directions, less
    with the gap between them, and less the older the session is:

    .. math::
        C_{ij} = \sum_{(p, q): \, v_p = i, v_q = j}
        (q - p)^{-a} \, e^{-\mathrm{age} / \tau}, \qquad
        S = C + b \, C^\top,

    over clicks :math:`p` before :math:`q`, at most :obj:`max_gap` apart, of
    one session, whose age is its rank from the newest over the number of
    sessions. Columns are damped by the clicks :math:`n_j` of the item, then
    rows by their sum:

    .. math::
        D_{ij} = S_{ij} \, (n_j + 3)^{-c}, \qquad
        M_{ij} = D_{ij} \, \Big( \sum_l D_{il} + 1 \Big)^{-r}

    A session scores item :math:`j` with :math:`\sum_p d^{\,t_p} M_{v_p j}`
    over its newest clicks, the :math:`p`-th of them followed by :math:`t_p`
    others, times :obj:`repeat` if :math:`j` is in the session.

    The defaults were found by coordinate search on the newest tenth of
    Diginetica's training sessions. Memory is that of the pairs that occur.

    Args:
        num_items (int): Number of items.
        max_gap (int): Largest distance of two clicks that count as a pair.
            (default: :obj:`15`)
        gap_power (float): :math:`a`. (default: :obj:`0.8`)
        tau (float): :math:`\tau`, over which the weight of sessions falls by
            a factor of :math:`e`; 1 is the age of the oldest.
            (default: :obj:`1.0`)
        backward (float): :math:`b`, what a pair counts from its later item
            to the earlier one. (default: :obj:`0.8`)
        item_power (float): :math:`c`. (default: :obj:`0.2`)
        row_power (float): :math:`r`. (default: :obj:`0.75`)
        click_decay (float): :math:`d`. (default: :obj:`0.6`)
        num_clicks (int): Newest clicks of a session that score.
            (default: :obj:`10`)
        repeat (float): Factor of the items of the session itself.
            (default: :obj:`9.0`)
        folds (int): Into how many folds sessions are dealt in turn. A part of
            a counted session (see :meth:`score`) is scored by the counts and
            sums of the other folds. These tables are made at first need, each
            of about the size of that of all sessions. (default: :obj:`5`)

    Raises:
        ValueError: If :obj:`max_gap` or :obj:`num_clicks` is not positive,
            :obj:`tau` is not, there are fewer than two folds, or one of the
            counts is above 10,000.

    Example:
        >>> from pyg_sessaug.counts import CoVisits
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> train = MultimodalSessions('data', num_sessions=100, num_items=30)
        >>> model = CoVisits(train.num_items).fit(train)
        >>> model.score(train[0]).size()
        torch.Size([1, 30])
    """

    row_ptr: Tensor
    column: Tensor
    value: Tensor
    step: Tensor
    step_ptr: Tensor

    def __init__(
        self,
        num_items: int,
        max_gap: int = 15,
        gap_power: float = 0.8,
        tau: float = 1.0,
        backward: float = 0.8,
        item_power: float = 0.2,
        row_power: float = 0.75,
        click_decay: float = 0.6,
        num_clicks: int = 10,
        repeat: float = 9.0,
        folds: int = 5,
    ) -> None:
        super().__init__(num_items)
        for name, value, least in (
            ('max_gap', max_gap, 1),
            ('num_clicks', num_clicks, 1),
            ('folds', folds, 2),
        ):
            if not least <= value <= MOST:
                raise ValueError(
                    f'CoVisits got {name}={value}; pass at least {least} and '
                    f'at most {MOST:,}'
                )
        if not tau > 0:
            raise ValueError(f'CoVisits got tau={tau}; pass more than 0')
        self.max_gap = max_gap
        self.gap_power = gap_power
        self.tau = tau
        self.backward = backward
        self.item_power = item_power
        self.row_power = row_power
        self.click_decay = click_decay
        self.num_clicks = num_clicks
        self.repeat = repeat
        self.folds = folds
        #: Mean of :math:`M_{ij}` over the pairs that occur.
        self.mean = 1.0
        # What steps() keeps. Compressed rows: those of all sessions, then
        # those without each fold.
        for name, dtype in (
            ('step', torch.long),
            ('step_ptr', torch.long),
            ('row_ptr', torch.long),
            ('column', torch.int),
            ('value', torch.float),
        ):
            empty = torch.empty(0, dtype=dtype)
            self.register_buffer(name, empty, persistent=False)

    def _count(self, cross_fit: bool = False) -> None:
        left_out = range(-1, self.folds if cross_fit else 0)
        bar = progress_bar(left_out, 'co-visits')
        count, column, value = zip(*map(self._table, bar))
        self.row_ptr = cumsum(torch.cat(count))
        self.column, self.value = torch.cat(column), torch.cat(value)
        self.step_ptr = self.step_ptr.new_empty(0)
        known = value[0][value[0] > 0]
        self.mean = float(known.mean()) if known.numel() > 0 else 1.0

    def _table(self, left_out: int) -> Tuple[Tensor, Tensor, Tensor]:
        r"""Entries of each row, their columns and values, without a fold."""
        n = self.num_items
        session = torch.repeat_interleave(self.ptr.diff())
        kept = session % self.folds != left_out
        end = self.ptr[1:][session]
        dtype = widest(session)
        age = (self.num_sessions - 1 - session).to(dtype) / self.num_sessions
        weight = torch.exp(-age / self.tau)

        keys, values = [], []
        click = kept.nonzero().view(-1)
        for gap in range(1, self.max_gap + 1):
            click = click[click + gap < end[click]]
            keys.append(self.item[click] * n + self.item[click + gap])
            values.append(weight[click] * gap**-self.gap_power)
            if click.numel() == 0:  # No session is longer.
                break
        key, value = add_equal(torch.cat(keys), torch.cat(values))
        key, value = add_equal(
            torch.cat([key, key % n * n + key // n]),
            torch.cat([value, self.backward * value]),
        )

        row, column = key // n, key % n
        clicks = torch.bincount(self.item[kept], minlength=n)
        item_factor = (clicks.to(dtype) + ITEM_PRIOR) ** -self.item_power
        value = value * item_factor[column]
        total = torch.bincount(row, value, minlength=n)
        row_factor = (total + ROW_PRIOR) ** -self.row_power
        value = value * row_factor[row]
        count = torch.bincount(row, minlength=n)
        return count, column.int(), value.float()

    def cross_fit(self) -> None:
        r"""Counts the sessions without each fold, unless that was done: what
        parts of counted sessions are asked.
        """
        if self.row_ptr.numel() == self.num_items + 1:
            self._count(cross_fit=True)

    def steps(self) -> Tuple[Tensor, Tensor]:
        r"""The clicks that another one of their session follows, by their
        item and then oldest first, int64, and where those of each item
        begin, ``[num_items + 1]``; sorted at first need.
        """
        if self.step_ptr.numel() == 0:
            follows = torch.ones_like(self.item, dtype=torch.bool)
            follows[self.ptr[1:] - 1] = False
            click = follows.nonzero().view(-1)
            item = self.item[click]
            self.step = click[item.argsort(stable=True)]
            size = torch.bincount(item, minlength=self.num_items)
            self.step_ptr = cumsum(size)
        return self.step, self.step_ptr

    def strength(
        self, source: Tensor, target: Tensor, session: Tensor
    ) -> Tensor:
        r""":math:`M_{ij}` of pairs of items, ``[n]``, float32; 0 where they
        do not occur.

        Args:
            source (Tensor): The items :math:`i`, ``[n]``, int64.
            target (Tensor): The items :math:`j`, ``[n]``, int64.
            session (Tensor): Of which counted session each pair is a part,
                whose fold then does not count, -1 for none, ``[n]``, int64.

        Raises:
            ValueError: If nothing was counted, or :obj:`session` is none of
                those counted.
        """
        self.check(session)
        row = self._rows(source, session)
        low, end = self.row_ptr[row], self.row_ptr[row + 1]
        high = end
        # Columns ascend within a row: halve what may hold the pair.
        longest = int((end - low).max()) if row.numel() > 0 else 0
        if longest == 0:
            return self.value.new_zeros(row.numel())
        last = self.column.numel() - 1
        for _ in range(longest.bit_length()):
            middle = (low + high) // 2
            below = self.column[middle.clamp(max=last)] < target
            below &= middle < high
            low = torch.where(below, middle + 1, low)
            high = torch.where(below, high, middle)
        place = low.clamp(max=last)
        found = (low < end) & (self.column[place] == target)
        return self.value[place] * found

    def _rows(self, item: Tensor, session: Tensor) -> Tensor:
        r"""Rows of items in the tables that parts of sessions may see."""
        counted = session >= 0
        if bool(counted.any()):
            self.cross_fit()
        table = torch.where(counted, 1 + session % self.folds, 0)
        return table * self.num_items + item

    def around(
        self, nodes: SessionNodes, k: int
    ) -> Tuple[Votes, Tensor, Tensor, Tensor]:
        r"""The items that speak most for each session, without its own.

        Args:
            nodes (SessionNodes): The sessions.
            k (int): Items of each session at most.

        Returns:
            (Votes, Tensor, Tensor, Tensor): The items and their scores; and
            which of the nodes speaks for which of them, by pairs: the place
            of the item ``[F]`` int64, the node ``[F]`` int64, and
            :math:`M_{ij}` ``[F]`` float32, positive.
        """
        self.check(nodes.session)
        n, size = self.num_items, nodes.length.numel()
        entry, node, weight = self._entries(nodes)
        first = nodes.graph * n
        # Narrow numbers are sorted in half the time.
        narrow = torch.int if size * n < 2**31 else torch.long
        key = first.to(narrow).index_select(0, node)
        key += self.column.index_select(0, entry)
        key, group, order = sort_equal(key)
        key, node = key.long(), node.index_select(0, order)
        value = self.value.index_select(0, entry.index_select(0, order))
        vote = value * weight.index_select(0, node)
        total = torch.bincount(group, vote.to(widest(vote)), key.numel())
        if key.numel() > 0:  # The session's own items do not count.
            own = first + nodes.item
            place = torch.searchsorted(key, own).clamp_(max=key.numel() - 1)
            total[place[key[place] == own]] = 0
        votes = most_votes(key, total, n, size, k)

        chosen = torch.repeat_interleave(votes.ptr.diff()) * n + votes.item
        place = torch.full_like(key, -1)
        place[torch.searchsorted(key, chosen)] = torch.arange(
            chosen.numel(), device=key.device
        )
        place = place.index_select(0, group)
        found = ((place >= 0) & (value > 0)).nonzero().view(-1)
        place, node = place[found], node[found]
        order = (node * chosen.numel() + place).argsort()
        return votes, place[order], node[order], value[found][order]

    def _entries(self, nodes: SessionNodes) -> Tuple[Tensor, Tensor, Tensor]:
        r"""Entries of the rows of all nodes, the node that each is of, and
        how much each node counts, by its newest clicks.
        """
        newest = nodes.ago < self.num_clicks
        node, ago = nodes.node[newest], nodes.ago[newest]
        weight = self.value.new_zeros(nodes.item.numel())
        decay = self.click_decay ** ago.to(weight.dtype)
        weight.scatter_add_(0, node, decay)
        row = self._rows(nodes.item, nodes.session[nodes.graph])
        return *expand_pointers(self.row_ptr, row), weight

    def _add_scores(self, score: Tensor, nodes: SessionNodes) -> None:
        entry, owner, weight = self._entries(nodes)
        first = nodes.graph * self.num_items
        value = self.value.index_select(0, entry)
        value *= weight.index_select(0, owner)
        place = first.index_select(0, owner)
        place += self.column.index_select(0, entry)
        score.scatter_add_(0, place, value)
        score[first + nodes.item] *= self.repeat
