r"""Learning rates over steps, and samples over time."""

from typing import Any, Iterator

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    SequentialLR,
    StepLR,
)
from torch.utils.data import Sampler

SCHEDULES = ('steps', 'cosine')


def learning_rate(
    optimizer: Optimizer,
    schedule: str,
    num_steps: int,
    decay_steps: int,
    decay: float,
    warmup: int,
) -> LRScheduler:
    r"""The learning rate of every step.

    Args:
        optimizer (Optimizer): With the highest rate.
        schedule (str): :obj:`"steps"`, times :obj:`decay` every
            :obj:`decay_steps`, or :obj:`"cosine"`, half a period down to
            zero over :obj:`num_steps`.
        num_steps (int): Steps of the longest training.
        decay_steps (int): Steps between two decays.
        decay (float): Factor of each decay.
        warmup (int): Steps at the start over which the rate rises linearly;
            they are part of :obj:`num_steps`.
    """
    after: LRScheduler = (
        StepLR(optimizer, decay_steps, decay)
        if schedule == 'steps'
        else CosineAnnealingLR(optimizer, max(1, num_steps - warmup))
    )
    if warmup == 0:
        return after
    rise = LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup)
    return SequentialLR(optimizer, [rise, after], [warmup])


class RecencySampler(Sampler[int]):
    r"""Draws as many samples as there are, those of newer sessions more
    often.

    A sample of a session of age :math:`a` is drawn :math:`N \exp(-a / \tau)
    / \sum_i \exp(-a_i / \tau)` times on average, rounded down or up: by
    one random offset for all, since independent draws would leave out a third
    of the samples by chance. The age is the session's rank from the newest
    over the number of sessions, in the order of the data.

    Args:
        session (Tensor): Session of each sample, ``[num_samples]``, int64,
            newer ones with higher numbers.
        num_sessions (int): Number of sessions.
        tau (float): :math:`\tau`.
    """

    def __init__(self, session: Tensor, num_sessions: int, tau: float) -> None:
        age = (num_sessions - 1 - session).double() / num_sessions
        self.weight = torch.exp(-age / tau)
        self.total = self.weight.cumsum(0)

    def __len__(self) -> int:
        return self.total.numel()

    def __iter__(self) -> Iterator[int]:
        offset = torch.rand(1, dtype=torch.double)
        draw = torch.arange(len(self)).add(offset).div(len(self))
        draw *= self.total[-1]
        index = torch.searchsorted(self.total, draw, right=True)
        index = index.clamp(max=len(self) - 1)
        return iter(index[torch.randperm(len(self))].tolist())


def by_recency(loader: Any, tau: float) -> RecencySampler:
    r"""A sampler of the samples of a :class:`~pyg_sessaug.SessionLoader`.

    Args:
        loader (SessionLoader): The samples.
        tau (float): See :class:`RecencySampler`.
    """
    session, _ = loader.places
    return RecencySampler(session, loader.num_sessions, tau)
