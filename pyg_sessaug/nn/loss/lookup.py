r"""Lookup in an item table that scores use as a whole as well."""

from typing import Any, Iterator, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pyg_sessaug.nn.dropout import draw
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
        center: bool,
    ) -> Tuple[Tensor, Tensor]:
        table, norm = weight.detach(), None
        drops = draw(weight, dropout) if dropout > 0.0 else None
        if unit:
            norm = weight.new_empty(weight.size(0), 1)
        if unit or center or drops is not None:
            table = torch.empty_like(table)
            for rows in _slices(table):
                source, out = weight[rows], table[rows]
                if drops is not None:
                    source = drops.keep(source, rows, out)
                if center:
                    mean = source.mean(dim=1, keepdim=True)
                    source = torch.sub(source, mean, out=out)
                if norm is not None:  # What dropout scales by cancels.
                    torch.linalg.vector_norm(
                        source, dim=1, keepdim=True, out=norm[rows]
                    ).clamp_min_(SHORTEST)
                    torch.div(source, norm[rows], out=out)
                elif drops is not None:
                    out.div_(1.0 - drops.share)
        ctx.raw, ctx.drops, ctx.center = raw, drops, center
        ctx.save_for_backward(index, norm, table if unit else None)
        return (weight if raw else table).index_select(0, index), table

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, total: Tensor
    ) -> Tuple[Optional[Tensor], ...]:
        (index, norm, table), drops = ctx.saved_tensors, ctx.drops
        # In place, as a rule: what a loss passes back is a fresh tensor.
        total = total.contiguous()
        if not ctx.raw:
            total.index_add_(0, index, grad)
        if norm is not None or drops is not None or ctx.center:
            for rows in _slices(total):
                part = out = total[rows]
                if norm is not None:
                    part = _unit_backward(part, table[rows], norm[rows])
                elif drops is not None:
                    part.div_(1.0 - drops.share)
                if ctx.center:
                    part.sub_(part.mean(dim=1, keepdim=True))
                if drops is not None:
                    drops.keep(part, rows, out)
                elif norm is not None:
                    out.copy_(part)
        if ctx.raw:
            total.index_add_(0, index, grad)
        return total, None, None, None, None, None


def _slices(table: Tensor) -> Iterator[slice]:
    r"""Rows of a table that are worked on together."""
    on_cpu = table.device.type == 'cpu'
    return chunks(table.size(0), CACHED_ROWS if on_cpu else table.size(0))


def _unit_backward(grad: Tensor, unit: Tensor, norm: Tensor) -> Tensor:
    r"""Turns gradients of unit vectors :math:`\mathbf{u}` into those of what
    they came from, :math:`(\mathbf{g} - \mathbf{u} \mathbf{u}^{\top}
    \mathbf{g}) / \ell`, by the kernel of weight normalisation.
    """
    # The norm of the shortest is a constant: they turn on no sphere, which is
    # one so large that it is flat.
    wide = torch.promote_types(norm.dtype, torch.float32)
    radius = torch.ones_like(norm, dtype=wide)
    radius.masked_fill_(norm <= SHORTEST, 1e9)
    scale = (radius / norm).to(unit.dtype)
    found: Tensor = torch.ops.aten._weight_norm_interface_backward(
        grad, unit, scale, radius, 0
    )[0]
    return found


def shared_lookup(
    weight: Tensor,
    index: Tensor,
    unit: bool = False,
    *,
    raw: bool = False,
    dropout: float = 0.0,
    center: bool = False,
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
            zero, before it gets unit length; without that, the rest is
            scaled up. Rows that are looked up keep theirs. See
            :func:`~pyg_sessaug.nn.dropout.draw`. (default: :obj:`0.0`)
        center (bool): Whether to subtract its mean from each row, after
            dropout and before it gets unit length. (default: :obj:`False`)

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
    rows, table = _Lookup.apply(weight, index, unit, whole, dropout, center)  # type: ignore[no-untyped-call]
    if whole and not raw:
        if center:
            rows = rows - rows.mean(dim=-1, keepdim=True)
        rows = F.normalize(rows, dim=-1) if unit else rows
    return rows, table
