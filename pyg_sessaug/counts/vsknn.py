r"""Votes of the most similar sessions."""

from typing import Callable, Dict, Tuple

import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from pyg_sessaug.counts.session_counts import (
    SessionCounts,
    SessionNodes,
    expand_counts,
    expand_pointers,
    new_keys,
)
from pyg_sessaug.counts.votes import last_of_group
from pyg_sessaug.data.devices import widest

# Weight of the click at place i of n, both from 1, in the similarity ...
WEIGHTING: Dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'same': lambda i, n: torch.ones_like(i),
    'div': lambda i, n: i / n,
    'linear': lambda i, n: (1 - 0.1 * (n - i)).clamp(min=0),
    'quadratic': lambda i, n: (i / n) ** 2,
    'log': lambda i, n: 1 / torch.log10(n - i + 1.7),
}
# ... and of a neighbour whose newest shared click is the t-th from the end.
WEIGHTING_SCORE: Dict[str, Callable[[Tensor], Tensor]] = {
    'same': torch.ones_like,
    'div': lambda t: 1 / t,
    'linear': lambda t: (1 - 0.1 * t).clamp(min=0),
    'quadratic': lambda t: 1 / t**2,
    'log': lambda t: 1 / torch.log10(t + 1.7),
}


class VSKNN(SessionCounts):
    r"""The vector-multiplying session neighbours of `"Evaluation of
    Session-based Recommendation Algorithms"
    <https://arxiv.org/abs/1803.09587>`_, as in session-rec.

    Of the training sessions that share an item with a session of :math:`L`
    clicks, the newest :obj:`sample_size` are kept. Session :math:`s` is as
    similar as the shared items are new in the session at hand, each of them
    taken where it was last clicked, at place :math:`i` of :math:`L`:

    .. math::
        \mathrm{sim}(s) = \sum_i w(i, L)

    The :obj:`k` most similar vote, of equally similar ones the newest, with
    :math:`t_s` the place from the end of the newest shared click, 1 for the
    last:

    .. math::
        \mathrm{score}(j) = \Big( 1 + \lambda \log \frac{N}{n_j} \Big)
        \sum_{s \ni j} \mathrm{sim}(s) \, d(t_s),

    where :math:`N` is the number of training sessions and :math:`n_j` that of
    the clicks on item :math:`j` in them. With the names of session-rec,
    :math:`w` is ``same`` :math:`1`, ``div`` :math:`i/L`, ``linear``
    :math:`\max(0, 1 - (L-i)/10)`, ``quadratic`` :math:`(i/L)^2` or ``log``
    :math:`1/\log_{10}(L-i+1.7)`, and :math:`d` is ``same`` :math:`1`,
    ``div`` :math:`1/t`, ``linear`` :math:`\max(0, 1 - t/10)`, ``quadratic``
    :math:`1/t^2` or ``log`` :math:`1/\log_{10}(t+1.7)`. In session-rec's code
    ``linear`` differs for long sessions.

    A part of a training session (see :meth:`score`) has neighbours among
    older sessions only, and :math:`N` and :math:`n_j` are those of all other
    sessions, older and newer.

    The defaults were chosen on the newest tenth of Diginetica's training
    sessions, counting the others; session-rec's own are 100, 1000, ``div``,
    ``div`` and 0.

    Args:
        num_items (int): Number of items.
        k (int): Sessions that vote. (default: :obj:`200`)
        sample_size (int): Newest sessions they are sought among.
            (default: :obj:`2000`)
        weighting (str): Name of :math:`w`. (default: :obj:`"div"`)
        weighting_score (str): Name of :math:`d`. (default: :obj:`"div"`)
        idf_weighting (float): :math:`\lambda`, how much rarer items are
            preferred. (default: :obj:`1.0`)

    Raises:
        ValueError: If a number is too low or a name unknown.

    Example:
        >>> from pyg_sessaug.counts import VSKNN
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> train = MultimodalSessions('data', num_sessions=100, num_items=30)
        >>> model = VSKNN(train.num_items, k=50).fit(train)
        >>> model.score(train[0]).size()
        torch.Size([1, 30])
    """

    visit: Tensor
    held: Tensor
    held_ptr: Tensor
    clicks: Tensor
    item_factor: Tensor

    def __init__(
        self,
        num_items: int,
        k: int = 200,
        sample_size: int = 2000,
        weighting: str = 'div',
        weighting_score: str = 'div',
        idf_weighting: float = 1.0,
    ) -> None:
        super().__init__(num_items)
        for name, value, least in (
            ('k', k, 1),
            ('sample_size', sample_size, 1),
            ('idf_weighting', idf_weighting, 0),
        ):
            if not value >= least:
                raise ValueError(
                    f'VSKNN got {name}={value}; pass at least {least}'
                )
        for name, choice in (
            ('weighting', weighting),
            ('weighting_score', weighting_score),
        ):
            if choice not in WEIGHTING:
                raise ValueError(
                    f'VSKNN got {name}={choice!r}; choose one of '
                    f'{list(WEIGHTING)}'
                )
        self.k = k
        self.sample_size = sample_size
        self.weighting = weighting
        self.weighting_score = weighting_score
        self.idf_weighting = idf_weighting
        for name, dtype in (
            # Each item's sessions, item * num_sessions + session, ascending:
            ('visit', torch.long),
            # Each session's distinct items:
            ('held', torch.int),
            ('held_ptr', torch.long),
            ('clicks', torch.long),
            ('item_factor', torch.float),
        ):
            empty = torch.empty(0, dtype=dtype)
            self.register_buffer(name, empty, persistent=False)

    def _count(self) -> None:
        n, num_sessions = self.num_items, self.num_sessions
        session = torch.repeat_interleave(self.ptr.diff())
        key = torch.unique(session * n + self.item)
        session, item = key // n, key % n
        self.held = item.int()
        self.held_ptr = cumsum(torch.bincount(session, minlength=num_sessions))
        self.visit = (item * num_sessions + session).sort()[0]
        # Clicks, where the textbook has sessions: as session-rec does.
        self.clicks = torch.bincount(self.item, minlength=n)
        self.item_factor = self._factor(num_sessions, self.clicks)

    def _factor(self, num_sessions: int, clicks: Tensor) -> Tensor:
        clicks = clicks.clamp(min=1)
        idf = torch.log(num_sessions / clicks.to(widest(clicks)))
        return (1 + self.idf_weighting * idf).float()

    def _factors(
        self, nodes: SessionNodes, graph: Tensor, item: Tensor
    ) -> Tensor:
        r"""How much a vote for an item counts in a session, ``[n]``, float32.

        Args:
            nodes (SessionNodes): The sessions.
            graph (Tensor): The session of each vote, ``[n]``, int64.
            item (Tensor): Its item, ``[n]``.
        """
        factor = self.item_factor.index_select(0, item)
        part = (nodes.session >= 0).nonzero().view(-1)
        if part.numel() == 0:
            return factor
        # Without the session that a part is of.
        num_others = max(1, self.num_sessions - 1)
        others = self._factor(num_others, self.clicks)
        is_part = (nodes.session >= 0).index_select(0, graph)
        factor = torch.where(is_part, others.index_select(0, item), factor)
        click, owner = expand_pointers(self.ptr, nodes.session[part])
        own = part[owner] * self.num_items + self.item[click]
        own, count = own.unique(return_counts=True)
        key = graph * self.num_items + item
        place = torch.searchsorted(own, key).clamp(max=own.numel() - 1)
        found = (own.index_select(0, place) == key).nonzero().view(-1)
        item = item.index_select(0, found)
        clicks = self.clicks.index_select(0, item)
        clicks = clicks - count.index_select(0, place[found])
        factor[found] = self._factor(num_others, clicks)
        return factor

    def _add_scores(self, score: Tensor, nodes: SessionNodes) -> None:
        graph, session, vote = self._neighbors(nodes)
        entry, owner = expand_pointers(self.held_ptr, session)
        item = self.held.index_select(0, entry)
        graph = graph.index_select(0, owner)
        value = self._factors(nodes, graph, item)
        value *= vote.index_select(0, owner)
        place = graph * self.num_items
        place += item
        score.scatter_add_(0, place, value)

    def _neighbors(self, nodes: SessionNodes) -> Tuple[Tensor, Tensor, Tensor]:
        r"""Of each session of a batch the sessions that vote, oldest first.

        Returns:
            (Tensor, Tensor, Tensor): The session that they vote for, int64 in
            ascending order, their numbers, int64, and their votes, float32.
        """
        num_graphs, num_sessions = nodes.length.numel(), self.num_sessions
        # An item stands where it was last clicked.
        ago = torch.full_like(nodes.item, int(nodes.ago.max()))
        ago.scatter_reduce_(0, nodes.node, nodes.ago, 'amin')
        length = nodes.length[nodes.graph].to(widest(nodes.length))
        weight = WEIGHTING[self.weighting](length - ago, length)

        # A session among the newest of all is among the newest of its item.
        limit = torch.where(nodes.session < 0, num_sessions, nodes.session)
        first = nodes.item * num_sessions
        begin = torch.searchsorted(self.visit, first)
        end = torch.searchsorted(self.visit, first + limit[nodes.graph])
        count = (end - begin).clamp(max=self.sample_size)
        entry, owner = expand_counts(end - count, count)
        shift = nodes.graph * num_sessions - first
        key = self.visit.index_select(0, entry)
        key += shift.index_select(0, owner)
        key, order = key.sort(stable=True)
        owner = owner.index_select(0, order)
        is_new = new_keys(key)
        group = is_new.cumsum(0) - 1
        key = key[is_new]
        # Rounded: what is equal stays so, whatever it was the sum of.
        similarity = torch.bincount(
            group, weight.index_select(0, owner)
        ).float()
        step = torch.full_like(key, int(nodes.ago.max()) + 1)
        step.scatter_reduce_(0, group, ago.index_select(0, owner) + 1, 'amin')

        graph = key // num_sessions
        chosen = last_of_group(graph, num_graphs, self.sample_size)
        chosen = chosen[similarity[chosen] > 0]
        key, graph, similarity, step = (
            x.index_select(0, chosen) for x in (key, graph, similarity, step)
        )
        # Positive numbers are in the order of their bits, and of equal ones
        # the newer session stays behind the older.
        bits = similarity.view(torch.int32)
        order = ((graph << 32) + bits).sort(stable=True)[1]
        chosen = order[last_of_group(graph, num_graphs, self.k)].sort()[0]
        key, graph, similarity, step = (
            x.index_select(0, chosen) for x in (key, graph, similarity, step)
        )
        decay = WEIGHTING_SCORE[self.weighting_score](step.to(widest(step)))
        vote = (similarity * decay).float()
        return graph, key - graph * num_sessions, vote
