r"""Linear maps whose products run in a chosen precision."""

from typing import Any, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Optional[Tensor] = None,
    precision: str = 'float32',
) -> Tensor:
    r"""Applies :math:`\mathbf{x} \mathbf{W}^{\top} + \mathbf{b}`.

    Args:
        x (Tensor): Rows to map, ``[n, in]``, floating point.
        weight (Tensor): The map, ``[out, in]``.
        bias (Tensor, optional): ``[out]``. (default: :obj:`None`)
        precision (str): :obj:`"float32"` multiplies in the type of
            :obj:`x`; :obj:`"bf16"` rounds both factors of each product, its
            result and the factors of its gradients to bfloat16, sums in
            float32, and returns the type of :obj:`x`.
            (default: :obj:`"float32"`)

    Returns:
        Tensor: ``[n, out]``, of the type of :obj:`x`.
    """
    if precision == 'float32':
        return F.linear(x, weight, bias)
    out: Tensor = _BFloat16Product.apply(  # type: ignore[no-untyped-call]
        x, weight
    )
    return out if bias is None else out + bias


class _BFloat16Product(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.dtype = x.dtype
        rows, x, weight = x.size(0), _round(x), weight.bfloat16()
        ctx.save_for_backward(x, weight)
        return (x @ weight.t())[:rows].to(ctx.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        rows, grad = grad.size(0), _round(grad)
        return (
            (grad @ weight)[:rows].to(ctx.dtype),
            (grad.t() @ x).to(ctx.dtype),
        )


def _round(x: Tensor, multiple: int = 64) -> Tensor:
    # oneDNN compiles a kernel for every new shape, and hardly two batches
    # have the same number of nodes: rows of zeros make the shapes recur.
    rows = -(-x.size(0) // multiple) * multiple
    out = x.new_zeros(rows, x.size(1), dtype=torch.bfloat16)
    out[: x.size(0)] = x
    return out
