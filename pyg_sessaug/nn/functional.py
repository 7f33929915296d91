r"""Exact softmax losses over a whole catalogue of items."""
from typing import Iterator, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

PRECISIONS = ('float32', 'bf16')

# Items per matrix product: large enough to hide the cost of a call, small
# enough for the block of logits to stay in the last-level cache.
CHUNK_SIZE = 16384

# Probabilities are kept for the backward pass up to this size and computed
# again beyond it.
CACHE_BYTES = 64 * 2**20


def is_bf16_native(device: Optional[torch.device] = None) -> bool:
    r"""Returns :obj:`True` if :obj:`device` multiplies :obj:`bfloat16`
    matrices in hardware, so that :obj:`precision='bf16'` is faster than
    :obj:`precision='float32'`.

    Args:
        device (torch.device or str, optional): The device to ask about.
            (default: the CPU)
    """
    device = torch.device('cpu' if device is None else device)
    if device.type == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != 'cpu' or not torch.backends.mkldnn.is_available():
        return False
    # oneDNN itself already runs (and emulates) bfloat16 on plain AVX-512.
    # The probes are private to PyTorch: their absence means "no".
    probes = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    return any(getattr(torch.cpu, p, lambda: False)() for p in probes)


def check_precision(precision: str) -> None:
    r"""Raises unless :obj:`precision` is one of :obj:`PRECISIONS`."""
    if precision not in PRECISIONS:
        raise ValueError(f"Unknown precision {precision!r}: choose one of "
                         f"{', '.join(map(repr, PRECISIONS))}")


def product_dtype(precision: str, dtype: torch.dtype) -> torch.dtype:
    r"""The type in which matrices of type :obj:`dtype` are multiplied."""
    check_precision(precision)
    return torch.bfloat16 if precision == 'bf16' else dtype


