r"""Items that similar sessions hold, as nodes."""

from typing import Optional, Union

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_sessaug.counts import VSKNN, NeighborItems
from pyg_sessaug.counts.session_counts import exchanged_items
from pyg_sessaug.data.graphs import node_batch
from pyg_sessaug.transforms.context import check_plain, with_context


@functional_transform('neighbor_context')
class NeighborContext(BaseTransform):
    r"""Adds the items that similar older sessions vote for to session graphs
    (functional name: :obj:`neighbor_context`).

    They become nodes behind those of the session, each with an edge to the
    node of the last click, which weighs its share of the largest vote. So a
    layer of any model sees them, while :obj:`click_index` stays on the clicks
    of the session. An item that the session has clicked gets a second node.

    It is no augmentation: it runs in validation and tests too, before
    :class:`NormalizeEdges`. Models with a :obj:`context` of their own (see
    :class:`~pyg_sessaug.nn.SRGNN`) find the same items themselves and take
    plain graphs.

    Args:
        neighbors (NeighborItems or VSKNN): Whom to ask; fit it to the
            training samples before. The former has found the items of all
            training samples once, the latter seeks them in every epoch.
        k (int, optional): Items for each session, fewer where there are no
            more; with 0 the graph stays as it is. (default: :obj:`20`, or
            those of the :class:`~pyg_sessaug.counts.NeighborItems`)
        shuffled (bool): Whether each session gets what a session of other
            items would get, as a control; a
            :class:`~pyg_sessaug.counts.NeighborItems` knows itself. Which
            items is drawn here, and kept in :obj:`order`, ``[num_items]``.
            (default: :obj:`False`)

    Raises:
        ValueError: If nothing was counted, :obj:`k` is below 0, or
            :obj:`k` or :obj:`shuffled` is not what the
            :class:`~pyg_sessaug.counts.NeighborItems` was made with.

    Shapes:
        - **input:** a session graph, plain or weighed: items
          :math:`(|\mathcal{V}|)` int64 in :obj:`x`, edges
          :math:`(2, |\mathcal{E}|)` in :obj:`edge_index`, the node of each
          click :math:`(L)` int64 in :obj:`click_index` and, of training
          samples, their session :math:`(1)` int64 in :obj:`session`
        - **output:** the same with :math:`K` more nodes and edges, the new
          nodes :math:`(K)` int64 in :obj:`context_index` and the votes for
          them :math:`(K)` float32 in :obj:`context_weight`

    Example:
        >>> from pyg_sessaug.counts import NeighborItems
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> from pyg_sessaug.transforms import NeighborContext
        >>> train = MultimodalSessions('data', num_sessions=100, num_items=30)
        >>> context = NeighborContext(NeighborItems(30, k=3).fit(train))
        >>> context(train[-1]).num_nodes - train[-1].num_nodes
        3
    """

    batchwise = True

    #: That it belongs to validation and tests too.
    at_test = True

    def __init__(
        self,
        neighbors: Union[NeighborItems, VSKNN],
        k: Optional[int] = None,
        shuffled: bool = False,
    ) -> None:
        self.neighbors = neighbors
        self.order: Optional[Tensor] = None
        if isinstance(neighbors, NeighborItems):
            self.k, self.shuffled = neighbors.k, neighbors.shuffled
            if k not in (None, self.k) or (shuffled and not self.shuffled):
                raise ValueError(
                    f'NeighborContext got k={k} and shuffled={shuffled} for '
                    f'NeighborItems of k={self.k} and '
                    f'shuffled={self.shuffled}; make these with them'
                )
            return
        neighbors.check(torch.empty(0, dtype=torch.long))
        self.k, self.shuffled = 20 if k is None else k, shuffled
        if self.k < 0:
            raise ValueError(f'NeighborContext got k={k}; pass 0 or more')
        if shuffled:
            self.order = exchanged_items(neighbors.item, neighbors.num_items)

    def forward(self, data: Data) -> Data:
        if self.k == 0:
            return data
        check_plain('NeighborContext', data)
        batch, ptr = node_batch(data)
        votes = self._asked()(data)
        weight, around_ptr = votes.weight, votes.ptr
        owner = torch.repeat_interleave(around_ptr.diff())
        graph = batch.index_select(0, data.click_index)
        is_last = torch.ones_like(graph, dtype=torch.bool)
        is_last[:-1] = graph[1:] != graph[:-1]
        last = data.click_index[is_last].to(owner.device)
        top = weight.new_zeros(ptr.numel() - 1)
        top.scatter_reduce_(0, owner, weight, 'amax')
        place = torch.arange(owner.numel(), device=owner.device)
        return with_context(
            data, votes, place, last[owner], weight / top[owner]
        )

    def _asked(self) -> NeighborItems:
        if isinstance(self.neighbors, NeighborItems):
            return self.neighbors
        asked = NeighborItems(self.neighbors.num_items, self.k, self.shuffled)
        asked.vsknn = self.neighbors
        if self.order is not None:
            asked.order = self.order.to(self.neighbors.item.device)
        return asked

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(k={self.k}, shuffled={self.shuffled})'
        )
