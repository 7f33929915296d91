r"""What the transforms share."""

from typing import Optional

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_sessaug.data.devices import on_host, widest
from pyg_sessaug.data.graphs import edge_weight, node_batch, with_edges


def check_probability(name: str, p: float) -> None:
    r"""Raises a :obj:`ValueError` unless :obj:`p` is a probability.

    Args:
        name (str): Class to name in the error.
        p (float): The value.
    """
    if not 0 <= p <= 1:
        raise ValueError(
            f'{name} got p={p}, which is no probability; pass a value '
            f'between 0 and 1'
        )


def items_of(name: str, data: Data, num_items: int, owner: str) -> Tensor:
    r"""The items of a graph's nodes, checked against the known ones.

    Args:
        name (str): Class to name in the error.
        data (Data): A graph or batch with :obj:`x` ``[N]`` int64.
        num_items (int): Items known to the transform.
        owner (str): Its argument that knows them.
    """
    item = data.get('x')
    if item is None or item.dim() != 1 or item.is_floating_point():
        got = None if item is None else (list(item.shape), item.dtype)
        raise ValueError(
            f'{name} needs the item of each node in `x`, [num_nodes] int64, '
            f'got {got}; pass a session graph'
        )
    if item.numel() > 0 and on_host(item):
        value = item.numpy()
        low, high = int(value.min()), int(value.max())
        if low < 0 or high >= num_items:
            raise ValueError(
                f'{name} got item {low if low < 0 else high} in `x`, but '
                f'its `{owner}` covers items 0 to {num_items - 1}; make it '
                f'from a model of the same data set'
            )
    return item


def weights_of(data: Data) -> Tensor:
    r"""Weights of each edge, ``[E]`` or ``[E, C]``, as many as edges.

    Args:
        data (Data): A graph or batch.
    """
    if data.get('edge_index') is None:
        raise ValueError(
            f'weights of edges need `edge_index`, which a '
            f'{type(data).__name__} has not; pass session graphs, which have '
            f'one kind of nodes and edges'
        )
    weight = edge_weight(data)
    if weight.dim() > 0 and weight.size(0) != data.edge_index.size(1):
        raise ValueError(
            f'`edge_weight` has {weight.size(0)} values for '
            f'{data.edge_index.size(1)} edges; a transform that adds or '
            f"removes edges must know of it, as AddSelfLoops('edge_weight') "
            f'does'
        )
    return weight


def single_weight(data: Data) -> Tensor:
    r"""Weight of each edge, ``[E]``; several for each are an error.

    Args:
        data (Data): A graph or batch.
    """
    weight = weights_of(data)
    if weight.dim() != 1:
        raise ValueError(
            f'`edge_weight` has shape {list(weight.size())}, but a transform '
            f'sets one weight per edge; list it among those of '
            f'WeightChannels, not behind it'
        )
    return weight


def weigh_by_distance(
    data: Data,
    points: Tensor,
    index: Tensor,
    p: float,
) -> Data:
    r"""Gives edges, each with probability :obj:`p`, one over their length,
    as :func:`weigh_by_length` does.

    Args:
        data (Data): A graph or batch; changed, so pass a copy.
        points (Tensor): Where nodes can lie, ``[num_points, d]``, floating.
        index (Tensor): The point of each node, ``[N]``, int64.
        p (float): Probability that an edge is drawn.
    """
    src, dst = data.edge_index
    start = points.index_select(0, index.index_select(0, src))
    end = points.index_select(0, index.index_select(0, dst))
    if start.dtype in (torch.float16, torch.bfloat16):
        start, end = start.float(), end.float()
    # The square of a small float32 distance is 0. In float64 it is not.
    length = torch.linalg.vector_norm(start - end, dim=1, dtype=widest(start))
    return weigh_by_length(data, length, p)


def weigh_by_length(
    data: Data,
    length: Tensor,
    p: float,
    within: Optional[Tensor] = None,
) -> Data:
    r"""Gives edges, each with probability :obj:`p`, one over their length.

    An edge of zero length weighs :math:`\max(1, 2 m)`, where :math:`m` is
    the largest weight among the longer edges of its graph, whether drawn or
    not, or 0 if there are none. An edge not drawn keeps its weight.

    Args:
        data (Data): A graph or batch; changed, so pass a copy.
        length (Tensor): Length of each edge, ``[E]``, float64 where there is
            such; overwritten.
        p (float): Probability that an edge is drawn.
        within (Tensor, optional): Edges that do not count for :math:`m` and
            weigh no more than those of zero length, ``[E]``, bool.
            (default: :obj:`None`, which is none)
    """
    batch, ptr = node_batch(data)
    old = single_weight(data)
    is_zero = length == 0
    # No sum of such weights overflows, be a distance ever so small:
    bound = torch.finfo(old.dtype).max ** 0.5
    weight = length.reciprocal_().clamp_(max=bound).masked_fill_(is_zero, 0)

    graph = batch.index_select(0, data.edge_index[0])
    counted = weight if within is None else weight.masked_fill(within, 0)
    largest = weight.new_zeros(ptr.numel() - 1)
    largest.scatter_reduce_(0, graph, counted, 'amax')
    top = largest.mul_(2).clamp_(min=1).index_select(0, graph)
    if within is not None:
        weight = torch.where(within, torch.minimum(weight, top), weight)
    weight = torch.where(is_zero, top, weight).to(old.dtype)

    # `rand` is below 1, so `<` draws none for p=0 and all for p=1.
    drawn = torch.rand(weight.numel(), device=weight.device) < p
    return with_edges(data, edge_weight=torch.where(drawn, weight, old))


def sessions_of(data: Data) -> Tensor:
    r"""Number of the training session of each graph, -1 for none, ``[B]``
    int64.

    Args:
        data (Data): A graph or batch.
    """
    session = data.get('session')
    if session is not None:
        return session
    return torch.full_like(node_batch(data)[1][1:], -1)
