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
        total (Tensor): Its votes, ``[n]``, floating; what has none is left
            out.
        num_items (int): Size of the vocabulary.
        num_sessions (int): Number of sessions.
        k (int): Items of each session at most.
    """
    weight = total.float()
    first = torch.arange(num_sessions + 1, device=key.device) * num_items
    graph = torch.searchsorted(key, first).diff()
    graph = torch.repeat_interleave(graph)  # Sooner than by a division.
    least = _kth_at_least(graph, weight, num_sessions, k)
    kept = (weight > 0) & (weight >= least.index_select(0, graph))
    kept = kept.nonzero().view(-1)
    key, weight, graph = key[kept], weight[kept], graph[kept]
    # Positive numbers are in the order of their bits.
    bits = weight.view(torch.int32)
    order = ((graph << 32) + bits).sort(stable=True)[1]
    order = order[last_of_group(graph, num_sessions, k)]
    count = torch.bincount(graph[order], minlength=num_sessions)
    return Votes(key[order] % num_items, weight[order], cumsum(count))


def _kth_at_least(
    graph: Tensor, weight: Tensor, num_sessions: int, k: int
) -> Tensor:
    r"""What the :obj:`k`-th largest weight of each session reaches at least,
    or 0, ``[num_sessions]``: few entries are left to sort then.

    Entries are dealt into classes in turn. The largest of each class are
    different entries, so the :obj:`k`-th of these bounds the :obj:`k`-th of
    all.
    """
    count = 4 * k
    deal = torch.arange(graph.numel(), device=graph.device) % count
    largest = weight.new_zeros(num_sessions * count)
    largest.scatter_reduce_(0, deal.add_(graph * count), weight, 'amax')
    return largest.view(-1, count).topk(k)[0][:, -1]


def add_equal(key: Tensor, value: Tensor) -> Tuple[Tensor, Tensor]:
    r"""The distinct keys in ascending order, and the sum of each one's
    values.

    Args:
        key (Tensor): ``[n]``, int64.
        value (Tensor): ``[n]``, floating.
    """
    key, place, order = sort_equal(key)
    return key, torch.bincount(place, value[order])


def sort_equal(key: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    r"""The distinct keys in ascending order, the place among them of each
    key once all are sorted, ``[n]`` int64, and this order, ``[n]`` int64.

    Args:
        key (Tensor): ``[n]``, int32 or int64.
    """
    key, order = key.sort(stable=True)
    is_new = new_keys(key)
    return key[is_new], is_new.cumsum(0) - 1, order


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
