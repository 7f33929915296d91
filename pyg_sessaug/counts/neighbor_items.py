r"""Items that the most similar older sessions vote for."""

import os.path as osp
from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from pyg_sessaug.counts.session_counts import (
    SessionNodes,
    exchanged_items,
    expand_counts,
    expand_pointers,
    session_nodes,
)
from pyg_sessaug.counts.votes import Votes, add_equal, most_votes
from pyg_sessaug.counts.vsknn import VSKNN
from pyg_sessaug.data.devices import widest
from pyg_sessaug.data.progress import progress_bar
from pyg_sessaug.files import load_state, save_atomically

# Samples whose neighbours are sought at once.
BATCH = 500


class NeighborItems(torch.nn.Module):
    r"""Finds what others did in the situation of a session: the items that
    :class:`~pyg_sessaug.counts.VSKNN` scores highest, but for the item that
    was clicked last.

    A part of a training session asks sessions older than its own alone, and
    what it gets is looked up: :meth:`fit` asks for all such parts once.

    Args:
        num_items (int): Size of the vocabulary.
        k (int): Items for each session, fewer where there are no more.
            (default: :obj:`20`)
        shuffled (bool): Whether each session gets what a session of other
            items would get, as a control: same law, no news. Each item
            stands for another of the same tenth of the clicked items by
            clicks; the first :meth:`fit` draws which. (default: :obj:`False`)

    Example:
        >>> from pyg_sessaug.counts import NeighborItems
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> train = MultimodalSessions('data', num_sessions=100, num_items=30)
        >>> neighbors = NeighborItems(train.num_items, k=3).fit(train)
        >>> neighbors(list_batch([train[-1].x.tolist()])).item.size()
        torch.Size([3])
    """

    order: Tensor

    def __init__(
        self, num_items: int, k: int = 20, shuffled: bool = False
    ) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f'NeighborItems got k={k}; pass at least 1')
        self.num_items = num_items
        self.k = k
        self.shuffled = shuffled
        self.vsknn = VSKNN(num_items)
        self.register_buffer('order', torch.arange(num_items))
        # Of each click that a prefix ends with, k items and their votes.
        self._lists: Optional[Tuple[Tensor, Tensor]] = None

    def fit(
        self,
        dataset: Any,
        folder: Optional[str] = None,
        progress: bool = True,
    ) -> 'NeighborItems':
        r"""Takes the sessions of a data set, and finds the items for all of
        its samples.

        Args:
            dataset (SessionDataset): The training split, oldest session
                first.
            folder (str, optional): Keeps what was found in a file there, and
                reads it where it is, but for what was shuffled.
                (default: :obj:`None`)
            progress (bool): Whether to show a bar where it takes over five
                seconds. (default: :obj:`True`)
        """
        self.vsknn.fit(dataset)
        self._lists = None
        untouched = torch.arange(self.order.numel()).to(self.order)
        if self.shuffled and torch.equal(self.order, untouched):
            order = exchanged_items(self.vsknn.item, self.vsknn.num_items)
            self.order = order.to(self.order.device)
        if folder is None or self.shuffled:
            self._lists = self._all(dataset, progress)
            return self
        path = osp.join(folder, self._name())
        if not osp.exists(path):
            item, weight = self._all(dataset, progress)
            save_atomically({'item': item, 'weight': weight}, path)
        state = load_state(path, 'delete it to find neighbours again')
        self._lists = state['item'], state['weight']
        return self

    @torch.no_grad()
    def forward(self, data: Data) -> Votes:
        r"""The items for session graphs.

        Args:
            data (Data or Batch): The graphs; :obj:`session` [B] tells of
                which training session each is a part, -1 or nothing for
                others.

        Raises:
            ValueError: If no sessions were taken.
        """
        if self.vsknn.num_sessions == 0:
            raise ValueError(
                'NeighborItems has no sessions to ask; call fit(dataset), or '
                'make the model by from_dataset(dataset)'
            )
        nodes = self._moved(session_nodes(data))
        if int(nodes.session.max()) >= self.vsknn.num_sessions:
            raise ValueError(
                f'NeighborItems got a part of session '
                f'{int(nodes.session.max())}, but has the '
                f'{self.vsknn.num_sessions} of another data set; call '
                f'fit(dataset) with the one that the batch is from'
            )
        known, row = self._rows(nodes)
        if not bool(known.any()):
            return self._ask(nodes)
        assert self._lists is not None
        parts = [self._look_up(known, row)]
        if not bool(known.all()):
            parts.append(self._ask(_select(nodes, ~known)))
        return _join(known, parts)

    def _moved(self, nodes: SessionNodes) -> SessionNodes:
        r"""Sessions where the counts are."""
        return SessionNodes(*(x.to(self.vsknn.item.device) for x in nodes))

    def _rows(self, nodes: SessionNodes) -> Tuple[Tensor, Tensor]:
        r"""Which sessions are known, ``[B]`` bool, and the click that each
        of them ends with, ``[B]``.
        """
        counts, session = self.vsknn, nodes.session
        known = session >= 0
        if self._lists is None or not bool(known.any()):
            return torch.zeros_like(known), session
        start = counts.ptr[session.clamp(min=0)]
        row = start + nodes.length - 1
        known = known & (row < counts.ptr[session.clamp(min=0) + 1])
        # A transform may have changed the clicks.
        first = cumsum(nodes.length)[:-1]
        graph = nodes.graph[nodes.node]
        place = torch.arange(graph.numel(), device=graph.device)
        click = (place - first[graph] + start[graph]).clamp(
            max=counts.item.numel() - 1
        )
        other = nodes.item[nodes.node] != counts.item[click]
        known[graph[other]] = False
        return known, row

    def _look_up(self, known: Tensor, row: Tensor) -> Votes:
        assert self._lists is not None
        item, weight = (x[row[known].cpu()] for x in self._lists)
        kept = weight > 0
        ptr = cumsum(kept.sum(dim=1))
        found = item[kept].long(), weight[kept], ptr
        return Votes(*(x.to(row.device) for x in found))

    def _ask(self, nodes: SessionNodes) -> Votes:
        r"""The items by the votes of neighbours."""
        counts, n = self.vsknn, self.vsknn.num_items
        if self.shuffled:
            nodes = nodes._replace(item=self.order[nodes.item])
        size = nodes.length.numel()
        graph, session, vote = counts._neighbors(nodes)
        entry, owner = expand_pointers(counts.held_ptr, session)
        item = counts.held.index_select(0, entry).long()
        graph = graph.index_select(0, owner)
        value = counts._factors(nodes, graph, item)
        value = value * vote.index_select(0, owner)
        key = graph * n + item
        key, total = add_equal(key, value.to(widest(value)))
        last = nodes.item[nodes.node[nodes.ago == 0]]
        total[key % n == last[key // n]] = 0
        return most_votes(key, total, n, size, self.k)

    def _all(self, dataset: Any, progress: bool) -> Tuple[Tensor, Tensor]:
        r"""Items and votes of all prefixes, by the click they end with."""
        sessions = dataset.flat_sessions
        size = sessions.num_clicks, self.k
        item = torch.zeros(size, dtype=torch.int)
        weight = torch.zeros(size)
        target = sessions.target
        samples = torch.arange(target.numel()).split(BATCH)
        for index in progress_bar(samples, 'neighbours', progress):
            nodes = session_nodes(dataset.graphs.batch(index))
            votes = Votes(*(x.cpu() for x in self._ask(self._moved(nodes))))
            count = votes.ptr.diff()
            row = torch.repeat_interleave(target[index] - 1, count)
            place = torch.arange(row.numel()) - torch.repeat_interleave(
                votes.ptr[:-1], count
            )
            item[row, place] = votes.item.int()
            weight[row, place] = votes.weight
        return item, weight

    def _name(self) -> str:
        r"""A file name that tells what the lists depend on."""
        counts = self.vsknn
        item, ptr = counts.item.cpu(), counts.ptr.cpu()
        place = torch.arange(item.numel()) % 65521 + 1
        check = int((item * place).sum()) * 31 + int((ptr * ptr).sum())
        return f'neighbor-items-{self.k}-{check % 16**12:012x}.pt'

    def extra_repr(self) -> str:
        return f'k={self.k}, shuffled={self.shuffled}'


def _select(nodes: SessionNodes, keep: Tensor) -> SessionNodes:
    r"""Some sessions, numbered anew."""
    node = keep[nodes.graph]
    click = node[nodes.node]
    return SessionNodes(
        item=nodes.item[node],
        graph=(keep.cumsum(0) - 1)[nodes.graph[node]],
        node=(node.cumsum(0) - 1)[nodes.node[click]],
        ago=nodes.ago[click],
        length=nodes.length[keep],
        session=nodes.session[keep],
    )


def _join(known: Tensor, parts: List[Votes]) -> Votes:
    r"""The votes of sessions that are known and, next, those of others."""
    if len(parts) == 1:
        return parts[0]
    # The place of each session among both lists, one behind the other:
    place = torch.where(
        known, known.cumsum(0), int(known.sum()) + (~known).cumsum(0)
    )
    count = torch.cat([x.ptr.diff() for x in parts])
    start = cumsum(count)[place - 1]
    count = count[place - 1]
    entry, _ = expand_counts(start, count)
    item, weight = (torch.cat([x[i] for x in parts])[entry] for i in range(2))
    return Votes(item, weight, cumsum(count))
