r"""Whether one model is better than another, by the ranks that they give the
same samples.
"""

from typing import Any, Dict, List, NamedTuple

import torch
from torch import Tensor

from pyg_sessaug.data.progress import progress_bar
from pyg_sessaug.datasets import SessionDataset


class Comparison(NamedTuple):
    r"""Mean differences of :math:`M` methods to one, each of shape
    :math:`(M)`: the ``difference``, the ends ``low`` and ``high`` of its 95 %
    interval, and the two-sided p-value ``p``.

    Example:
        >>> import torch
        >>> from pyg_sessaug.comparison import paired_bootstrap
        >>> gain = torch.tensor([[1.0, 0.0, 1.0, 1.0]])  # Mine less the base's
        >>> out = paired_bootstrap(gain, session=torch.tensor([0, 0, 1, 2]))
        >>> out.difference, bool(out.low < out.high)
        (tensor([0.7500], dtype=torch.float64), True)
    """

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
    r"""The paired bootstrap of `"An Introduction to the Bootstrap"
    <https://doi.org/10.1201/9780429246593>`_ over whole sessions.

    The prefixes of a session are no independent samples, so each draw takes
    :math:`S` of the :math:`S` sessions with replacement, session :math:`s`
    :math:`c_s` times, with all its samples :math:`i \in s`:

    .. math::
        \bar{d} = \frac{\sum_s c_s \sum_{i \in s} d_i}{\sum_s c_s |s|}

    The interval holds the middle 95 % of the :math:`R` draws, and

    .. math::
        p = \min\left(1, \; 2 \, \frac{1 + \min(\#\{\bar{d} \leq 0\}, \,
        \#\{\bar{d} \geq 0\})}{R + 1}\right)

    Args:
        difference (torch.Tensor): What each sample adds to a metric under
            each of :math:`M` methods, less what it adds under the one they
            are compared with, of shape :math:`(M, N)`.
        session (torch.Tensor): Session of each sample, from 0 and without
            gaps, of shape :math:`(N)`, see :func:`per_session`.
        num_draws (int, optional): Number of draws :math:`R`.
            (default: :obj:`10000`)
        seed (int, optional): Seed of the draws. (default: :obj:`0`)
    """
    num_sessions = int(session.max()) + 1
    values = torch.cat([difference, torch.ones(1, session.numel())]).double()
    total = values.new_zeros(values.size(0), num_sessions)
    total = total.index_add_(1, session, values).t()
    generator = torch.Generator().manual_seed(seed)
    means = []
    for draws in progress_bar(torch.arange(num_draws).split(100), 'draws'):
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
    r"""Corrects p-values for their number, as in `"A Simple Sequentially
    Rejective Multiple Test Procedure" <https://www.jstor.org/stable/4615733>`_.

    With :math:`p_{(1)} \leq \ldots \leq p_{(m)}`,

    .. math::
        \tilde{p}_{(i)} = \max_{j \leq i} \; \min(1, (m - j + 1) \, p_{(j)})

    Args:
        p (List[float]): P-values, in any order.
    """
    order = sorted(range(len(p)), key=p.__getitem__)
    corrected, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = highest
    return corrected


def compare(
    gains: Dict[str, Tensor], session: Tensor, base: str = 'base'
) -> Dict[str, Dict[str, Any]]:
    r"""Compares methods by one metric, in percent.

    Args:
        gains (Dict[str, torch.Tensor]): What each sample adds to the metric,
            in :math:`[0, 1]`, by method, each of shape
            :math:`(\text{seeds}, N)`, see :func:`gains`. A row is NaN where a
            method was not run with a seed that the base was run with.
        session (torch.Tensor): Session of each sample, from 0 and without
            gaps, of shape :math:`(N)`.
        base (str, optional): The method to compare with.
            (default: :obj:`"base"`)

    Returns:
        dict: By method ``mean``, ``std`` over seeds (:obj:`None` for one
        seed) and ``values``; but for the base also ``gain`` (relative to it),
        ``difference``, ``low``, ``high``, ``p`` and ``p_holm``, over the
        seeds that both have.
    """
    rows: Dict[str, Dict[str, Any]] = {}
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


