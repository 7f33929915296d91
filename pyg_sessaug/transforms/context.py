r"""Items around a session, as nodes."""

from typing import Dict

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from pyg_sessaug.counts.votes import Votes
from pyg_sessaug.data.graphs import node_batch
from pyg_sessaug.transforms.utils import single_weight


def check_plain(name: str, data: Data) -> None:
    r"""Raises a :obj:`ValueError` if a graph has shares already.

    Args:
        name (str): Class to name in the error.
        data (Data): A graph or batch.
    """
    if data.get('edge_attr') is not None:
        raise ValueError(
            f'{name} got graphs with edge_attr; apply it before NormalizeEdges'
        )


def with_context(
    data: Data, votes: Votes, place: Tensor, node: Tensor, weight: Tensor
) -> Data:
    r"""Adds items as nodes behind those of their session, with edges to the
    nodes of the session, and names them, so that a batch stays separable.

    Args:
        data (Data): A graph or batch; changed, so pass a copy.
        votes (Votes): The items of each session.
        place (Tensor): The item that each edge is from, by its place among
            these, ``[F]``, int64.
        node (Tensor): The old node that it goes to, ``[F]``, int64.
        weight (Tensor): Its weight, ``[F]``.
    """
    device = data.x.device
    batch, ptr = node_batch(data)
    item, votes_for, around_ptr = (x.to(device) for x in votes)
    place, goal, weight = (x.to(device) for x in (place, node, weight))
    count = around_ptr.diff()
    owner = torch.repeat_interleave(count)
    # Old nodes move by the nodes that were added to graphs before.
    node = torch.arange(batch.numel(), device=device)
    node = node + around_ptr[:-1].index_select(0, batch)
    new = torch.arange(owner.numel(), device=device)
    new = new + ptr[1:].index_select(0, owner)
    x = data.x.new_empty(node.numel() + new.numel())
    x[node], x[new] = data.x, item

    edge = torch.stack([new[place], node[goal]])
    edge = torch.cat([node[data.edge_index], edge], dim=1)
    old = single_weight(data)
    value = torch.cat([old, weight.to(old.dtype)])
    edge_graph = torch.cat([batch[data.edge_index[0]], owner[place]])
    order = edge_graph.argsort(stable=True)

    edge_ptr = cumsum(edge_graph.bincount(minlength=count.numel()))
    values = {
        'x': (x, ptr + around_ptr, False),
        'edge_index': (edge[:, order], edge_ptr, True),
        'edge_weight': (value[order], edge_ptr, False),
        'click_index': (node[data.click_index], None, True),
        'context_index': (new, around_ptr, True),
        'context_weight': (votes_for, around_ptr, False),
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
