r"""The best items by their scores."""

from typing import Tuple

import torch
from torch import Tensor

# Items per block of the search for the best.
BLOCK = 64


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
    if num_blocks > 4 * count:
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
    if not bool((value[:, 0] < torch.inf).all()):  # NaN comes first.
        raise ValueError(
            'a score is NaN or infinite; the model diverged, train it again '
            'with a lower lr'
        )
    same = (value[:, 1:] == value[:, :-1]) & (value[:, 1:] > -torch.inf)
    tied = same.any(dim=1).nonzero().view(-1)
    k = min(k, score.size(1))
    value, index = value[:, :k], index[:, :k]
    for row in tied.tolist():
        order = score[row].sort(descending=True, stable=True)
        value[row], index[row] = order[0][:k], order[1][:k]
    return value, index