def compare_ranks(
    ranks: Dict[str, List[Tensor]], session: Tensor, base: str = 'base'
) -> Dict[str, Dict[str, Dict[str, Any]]]:
    r"""Compares methods by HR@20 and MRR@20: by metric, what
    :meth:`compare` returns.

    Args:
        ranks (Dict[str, List[torch.Tensor]]): Ranks of the targets by method
            and seed, each of shape :math:`(N)`.
        session (torch.Tensor): Session of each sample, from 0 and without
            gaps, of shape :math:`(N)`.
        base (str, optional): The method to compare with.
            (default: :obj:`"base"`)

    Raises:
        ValueError: If no method is called :obj:`base`, or one was ranked with
            other seeds or samples than it.
    """
    if base not in ranks:
        raise ValueError(
            f'compare_ranks got base={base!r} and ranks of {list(ranks)}; '
            f'name one of them'
        )
    sizes = {name: [len(x) for x in rank] for name, rank in ranks.items()}
    for name, size in sizes.items():
        if size != sizes[base]:
            raise ValueError(
                f'compare_ranks got {size} ranks of {name!r} and '
                f'{sizes[base]} of {base!r}, by seed; rank the same samples '
                f'with the same seeds'
            )
    gain = {name: gains(rank) for name, rank in ranks.items()}
    return {
        metric: compare({x: gain[x][metric] for x in gain}, session, base)
        for metric in gain[base]
    }


def per_session(dataset: SessionDataset) -> Tensor:
    r"""Session of each sample, from 0 and without gaps, of shape :math:`(N)`.

    Args:
        dataset (SessionDataset): The samples.
    """
    sessions = dataset.flat_sessions
    session = sessions.session_of(sessions.target)
    return session.unique(return_inverse=True)[1]


def gains(rank: List[Tensor], k: int = 20) -> Dict[str, Tensor]:
    r"""What each sample adds to HR@k and MRR@k, by metric, each of shape
    :math:`(\text{seeds}, N)`: :math:`[r_i \leq k]` and
    :math:`[r_i \leq k] / r_i`.

    Args:
        rank (List[torch.Tensor]): Ranks :math:`r_i` of the targets, from 1,
            by seed, each of shape :math:`(N)`.
        k (int, optional): Length of the list. (default: :obj:`20`)
    """
    ranks = torch.stack(rank).double()
    hit = (ranks <= k).double()
    return {f'HR@{k}': hit, f'MRR@{k}': hit / ranks}


def comparison_table(comparison: Dict[str, Dict[str, Dict[str, Any]]]) -> str:
    r"""What :func:`compare_ranks` found, as a table in Markdown.

    Args:
        comparison (dict): What it returned.

    Returns:
        str: For each metric and method its mean over seeds and their standard
        deviation, in percent, the difference to the base, the method without
        one, with its 95 % interval, and the p-value by Holm.
    """
    head = ['metric (%)', 'method', 'mean', 'over the base [95 %]']
    lines = [[*head, 'p (Holm)']]
    for metric, rows in comparison.items():
        for name, row in rows.items():
            mean, difference, p = f'{row["mean"]:.2f}', '–', '–'
            if row['std'] is not None:
                mean += f' ± {row["std"]:.2f}'
            if 'p_holm' in row:
                difference = '{difference:+.2f} [{low:+.2f}, {high:+.2f}]'
                difference, p = (
                    difference.format(**row),
                    f'{row["p_holm"]:.4f}',
                )
            lines.append([metric, name, mean, difference, p])
    width = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ['-' * size for size in width])
    cells = [' | '.join(map(str.ljust, line, width)) for line in lines]
    return '\n'.join(f'| {line} |' for line in cells)


def forest_plot(comparison: Dict[str, Dict[str, Dict[str, Any]]]) -> Any:
    r"""Draws what :func:`compare_ranks` found: of each method the difference
    to the base with its 95 % interval, a panel for each metric.

    Args:
        comparison (dict): What it returned.

    Returns:
        matplotlib.figure.Figure: The figure.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "forest_plot needs matplotlib; install 'pyg_sessaug[plot]'"
        ) from error
    others = {
        metric: {name: row for name, row in rows.items() if 'low' in row}
        for metric, rows in comparison.items()
    }
    names = list(next(iter(others.values())))
    size = (4 * len(others), 1.2 + 0.4 * len(names))
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(1, len(others), sharey=True, squeeze=False)[0]
    for axis, (metric, rows) in zip(axes, others.items()):
        for place, row in enumerate(rows.values()):
            value = row['difference']
            ends = [[value - row['low']], [row['high'] - value]]
            axis.errorbar(value, place, xerr=ends, fmt='o', capsize=4)
        axis.axvline(0, color='k', ls='--', lw=1, alpha=0.5)
        axis.set(xlabel=f'{metric} over the base, 95 % interval')
        axis.grid(axis='x', alpha=0.3)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    return figure
