r"""Lookup in an item table that scores use as a whole as well."""

from typing import Any, Tuple

import torch
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
        ctx: Any, weight: Tensor, index: Tensor, unit: bool
    ) -> Tuple[Tensor, Tensor]:
        table, kept = weight.detach(), []
        if unit:
            norm = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
            table = weight / norm.clamp_min_(SHORTEST)
            kept = [table, norm]
        ctx.save_for_backward(index, *kept)
        return table.index_select(0, index), table

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, total: Tensor
    ) -> Tuple[Tensor, None, None]:
        index, *kept = ctx.saved_tensors
        # In place, as a rule: what a loss passes back is a fresh tensor.
        total = total.contiguous().index_add_(0, index, grad)
        if kept:
            for rows in chunks(total.size(0), CACHED_ROWS):
                _project(total[rows], *(x[rows] for x in kept))
        return total, None, None


def _project(grad: Tensor, unit: Tensor, norm: Tensor) -> None:
    r"""Turns gradients of unit vectors into those of what they came from,
    :math:`(\mathbf{g} - \mathbf{u} \mathbf{u}^{\top} \mathbf{g}) /
    \lVert \mathbf{w} \rVert`, in place.
    """
    dot = torch.linalg.vecdot(unit, grad).unsqueeze(-1)
    dot.masked_fill_(norm <= SHORTEST, 0.0)  # Their norm is a constant.
    grad.addcmul_(unit, dot, value=-1).div_(norm)


def shared_lookup(
    weight: Tensor, index: Tensor, unit: bool = False
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

    Returns:
        The rows and the table. Score items by the returned table only, and
        pass it to nothing but a loss: its gradient is overwritten.

    Shapes:
        - **weight:** :math:`(N, d)`
        - **index:** :math:`(n)`, :obj:`int64`
        - **output:** :math:`(n, d)` and :math:`(N, d)`
    """
    return _Lookup.apply(weight, index, unit)  # type: ignore[no-untyped-call]
