"""Paired comparison of methods over test sessions."""

from typing import Dict, List, NamedTuple

import torch
from torch import Tensor

from pyg_sessaug.datasets import SessionDataset


class Comparison(NamedTuple):
    """Differences of means with 95 % intervals and p-values, ``[M]`` each."""

    difference: Tensor
    low: Tensor
    high: Tensor
    p: Tensor


def paired_bootstrap(
    difference: Tensor,
    session: Tensor,
    num_draws: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Bootstraps mean differences by resampling whole sessions.

    The prefixes of a session are no independent samples, so sessions are
    drawn, with all their samples; the statistic is the mean over samples.
    The interval holds the middle 95 % of the draws; the two-sided p-value is
    twice the share of draws on the rarer side of zero.

    Args:
        difference: Per-sample differences of M methods to the base,
            ``[M, num_samples]``.
        session: Session of each sample, ``[num_samples]``, from 0.
        num_draws: Number of resamples.
        seed: Seed of the draws.
    """
    num_sessions = int(session.max()) + 1
    values = torch.cat([difference, torch.ones(1, session.numel())]).double()
    total = values.new_zeros(values.size(0), num_sessions)
    total = total.index_add_(1, session, values).t()
    generator = torch.Generator().manual_seed(seed)
    means = []
    for draws in torch.arange(num_draws).split(100):
        size = (draws.numel(), num_sessions)
        drawn = torch.randint(num_sessions, size, generator=generator)
        count = total.new_zeros(size)
        count.scatter_add_(1, drawn, count.new_ones(1).expand(size))
        drawn_total = count @ total
        means.append(drawn_total[:, :-1] / drawn_total[:, -1:])
    mean = torch.cat(means)
    low, high = mean.quantile(mean.new_tensor([0.025, 0.975]), dim=0)
    rarer = torch.minimum((mean <= 0).sum(dim=0), (mean >= 0).sum(dim=0))
    p = (2 * (rarer + 1) / (num_draws + 1)).clamp_(max=1)
    return Comparison(difference.double().mean(dim=1), low, high, p)


def holm(p: List[float]) -> List[float]:
    """Holm's correction of p-values for their number."""
    order = sorted(range(len(p)), key=p.__getitem__)
    corrected, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = highest
    return corrected


def compare(
    gains: Dict[str, Tensor], session: Tensor, base: str = 'base'
) -> Dict[str, Dict[str, float]]:
    """Compares methods by one metric, in percent.

    Args:
        gains: What each sample adds to the metric, by method,
            ``[num_seeds, num_samples]``, in [0, 1]; NaN in all of a row
            where a method was not run with the seed, which the base was.
        session: Session of each sample, ``[num_samples]``.
        base: The method to compare with.

    Returns:
        dict: By method ``mean``, ``std`` over seeds (:obj:`None` for one
        seed) and ``values``; but for the base also ``gain`` (relative to it),
        ``difference``, ``low``, ``high``, ``p`` and ``p_holm``, over the
        seeds that both have.
    """
    rows = {}
    for name, gain in gains.items():
        values = 100 * gain.double().mean(dim=1)
        values = values[~values.isnan()]
        rows[name] = {
            'mean': float(values.mean()),
            'std': float(values.std()) if values.numel() > 1 else None,
            'values': values.tolist(),
        }
    others = [name for name in gains if name != base]
    if not others:
        return rows
    plain = gains[base].double()
    differences = [gains[x].double() - plain for x in others]
    result = paired_bootstrap(
        torch.stack([x.nanmean(dim=0) for x in differences]), session
    )
    for i, (name, p) in enumerate(zip(others, holm(result.p.tolist()))):
        row = rows[name]
        both = ~gains[name].isnan().any(dim=1)
        below = 100 * float(plain[both].mean())
        for key in ('difference', 'low', 'high'):
            row[key] = 100 * float(getattr(result, key)[i])
        row['gain'] = 100 * row['difference'] / below if below else None
        row['p'], row['p_holm'] = float(result.p[i]), p
    return rows


def per_session(dataset: SessionDataset) -> Tensor:
    """Session of each sample, from 0 without gaps."""
    sessions = dataset.flat_sessions
    session = sessions.session_of(sessions.target)
    return session.unique(return_inverse=True)[1]


def gains(rank: List[Tensor], k: int = 20) -> Dict[str, Tensor]:
    """What each sample adds to each metric, ``[num_seeds, num_samples]``."""
    rank = torch.stack(rank).double()
    hit = (rank <= k).double()
    return {f'HR@{k}': hit, f'MRR@{k}': hit / rank}
