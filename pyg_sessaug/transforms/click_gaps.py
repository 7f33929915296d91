r"""Times between the clicks of edges."""

import math
from typing import Tuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_sessaug.data.devices import on_host, widest
from pyg_sessaug.data.graphs import node_batch


def shortest_gaps(name: str, data: Data) -> Tensor:
    r"""Seconds between the clicks of each edge, the shortest where it occurs
    several times, ``[E]``; infinite between items that are not clicked one
    after the other.

    Args:
        name (str): Class to name in errors.
        data (Data): A graph or batch with :obj:`click_time` ``[L]``.

    Raises:
        ValueError: If clicks have no times, times that are not finite, or
            times that go back.
    """
    transition, gap = _gaps(name, data)
    # Edges and transitions as numbers, equal for equal pairs of nodes.
    edge, step = (
        pair[0] * data.num_nodes + pair[1]
        for pair in (data.edge_index, transition)
    )
    if edge.numel() == 0:
        return gap.new_empty(0)
    known = edge.sort()[0]
    place = torch.searchsorted(known, step).clamp_(max=edge.numel() - 1)
    gap = gap.masked_fill(known.index_select(0, place) != step, math.inf)
    shortest = gap.new_full((edge.numel(),), math.inf)
    shortest.scatter_reduce_(0, place, gap, 'amin')
    place = torch.searchsorted(known, edge)
    return shortest.index_select(0, place)


def _gaps(name: str, data: Data) -> Tuple[Tensor, Tensor]:
    r"""Nodes of each two clicks that follow one another, ``[2, L - 1]``, and
    the seconds between, ``[L - 1]``, infinite between two sessions.
    """
    node, time = data.click_index, data.get('click_time')
    if time is None or time.size() != node.size():
        got = None if time is None else list(time.size())
        raise ValueError(
            f'{name} needs the seconds of each click in `click_time`, '
            f"[{node.numel()}], got {got}; SR-GNN's files hold no times, so "
            f'prepare the data set from its log'
        )
    graph = node_batch(data)[0].index_select(0, node)
    same = graph[1:] == graph[:-1]
    gap = time.to(widest(time)).diff()
    if on_host(gap):
        own = gap.numpy()[same.numpy()]
        bad = own[~((own >= 0) & np.isfinite(own))]
        if bad.size > 0:
            raise ValueError(
                f'{name} got {bad[0]} seconds between two clicks of a '
                f'session in `click_time`; pass finite times in the order of '
                f'the clicks'
            )
    return torch.stack([node[:-1], node[1:]]), gap.where(same, math.inf)
