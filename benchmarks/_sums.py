"""Sums over nodes and sessions, as they are and as they could be."""

from functools import partial
from typing import Any, Callable, Dict, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import cumsum, scatter, softmax

try:
    import torch_scatter
except ImportError:
    torch_scatter = None

# Functions that compute the same, the package's own first, and their input.
Place = Tuple[Dict[str, Callable], Tensor]
CHANNELS = 100
COLUMNS = 4096  # Items that TAGNN's attention weighs at a time, about.


def sort_by(index: Tensor, size: int) -> Tuple[Tensor, Tensor]:
    """An order that makes an index non-descending, and its pointers."""
    return index.argsort(), cumsum(torch.bincount(index, minlength=size))


def scatter_messages(index: Tensor, x: Tensor, edge_weight: Tensor) -> Tensor:
    src, dst = index
    value = edge_weight * x.index_select(0, src)
    return scatter(value, dst, 0, x.size(0))


def torch_scatter_messages(
    index: Tensor, x: Tensor, edge_weight: Tensor
) -> Tensor:
    src, dst = index
    value = edge_weight * x.index_select(0, src)
    return torch_scatter.scatter(value, dst, 0, dim_size=x.size(0))


def segment_messages(index: Tensor, x: Tensor, edge_weight: Tensor) -> Tensor:
    src, dst = index
    order, ptr = sort_by(dst, x.size(0))
    value = edge_weight[order] * x.index_select(0, src[order])
    return torch_scatter.segment_csr(value, ptr)


def bag_messages(index: Tensor, x: Tensor, edge_weight: Tensor) -> Tensor:
    src, dst = index
    order, ptr = sort_by(dst, x.size(0))
    return F.embedding_bag(
        src[order],
        x,
        ptr,
        mode='sum',
        per_sample_weights=edge_weight.view(-1)[order],
        include_last_offset=True,
    )


def messages(batch: Data) -> Place:
    """Messages along and against edges, summed at nodes."""
    src, dst = 2 * batch.edge_index
    index = torch.stack([torch.cat([src, dst + 1]), torch.cat([dst, src + 1])])
    weight = batch.edge_attr.t().reshape(-1, 1)
    x = torch.randn(2 * batch.num_nodes, CHANNELS, requires_grad=True)
    runs = {
        'scatter (PyG)': scatter_messages,
        'embedding_bag (torch)': bag_messages,
    }
    if torch_scatter is not None:
        runs['scatter (torch-scatter)'] = torch_scatter_messages
        runs['segment_csr (torch-scatter)'] = segment_messages
    return {
        name: partial(run, index, edge_weight=weight)
        for name, run in runs.items()
    }, x


def segment_readout(x: Tensor, index: Tensor, ptr: Tensor, *_: Any) -> Tensor:
    return torch_scatter.segment_csr(x, ptr)


def readout(batch: Data) -> Place:
    """Vectors of nodes, summed per session."""
    x = torch.randn(batch.num_nodes, CHANNELS, requires_grad=True)
    index, ptr = batch.batch, batch.ptr
    runs: Dict[str, Callable] = {
        'scatter (PyG)': lambda x: scatter(x, index, 0, batch.num_graphs),
        'segment_reduce (torch)': lambda x: torch.segment_reduce(
            x, 'sum', offsets=ptr
        ),
    }
    if torch_scatter is not None:
        runs['segment_csr (torch-scatter)'] = partial(
            segment_readout, index=index, ptr=ptr
        )
    return runs, x


def edge_sums(batch: Data) -> Place:
    """Weights into and out of each node: `NormalizeEdges`."""
    size, index = batch.num_nodes, batch.edge_index.flip(0).t()
    weight = torch.rand(index.size(0)).unsqueeze(1).expand(-1, 2)
    runs: Dict[str, Callable] = {
        'scatter_add_ (torch)': lambda weight: weight.new_zeros(
            size, 2
        ).scatter_add_(0, index, weight),
        'bincount (torch)': lambda weight: torch.stack(
            [
                torch.bincount(i, w, size)
                for i, w in zip(index.t(), weight.t())
            ],
            dim=1,
        ),
    }
    if torch_scatter is not None:
        runs['scatter (torch-scatter)'] = lambda weight: torch_scatter.scatter(
            weight, index, 0, dim_size=size
        )
    return runs, weight


def largest(batch: Data) -> Place:
    """The largest weight of each session: `ItemDistance`."""
    graph = batch.batch[batch.edge_index[0]]
    weight = torch.rand(graph.numel(), dtype=torch.float64)
    size, ptr = batch.num_graphs, cumsum(torch.bincount(graph))
    ptr = torch.cat([ptr, ptr[-1:].expand(size + 1 - ptr.numel())])
    runs: Dict[str, Callable] = {
        'scatter_reduce_ (torch)': lambda w: w.new_zeros(size).scatter_reduce_(
            0, graph, w, 'amax'
        )
    }
    if torch_scatter is not None:
        runs['scatter (torch-scatter)'] = lambda w: torch_scatter.scatter(
            w, graph, 0, dim_size=size, reduce='max'
        )
        runs['segment_csr (torch-scatter)'] = lambda w: (
            torch_scatter.segment_csr(w, ptr, reduce='max')
        )
    return runs, weight


def click_softmax(batch: Data) -> Place:
    """Softmax over the nodes of each session, for many items: TAGNN."""
    index, ptr = batch.batch, batch.ptr
    node = torch.arange(batch.num_nodes)

    def by_bag(x: Tensor) -> Tensor:
        x = x.exp()
        total = F.embedding_bag(
            node, x, ptr, mode='sum', include_last_offset=True
        )
        return x.div_(total.index_select(0, index))

    runs: Dict[str, Callable] = {
        'embedding_bag (torch)': by_bag,
        'softmax (PyG)': lambda x: softmax(
            x, index, num_nodes=batch.num_graphs
        ),
    }
    if torch_scatter is not None:
        runs['segment_csr (torch-scatter)'] = lambda x: softmax(x, ptr=ptr)
        runs['scatter_softmax (torch-scatter)'] = lambda x: (
            torch_scatter.composite.scatter_softmax(x, index, dim=0)
        )
    return runs, torch.randn(batch.num_nodes, COLUMNS)


SUMS = {
    'messages to nodes': messages,
    'readout': readout,
    'weights at nodes': edge_sums,
    'largest weight': largest,
    'softmax over clicks': click_softmax,
}