def chunks(num_items: int, size: int) -> Iterator[slice]:
    r"""Cuts :obj:`num_items` items into equal slices of at most about
    :obj:`size` items. Lengths are multiples of 64, which keeps the rows of
    a block of logits on cache lines.
    """
    num = max(-(-num_items // size), 1)
    size = -(-num_items // (num * 64)) * 64
    for start in range(0, num_items, max(size, 1)):
        yield slice(start, min(start + size, num_items))


def softmax_(logits: Tensor) -> Tuple[Tensor, Tensor]:
    r"""Overwrites :obj:`logits` by their softmax over the last dimension;
    returns it and the log-sum-exp in (at least) :obj:`float32`.

    The largest probability is :math:`\exp(\max - \mathrm{lse})`. It is never
    smaller than one over the number of items, so this is safe for any
    logits and saves a pass of exponentials.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    top = logits.amax(dim=-1).to(dtype)
    torch.softmax(logits, dim=-1, out=logits)
    return logits, top - logits.amax(dim=-1).to(dtype).log_()


def check_operands(**operands: Tensor) -> None:
    r"""Raises unless all operands are matrices of the type and width of the
    last one.
    """
    *_, (like, weight) = operands.items()
    for name, x in operands.items():
        if x.dim() != 2 or x.size(-1) != weight.size(-1):
            raise ValueError(f"{name!r} has shape {list(x.shape)}: expected "
                             f"a matrix as wide as {like!r} with shape "
                             f"{list(weight.shape)}")
        if not x.is_floating_point() or x.dtype != weight.dtype:
            raise ValueError(f"{name!r} has type {x.dtype}: expected the "
                             f"floating point type of {like!r} "
                             f"({weight.dtype}), e.g. "
                             f"'{name}.to({like}.dtype)'")


def check_target(target: Tensor, num_rows: int, num_items: int) -> None:
    if target.dim() != 1 or target.numel() != num_rows:
        raise ValueError(f"'target' has shape {list(target.shape)}: expected "
                         f"[{num_rows}], one item for each session")
    if target.is_floating_point() or target.dtype == torch.bool:
        raise ValueError(f"'target' has type {target.dtype}: expected item "
                         f"indices, e.g. 'target.long()'")
    if num_rows == 0:
        raise ValueError("'target' is empty: the mean loss of no sessions "
                         "is undefined, skip empty batches")
    low, high = (int(bound) for bound in target.aminmax())
    if low < 0 or high >= num_items:
        raise ValueError(f"'target' holds item {low if low < 0 else high}: "
                         f"expected indices of the {num_items} rows of "
                         f"'weight'")


class _CatalogueCrossEntropy(Function):
    # A block P_c of probabilities is normalised within its chunk of items;
    # the factor exp(lse_c - lse) that makes it part of the whole softmax is
    # folded into the small operands of the backward products.
    @staticmethod
    def forward(ctx, x, weight, target, dtype):
        num_bytes = x.size(0) * weight.size(0) * dtype.itemsize
        keep = any(ctx.needs_input_grad) and num_bytes <= CACHE_BYTES
        blocks, lses = [], []
        for items in chunks(weight.size(0), CHUNK_SIZE):
            block, lse = softmax_(x.to(dtype) @ weight[items].to(dtype).t())
            blocks.append(block if keep else None)
            lses.append(lse)
        lses = torch.stack(lses)
        lse = lses.logsumexp(dim=0)
        ctx.dtype = dtype
        ctx.save_for_backward(x, weight, target, (lses - lse).exp_(), *blocks)
        # The score of the target is exact in either precision.
        return (lse - (x * weight[target]).sum(dim=-1)).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, target, scales, *blocks = ctx.saved_tensors
        dtype, grad = ctx.dtype, grad / x.size(0)
        scales = (scales * grad).unsqueeze(-1)
        grad_x = weight[target].mul_(-grad)
        grad_weight = torch.empty_like(weight)
        for items, scale, block in zip(chunks(weight.size(0), CHUNK_SIZE),
                                       scales, blocks):
            table = weight[items].to(dtype)
            if block is None:
                block, _ = softmax_(x.to(dtype) @ table.t())
            product_(grad_weight[items], block.t(), (x * scale).to(dtype))
            grad_x.addcmul_(block @ table, scale)
        grad_weight.index_add_(0, target, x * -grad)
        return grad_x, grad_weight, None, None


def product_(out: Tensor, left: Tensor, right: Tensor) -> Tensor:
    r"""Writes a matrix product to :obj:`out`, whatever its type."""
    if out.dtype == left.dtype:
        return torch.mm(left, right, out=out)
    return out.copy_(left @ right)


def catalogue_cross_entropy(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    precision: str = 'float32',
) -> Tensor:
    r"""The mean softmax cross-entropy of sessions over all items,

    .. math::
        \mathcal{L} = \frac{1}{B} \sum_{b=1}^B \Big( \log \sum_{v=1}^N
        \exp(\mathbf{x}_b^{\top} \mathbf{w}_v) -
        \mathbf{x}_b^{\top} \mathbf{w}_{y_b} \Big),

    equal to :obj:`F.cross_entropy(x @ weight.t(), target)`. Small problems
    keep one matrix of probabilities for the backward pass; beyond that,
    items are processed in chunks and nothing of size :math:`B \times N` is
    ever stored.

    Args:
        x (torch.Tensor): The session vectors.
        weight (torch.Tensor): The item embeddings.
        target (torch.Tensor): The item that follows each session.
        precision (str, optional): :obj:`"float32"` multiplies in the type of
            the operands. :obj:`"bf16"` multiplies in :obj:`bfloat16` with
            :obj:`float32` accumulation and rounds the scores and their
            gradients to it; the softmax and whatever concerns the target is
            computed in :obj:`float32`, and so is every tensor in and out.
            (default: :obj:`"float32"`)

    Shapes:
        - **x:** :math:`(B, d)`
        - **weight:** :math:`(N, d)`, of the same floating point type
        - **target:** :math:`(B)`, :obj:`int64`
        - **output:** a scalar
    """
    dtype = product_dtype(precision, x.dtype)
    check_operands(x=x, weight=weight)
    check_target(target, x.size(0), weight.size(0))
    return _CatalogueCrossEntropy.apply(x, weight, target, dtype)
