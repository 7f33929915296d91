r"""Items that similar sessions hold, as nodes."""

from typing import Dict

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import cumsum

from pyg_sessaug.counts import NeighborItems
from pyg_sessaug.data.graphs import node_batch
from pyg_sessaug.transforms.utils import single_weight


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
        neighbors (NeighborItems): Whom to ask; fit it to the training
            samples before.

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

    def __init__(self, neighbors: NeighborItems) -> None:
        self.neighbors = neighbors

    def forward(self, data: Data) -> Data:
        if data.get('edge_attr') is not None:
            raise ValueError(
                'NeighborContext got graphs with edge_attr; apply it before '
                'NormalizeEdges'
            )
        batch, ptr = node_batch(data)
        item, weight, around_ptr = (
            x.to(data.x.device) for x in self.neighbors(data)
        )
        count = around_ptr.diff()
        owner = torch.repeat_interleave(count)
        # Old nodes move by the nodes that were added to graphs before.
        node = torch.arange(batch.numel(), device=batch.device)
        node = node + around_ptr[:-1].index_select(0, batch)
        new = torch.arange(owner.numel(), device=batch.device)
        new = new + ptr[1:].index_select(0, owner)
        size = node.numel() + new.numel()
        x = data.x.new_empty(size)
        x[node], x[new] = data.x, item

        graph = batch.index_select(0, data.click_index)
        is_last = torch.ones_like(graph, dtype=torch.bool)
        is_last[:-1] = graph[1:] != graph[:-1]
        last = node[data.click_index[is_last]]
        top = weight.new_zeros(count.numel())
        top.scatter_reduce_(0, owner, weight, 'amax')
        edge = torch.stack([new, last.index_select(0, owner)])
        edge = torch.cat([node[data.edge_index], edge], dim=1)
        old = single_weight(data)
        value = torch.cat([old, (weight / top[owner]).to(old.dtype)])
        edge_graph = torch.cat([batch[data.edge_index[0]], owner])
        order = edge_graph.argsort(stable=True)

        edge_ptr = cumsum(edge_graph.bincount(minlength=count.numel()))
        values = {
            'x': (x, ptr + around_ptr, False),
            'edge_index': (edge[:, order], edge_ptr, True),
            'edge_weight': (value[order], edge_ptr, False),
            'click_index': (node[data.click_index], None, True),
            'context_index': (new, around_ptr, True),
            'context_weight': (weight, around_ptr, False),
        }
        for key, (tensor, _, _) in values.items():
            data[key] = tensor
        if 'batch' not in data:
            return data
        data.ptr = ptr + around_ptr
        data.batch = torch.repeat_interleave(data.ptr.diff())
        if hasattr(data, '_slice_dict'):
            # New dictionaries: a shallow copy of a batch shares the old ones.
            slices: Dict[str, Tensor] = dict(data._slice_dict)
            incs: Dict[str, Tensor] = dict(data._inc_dict)
            none = torch.zeros_like(count).cpu()
            for key, (_, places, counts_nodes) in values.items():
                if places is not None:
                    slices[key] = places.cpu()
                incs[key] = data.ptr[:-1].cpu() if counts_nodes else none
            data._slice_dict, data._inc_dict = slices, incs
        return data

    def __repr__(self) -> str:
        name, asked = self.__class__.__name__, self.neighbors
        return f'{name}(k={asked.k}, shuffled={asked.shuffled})'
