r"""Lookup in an item table that scores use as a whole as well."""

from typing import Any, Iterator, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pyg_sessaug.nn.loss.catalogue import chunks

# Rows of the item table that stay in a core's cache between two passes.
CACHED_ROWS = 2048

# What F.normalize divides shorter vectors by.
SHORTEST = 1e-12


class _Lookup(Function):
    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        index: Tensor,
        unit: bool,
        raw: bool,
        dropout: float,
    ) -> Tuple[Tensor, Tensor]:
        table = weight.detach()
        norm = weight.new_empty(weight.size(0), 1) if unit else None
        kept = None
        if dropout > 0.0:
            kept = torch.empty_like(weight, dtype=torch.bool)
        if unit or dropout > 0.0:
            table = torch.empty_like(table)
            for rows in _slices(table):
                _prepare(weight, table, norm, kept, dropout, rows)
        ctx.raw, ctx.dropout = raw, dropout
        ctx.save_for_backward(index, kept, norm, table if unit else None)
        return (weight if raw else table).index_select(0, index), table

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, total: Tensor
    ) -> Tuple[Optional[Tensor], ...]:
        index, kept, norm, table = ctx.saved_tensors
        # In place, as a rule: what a loss passes back is a fresh tensor.
        total = total.contiguous()
        if not ctx.raw:
            total.index_add_(0, index, grad)
        for rows in _slices(total):
            part = total[rows]
            if norm is not None:
                _project(part, table[rows], norm[rows])
            if kept is not None:
                part.mul_(kept[rows].to(part.dtype))
                if norm is None:
                    part.div_(1.0 - ctx.dropout)
        if ctx.raw:
            total.index_add_(0, index, grad)
        return total, None, None, None, None


def _slices(table: Tensor) -> Iterator[slice]:
    r"""Rows of a table that are worked on together."""
    on_cpu = table.device.type == 'cpu'
    return chunks(table.size(0), CACHED_ROWS if on_cpu else table.size(0))


def _prepare(
    weight: Tensor,
    table: Tensor,
    norm: Optional[Tensor],
    kept: Optional[Tensor],
    dropout: float,
    rows: slice,
) -> None:
    r"""Drops entries of some rows and gives them unit length."""
    source, out = weight[rows], table[rows]
    if kept is not None:
        keep = _draw(source, dropout)
        kept[rows] = keep
        source = torch.mul(source, keep, out=out)
        if norm is None:  # Unit length undoes it.
            out.div_(1.0 - dropout)
    if norm is not None:
        torch.linalg.vector_norm(source, dim=1, keepdim=True, out=norm[rows])
        torch.div(source, norm[rows].clamp_min_(SHORTEST), out=out)


def _draw(x: Tensor, share: float) -> Tensor:
    r"""Zeros with a probability of :obj:`share`, else ones, shaped like
    :obj:`x`.
    """
    if x.device.type != 'cpu':
        return (torch.rand_like(x) >= share).to(x.dtype)
    # A CPU draws slowly: four entries share a draw of 64 bits.
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.long)
    bits.random_(-(2**63), None)
    part = bits.view(torch.int16)[: x.numel()].view(x.size())
    return part.to(x.dtype).ge_(round(share * 2**16) - 2**15)


def _project(grad: Tensor, unit: Tensor, norm: Tensor) -> None:
    r"""Turns gradients of unit vectors into those of what they came from,
    :math:`(\mathbf{g} - \mathbf{u} \mathbf{u}^{\top} \mathbf{g}) /
    \lVert \mathbf{w} \rVert`, in place.
    """
    dot = torch.linalg.vecdot(unit, grad).unsqueeze(-1)
    dot.masked_fill_(norm <= SHORTEST, 0.0)  # Their norm is a constant.
    grad.addcmul_(unit, dot, value=-1).div_(norm)


def shared_lookup(
    weight: Tensor,
    index: Tensor,
    unit: bool = False,
    *,
    raw: bool = False,
    dropout: float = 0.0,
) -> Tuple[Tensor, Tensor]:
    r"""Looks up rows of a table that is used as a whole as well.

    A table with several uses collects their gradients, each as large as the
    table. Here, the gradient of the rows is added in place to that of the
    whole table; autograd itself copies a dense gradient to which it adds a
    sparse one. Unit rows are those of :obj:`F.normalize`, with a backward
    pass of two passes over the table instead of a dozen.

    Args:
        weight (torch.Tensor): The table.
        index (torch.Tensor): The rows to look up.
        unit (bool): Whether to give all rows unit length.
            (default: :obj:`False`)
        raw (bool): Whether the rows that are looked up stay as they are
            nevertheless. (default: :obj:`False`)
        dropout (float): Share of the entries of the whole table to set to
            zero, before it gets unit length; the rest is scaled by
            :obj:`1 / (1 - dropout)`. Rows that are looked up keep theirs.
            (default: :obj:`0.0`)

    Returns:
        The rows and the table. Score items by the returned table only, and
        pass it to nothing but a loss: its gradient is overwritten.

    Shapes:
        - **weight:** :math:`(N, d)`
        - **index:** :math:`(n)`, :obj:`int64`
        - **output:** :math:`(n, d)` and :math:`(N, d)`
    """
    # What was dropped from the table is not dropped from its rows.
    whole = raw or dropout > 0.0
    rows, table = _Lookup.apply(weight, index, unit, whole, dropout)  # type: ignore[no-untyped-call]
    if unit and whole and not raw:
        rows = F.normalize(rows, dim=-1)
    return rows, table
