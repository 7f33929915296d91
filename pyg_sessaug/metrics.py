r"""Ranks and what is made of them, over the full catalogue.

Of items with equal scores the one with the lower index ranks first.
"""

from itertools import pairwise
from typing import Dict, List, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from pyg_sessaug.data.devices import on_host
from pyg_sessaug.nn.loss.catalogue import check_target

# Items per block of the search for the best, and scores from which on that
# is faster than searching all.
BLOCK = 64
MANY_SCORES = 2**17


def target_rank(score: Tensor, target: Tensor) -> Tensor:
    r"""Rank of each target among all items, from 1.

    Of items with equal scores the one with the lower index ranks first.

    Args:
        score (Tensor): Scores of all items, ``[B, num_items]``, floating;
            minus infinity excludes an item, which ranks behind the others.
        target (Tensor): Target items, ``[B]``, int64.

    Returns:
        Tensor: ``[B]``, int64.

    Raises:
        ValueError: If a score is NaN or plus infinity, or a target is
            missing or no item.
    """
    if target.numel() > 0 or score.size(0) > 0:
        check_target(target, score.size(0), score.size(1))
    if not torch.isfinite(score.sum()) and not (score < torch.inf).all():
        row = int((~(score < torch.inf)).any(dim=1).nonzero()[0])
        raise ValueError(
            f'row {row} of the scores holds a value that is not finite; the '
            f'model diverged or its input holds NaN or infinite numbers'
        )
    if not on_host(score):
        own = score.gather(1, target.unsqueeze(1))
        item = torch.arange(score.size(1), device=score.device)
        tied = (score == own) & (item < target.unsqueeze(1))
        return 1 + ((score > own) | tied).sum(dim=1)
    if score.dtype not in (torch.float32, torch.float64):
        score = score.float()  # Exact, and numpy has it.
    ranks = []
    # Row by row everything stays in cache, and numpy compares and counts
    # several times faster than torch: faster than top-k.
    for row, y in zip(score.detach().cpu().numpy(), target.tolist()):
        own = row[y]
        ahead = np.count_nonzero(row[:y] >= own)
        ranks.append(1 + ahead + np.count_nonzero(row[y + 1 :] > own))
    return torch.tensor(ranks, dtype=torch.long, device=target.device)


def ranking_metrics(
    rank: Tensor, k: Union[int, Sequence[int]] = 20
) -> Dict[str, float]:
    r"""Hit rate, mean reciprocal rank and discounted gain at :obj:`k`.

    .. math::
        \textrm{HR} = \frac{1}{n} \sum_{i: \, r_i \leq k} 1, \quad
        \textrm{MRR} = \frac{1}{n} \sum_{i: \, r_i \leq k} \frac{1}{r_i},
        \quad \textrm{NDCG} = \frac{1}{n} \sum_{i: \, r_i \leq k}
        \frac{1}{\log_2(r_i + 1)}

    The field's P@K is this hit rate: the share of samples whose target is
    among the first :obj:`k` items.

    Args:
        rank (Tensor): Rank :math:`r_i` of each target, ``[num_samples]``,
            int64, from 1.
        k (int or list): Length of the list, or several.
            (default: :obj:`20`)

    Returns:
        dict: ``HR@k``, ``MRR@k`` and ``NDCG@k`` for each, in [0, 1].

    Raises:
        ValueError: If :obj:`k` is not positive, there are no ranks, or one
            is below 1.
    """
    lengths = [k] if isinstance(k, int) else list(k)
    if not lengths or min(lengths) < 1:
        raise ValueError(f'ranking_metrics got k={k}; pass at least 1')
    if rank.numel() == 0:
        raise ValueError('ranking_metrics got no ranks; pass at least 1')
    if not bool((rank >= 1).all()):  # NaN neither
        low = rank[~(rank >= 1)][0].item()
        raise ValueError(
            f'ranking_metrics got the rank {low}; ranks count from 1'
        )
    metrics, rank = {}, rank.cpu()  # Not all devices have float64.
    for length in lengths:
        hit = rank <= length
        for name, gain in (
            ('HR', hit),
            ('MRR', torch.where(hit, 1.0 / rank, 0.0)),
            ('NDCG', torch.where(hit, 1.0 / torch.log2(rank + 1.0), 0.0)),
        ):
            metrics[f'{name}@{length}'] = float(gain.double().mean())
    return metrics


