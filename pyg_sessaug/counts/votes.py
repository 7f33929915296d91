r"""Votes for items, session by session."""

from typing import NamedTuple, Tuple

import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from pyg_sessaug.counts.session_counts import new_keys


class Votes(NamedTuple):
    r"""Items with votes for each session, the fewest first.

    Args:
        item (Tensor): ``[K]``, int64.
        weight (Tensor): Their votes, ``[K]``, float32, positive.
        ptr (Tensor): The first item of each session and their number,
            ``[B + 1]``, int64.
    """

    item: Tensor
    weight: Tensor
    ptr: Tensor


def most_votes(
    key: Tensor, total: Tensor, num_items: int, num_sessions: int, k: int
) -> Votes:
    r"""The items of each session that have most votes.

    Args:
        key (Tensor): Session times :obj:`num_items` plus item of each entry,
            distinct and ascending, ``[n]``, int64.
        total (Tensor): Its votes, ``[n]``, float64; what has none is left
            out.
        num_items (int): Size of the vocabulary.
        num_sessions (int): Number of sessions.
        k (int): Items of each session at most.
    """
    weight = total.float()
    kept = weight > 0
    key, weight = key[kept], weight[kept]
    graph = key // num_items
    # Positive numbers are in the order of their bits.
    bits = weight.view(torch.int32)
    order = ((graph << 32) + bits).sort(stable=True)[1]
    order = order[last_of_group(graph, num_sessions, k)]
    count = torch.bincount(graph[order], minlength=num_sessions)
    return Votes(key[order] % num_items, weight[order], cumsum(count))


def add_equal(key: Tensor, value: Tensor) -> Tuple[Tensor, Tensor]:
    r"""The distinct keys in ascending order, and the sum of each one's
    values.

    Args:
        key (Tensor): ``[n]``, int64.
        value (Tensor): ``[n]``, float64.
    """
    key, order = key.sort(stable=True)
    is_new = new_keys(key)
    return key[is_new], torch.bincount(is_new.cumsum(0) - 1, value[order])


def last_of_group(group: Tensor, num_groups: int, count: int) -> Tensor:
    r"""Places of the last entries of each group, ascending.

    Args:
        group (Tensor): Group of each entry in ascending order, ``[n]``,
            int64.
        num_groups (int): Number of groups.
        count (int): How many of each group at most.
    """
    end = torch.bincount(group, minlength=num_groups).cumsum(0)
    place = torch.arange(group.numel(), device=group.device)
    return (end[group] - place <= count).nonzero().view(-1)
