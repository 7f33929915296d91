r"""Hit rate and mean reciprocal rank over the full catalogue."""

from typing import Dict

import numpy as np
import torch
from torch import Tensor

from pyg_sessaug.nn.loss.catalogue import check_target


def target_rank(score: Tensor, target: Tensor) -> Tensor:
    r"""Rank of each target among all items, from 1.

    Of items with equal scores the one with the lower index ranks first.

    Args:
        score (Tensor): Scores of all items, ``[B, num_items]``, floating.
        target (Tensor): Target items, ``[B]``, int64.

    Returns:
        Tensor: ``[B]``, int64.

    Raises:
        ValueError: If a score is not finite, or a target is missing or no
            item.
    """
    if target.numel() > 0 or score.size(0) > 0:
        check_target(target, score.size(0), score.size(1))
    if not torch.isfinite(score.sum()) and not score.isfinite().all():
        row = int((~score.isfinite()).any(dim=1).nonzero()[0])
        raise ValueError(
            f'row {row} of the scores holds a value that is not finite; the '
            f'model diverged or its input holds NaN or infinite numbers'
        )
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


def ranking_metrics(rank: Tensor, k: int = 20) -> Dict[str, float]:
    r"""Hit rate and mean reciprocal rank at :obj:`k`.

    The field's P@K is this hit rate: the share of samples whose target is
    among the first :obj:`k` items.

    Args:
        rank (Tensor): Rank of each target, ``[num_samples]``, int64, from 1.
        k (int): Length of the list. (default: :obj:`20`)

    Returns:
        dict: ``HR@k`` and ``MRR@k``, each in [0, 1].

    Raises:
        ValueError: If :obj:`k` is not positive, or there are no ranks.
    """
    if k < 1:
        raise ValueError(f'ranking_metrics got k={k}; pass at least 1')
    if rank.numel() == 0:
        raise ValueError('ranking_metrics got no ranks; pass at least 1')
    hit = rank <= k
    gain = torch.where(hit, 1.0 / rank, 0.0)
    return {
        f'HR@{k}': float(hit.double().mean()),
        f'MRR@{k}': float(gain.double().mean()),
    }