def list_metrics(
    exposure: Dict[int, Tensor], popularity: Tensor
) -> Dict[str, float]:
    r"""Coverage and mean popularity of recommendation lists.

    With :math:`e_v` lists that hold the item :math:`v` and its popularity
    :math:`c_v`,

    .. math::
        \textrm{Coverage} = \frac{|\{v: e_v > 0\}|}{|V|}, \quad
        \textrm{Popularity} = \frac{\sum_v e_v c_v}{\sum_v e_v}

    Args:
        exposure (dict): :math:`e`, ``[num_items]``, int64, for each length
            of the lists.
        popularity (Tensor): :math:`c`, such as clicks in training,
            ``[num_items]``.

    Returns:
        dict: ``Coverage@k``, in [0, 1], and ``Popularity@k``, in the unit
        of :obj:`popularity`, for each length.
    """
    metrics = {}
    for k, lists in exposure.items():
        lists = lists.cpu()
        share = lists.double() / lists.sum()
        metrics[f'Coverage@{k}'] = float((lists > 0).double().mean())
        metrics[f'Popularity@{k}'] = float(share @ popularity.cpu().double())
    return metrics


def top_items(score: Tensor, k: int) -> Tuple[Tensor, Tensor]:
    r"""The highest scores of each row and their items, the best first.

    Of items with equal scores the one with the lower index ranks first,
    which :func:`torch.topk` does not promise; not so for those of minus
    infinity.

    Args:
        score (Tensor): Scores of all items, ``[B, num_items]``; minus
            infinity is allowed.
        k (int): How many; fewer if there are no more items.

    Returns:
        (Tensor, Tensor): Scores and items, each ``[B, min(k, num_items)]``.

    Raises:
        ValueError: If a score is NaN or plus infinity.
    """
    # One more than asked for shows a tie with the first left out.
    count = min(k + 1, score.size(1))
    num_blocks = score.size(1) // BLOCK
    if num_blocks > 4 * count and score.numel() > MANY_SCORES:
        # The best are in the blocks of the highest maxima, or in the rest.
        end = num_blocks * BLOCK
        head = score[:, :end].unflatten(1, (num_blocks, BLOCK))
        chosen = head.amax(dim=2).topk(count, sorted=False)[1]
        place = chosen.unsqueeze(2) * BLOCK
        place = place + torch.arange(BLOCK, device=score.device)
        tail = torch.arange(end, score.size(1), device=score.device)
        tail = tail.expand(score.size(0), -1)
        place = torch.cat([place.flatten(1), tail], dim=1)
        value, index = score.gather(1, place).topk(count)
        index = place.gather(1, index)
    else:
        value, index = score.topk(count)
    # Read at once, as a host waits for a GPU each time; NaN comes first.
    best = value.tolist()
    if not all(row[0] < torch.inf for row in best):
        raise ValueError(
            'a score is NaN or infinite; the model diverged, train it again '
            'with a lower lr'
        )
    k = min(k, score.size(1))
    value, index = value.narrow(1, 0, k), index.narrow(1, 0, k)
    for row, found in enumerate(best):
        if any(x == y > -torch.inf for x, y in pairwise(found)):
            order = score[row].sort(descending=True, stable=True)
            value[row], index[row] = order[0][:k], order[1][:k]
    return value, index


def top_lists(score: Tensor, k: int) -> List[Tuple[List[int], List[float]]]:
    r"""Items and scores of each row as :func:`top_items` ranks them, without
    those of minus infinity, which were excluded.

    Args:
        score (Tensor): Scores of all items, ``[B, num_items]``.
        k (int): How many at most.
    """
    value, index = top_items(score, k)
    found = []
    for items, scores in zip(index.tolist(), value.tolist()):
        count = len(scores) - scores.count(-torch.inf)  # They stand last.
        found.append((items[:count], scores[:count]))
    return found
