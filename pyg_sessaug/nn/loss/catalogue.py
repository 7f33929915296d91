r"""Exact softmax losses over a whole catalogue of items."""

import functools
import platform
from typing import Any, Callable, Iterator, Optional, Tuple, TypeVar, Union

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pyg_sessaug.data.devices import is_exporting, on_host

PRECISIONS = ('float32', 'bf16')

# Items per matrix product: large enough to hide the cost of a call.
CHUNK_SIZE = 16384

# Scores in such a product at most, small enough for the block to stay in the
# last-level cache; and at least elsewhere, where a call costs more.
HOST_SCORES, DEVICE_SCORES = 2**22, 2**26

# Probabilities are kept for the backward pass up to this size and computed
# again beyond it.
CACHE_BYTES = 512 * 2**20


def is_bf16_native(
    device: Union[str, torch.device, None] = None,
) -> bool:
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


@functools.cache
def is_intel() -> bool:
    r"""Whether the processor is one of Intel's, for which MKL is made."""
    try:
        with open('/proc/cpuinfo') as f:
            text = f.read(4096)
    except OSError:
        text = platform.processor()
    return 'GenuineIntel' in text


def check_precision(precision: str) -> None:
    r"""Raises unless :obj:`precision` is one of :obj:`PRECISIONS`."""
    if precision not in PRECISIONS:
        raise ValueError(
            f'Unknown precision {precision!r}: choose one of '
            f'{", ".join(map(repr, PRECISIONS))}'
        )


def choose_precision(
    precision: str,
    device: Union[str, torch.device, None] = None,
) -> str:
    r"""Replaces :obj:`"auto"` by :obj:`"bf16"` where it is native, and by
    :obj:`"float32"` elsewhere.

    Args:
        precision (str): :obj:`"auto"` or one of :obj:`PRECISIONS`.
        device (torch.device or str, optional): Where to multiply.
            (default: the CPU)
    """
    if precision != 'auto':
        return precision
    return 'bf16' if is_bf16_native(device) else 'float32'


def product_dtype(precision: str, dtype: torch.dtype) -> torch.dtype:
    r"""The type in which matrices of type :obj:`dtype` are multiplied."""
    check_precision(precision)
    return torch.bfloat16 if precision == 'bf16' else dtype


_F = TypeVar('_F', bound=Callable[..., Any])


def no_autocast(function: _F) -> _F:
    r"""Lets a function multiply in the types of its operands.

    The types of products with an item table are those of its own, which
    :obj:`torch.autocast` would change in some of them.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        values = (*args, *kwargs.values())
        kind = next(x for x in values if isinstance(x, Tensor)).device.type
        if not torch.is_autocast_enabled(kind):
            return function(*args, **kwargs)
        with torch.autocast(kind, enabled=False):
            return function(*args, **kwargs)

    return run  # type: ignore[return-value]


def chunks(num_items: int, size: int) -> Iterator[slice]:
    r"""Cuts :obj:`num_items` items into equal slices of at most about
    :obj:`size` items. Lengths are multiples of 64, which keeps the rows of
    a block of logits on cache lines.
    """
    num = max(-(-num_items // size), 1)
    size = -(-num_items // (num * 64)) * 64
    for start in range(0, num_items, max(size, 1)):
        yield slice(start, min(start + size, num_items))


def check_operands(**operands: Tensor) -> None:
    r"""Raises unless all operands are matrices of the type and width of the
    last one.
    """
    *_, (like, weight) = operands.items()
    for name, x in operands.items():
        if x.dim() != 2 or x.size(-1) != weight.size(-1):
            raise ValueError(
                f'{name!r} has shape {list(x.shape)}: expected '
                f'a matrix as wide as {like!r} with shape '
                f'{list(weight.shape)}'
            )
        if x.dtype == torch.float16:
            raise ValueError(
                f'{name!r} has type {x.dtype}, in which sums over all items '
                f"overflow: pass '{name}.float()', and precision='bf16' for "
                f'fast products'
            )
        if not x.is_floating_point() or x.dtype != weight.dtype:
            raise ValueError(
                f'{name!r} has type {x.dtype}: expected the '
                f'floating point type of {like!r} '
                f'({weight.dtype}), e.g. '
                f"'{name}.to({like}.dtype)'"
            )


def check_target(
    target: Optional[Tensor], num_rows: int, num_items: int
) -> None:
    r"""Raises unless :obj:`target` holds one item for each of the rows; on
    other devices than the CPU the look-up checks values itself.
    """
    if target is None:
        raise ValueError(
            "'target' is None: expected one item for each session, which "
            'graphs hold in `y`'
        )
    if target.dim() != 1 or target.numel() != num_rows:
        raise ValueError(
            f"'target' has shape {list(target.shape)}: expected "
            f'[{num_rows}], one item for each session'
        )
    if target.is_floating_point() or target.dtype in (torch.bool, torch.uint8):
        raise ValueError(
            f"'target' has type {target.dtype}: expected item "
            f"indices, e.g. 'target.long()'"
        )
    if num_rows == 0:
        raise ValueError(
            "'target' is empty: the mean loss of no sessions "
            'is undefined, skip empty batches'
        )
    if not on_host(target):
        return
    value = target.numpy()
    low, high = int(value.min()), int(value.max())
    if low < 0 or high >= num_items:
        raise ValueError(
            f"'target' holds item {low if low < 0 else high}: "
            f'expected indices of the {num_items} items'
        )


def _softmax(x: Tensor, table: Tensor) -> Tuple[Tensor, Tensor]:
    r"""Softmax of :obj:`x @ table.t()` and, in float32, log-sum-exp.

    The softmax in place knows the log-sum-exp but does not tell. It is the
    same difference of logit and log-probability for any group of items, so
    a few of them give it away without another pass over the block.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    logits = product(x, table.t())
    if not on_host(logits):
        return logits.softmax(dim=1), logits.to(wide).logsumexp(dim=1)
    lse = logits[:, :256].to(wide).logsumexp(dim=1)
    block = torch.softmax(logits, dim=1, out=logits)
    mass = block[:, :256].sum(dim=1, dtype=wide)
    if (mass.numpy() > 1e-30).all():
        return block, lse.sub_(mass.log_())
    # Other items dwarf those of the group (or the input is not finite).
    return block, product(x, table.t()).to(wide).logsumexp(dim=1)


def _chunk_size(x: Tensor) -> int:
    r"""Items to score at a time."""
    if on_host(x):
        return min(CHUNK_SIZE, max(HOST_SCORES // x.size(0), 1024))
    return max(CHUNK_SIZE, DEVICE_SCORES // x.size(0))


class _CatalogueCrossEntropy(Function):
    # A block of probabilities is normalised within its chunk of items. The
    # factor exp(lse of the chunk - lse) that makes it part of the whole is
    # folded into the small operands of the backward products.
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        target: Tensor,
        dtype: torch.dtype,
        reduction: str,
    ) -> Tensor:
        num_bytes = x.size(0) * weight.size(0) * dtype.itemsize
        keep = any(ctx.needs_input_grad) and num_bytes <= CACHE_BYTES
        left, kept, lses = x.to(dtype), [], []
        for items in chunks(weight.size(0), _chunk_size(x)):
            table = weight[items].to(dtype)
            block, lse = _softmax(left, table)
            lses.append(lse)
            if keep:
                kept += [table, block]
        scale = torch.stack(lses)
        lse = scale.logsumexp(dim=0)
        scale.sub_(lse).exp_()
        ctx.dtype, ctx.reduction = dtype, reduction
        ctx.save_for_backward(x, weight, target, scale, *kept)
        # The score of the target is exact in either precision.
        loss = lse - (x * weight[target]).sum(dim=1)
        return loss.mean() if reduction == 'mean' else loss

    @staticmethod
    @once_differentiable
    @no_autocast
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        x, weight, target, scales, *kept = ctx.saved_tensors
        if ctx.reduction == 'mean':
            grad = grad / x.size(0)
        left, column = x.to(ctx.dtype), grad.view(-1, 1)

        def rounded(tensor: Tensor) -> Tensor:
            # Like its counterpart: both cancel at a probability of one.
            return tensor.to(ctx.dtype).to(tensor.dtype)

        grad_x = rounded(weight[target]).mul_(-column)
        grad_weight = torch.empty_like(weight)
        slices = chunks(weight.size(0), _chunk_size(x))
        parts = list(zip(slices, scales * grad))
        for items, scale in reversed(parts):  # The last one is still warm.
            if kept:
                block, table = kept.pop(), kept.pop()
            else:
                table = weight[items].to(ctx.dtype)
                block, _ = _softmax(left, table)
            scale = scale.unsqueeze(-1)
            # This product reads the block row by row and so brings it to the
            # cache for the next one, which reads it column by column.
            grad_x.addcmul_(product(block, table), scale)
            product_(grad_weight[items], block.t(), (x * scale).to(ctx.dtype))
        grad_weight.index_add_(0, target, rounded(x * -column))
        return grad_x, grad_weight, None, None, None


@no_autocast
def product(left: Tensor, right: Tensor) -> Tensor:
    r"""Multiplies two matrices by the fastest library at hand.

    PyTorch leaves :obj:`float32` products on the CPU to MKL, which is a third
    slower than oneDNN on AMD's processors, and a fifth faster on Intel's.
    Differentiable only as
    :obj:`left @ right`, which is what it is wherever oneDNN cannot serve.

    Args:
        left (torch.Tensor): The left matrix.
        right (torch.Tensor): The right one.

    Shapes:
        - **left:** :math:`(n, k)`
        - **right:** :math:`(k, m)`
        - **output:** :math:`(n, m)`
    """
    differentiable = torch.is_grad_enabled() and (
        left.requires_grad or right.requires_grad
    )
    if (
        differentiable
        or left.device.type != 'cpu'
        or left.dtype != torch.float32
        or left.numel() == 0
        or left.size(0) == 1  # Bounded by reading the other, as MKL does.
        or is_intel()
        or not hasattr(torch.ops.mkldnn, '_linear_pointwise')
        or is_exporting()  # A program is for any processor.
    ):
        return left @ right
    return torch.ops.mkldnn._linear_pointwise(
        left, right.t(), None, 'none', [], ''
    )


def product_(out: Tensor, left: Tensor, right: Tensor) -> Tensor:
    r"""Writes a matrix product to :obj:`out`, whatever its type."""
    if out.dtype == left.dtype:
        return torch.mm(left, right, out=out)
    return out.copy_(left @ right)


@no_autocast
def catalogue_cross_entropy(
    x: Tensor,
    weight: Tensor,
    target: Tensor,
    precision: str = 'float32',
    reduction: str = 'mean',
) -> Tensor:
    r"""The mean softmax cross-entropy of sessions over all items.

    .. math::
        \mathcal{L} = \frac{1}{B} \sum_{b=1}^B \Big( \log \sum_{v=1}^N
        \exp(\mathbf{x}_b^{\top} \mathbf{w}_v) -
        \mathbf{x}_b^{\top} \mathbf{w}_{y_b} \Big)

    Equal to :obj:`F.cross_entropy(x @ weight.t(), target)`. Items are
    processed in chunks. Their probabilities are kept for the backward pass up
    to 512 MiB; beyond that, nothing of size :math:`B \times N` is ever
    stored.

    Args:
        x (torch.Tensor): The session vectors.
        weight (torch.Tensor): The item embeddings.
        target (torch.Tensor): The item that follows each session.
        precision (str, optional): :obj:`"float32"` multiplies in the type of
            the operands. :obj:`"bf16"` multiplies in :obj:`bfloat16` with
            :obj:`float32` accumulation and rounds the scores, their
            probabilities and gradients to it; the score of the target and
            every tensor in and out is in :obj:`float32`. The loss of a
            session is then off by some thousandths, below zero even where
            the target has all of the probability.
            (default: :obj:`"float32"`)
        reduction (str, optional): :obj:`"mean"`, or :obj:`"none"` for the
            loss of each session. (default: :obj:`"mean"`)

    Shapes:
        - **x:** :math:`(B, d)`
        - **weight:** :math:`(N, d)`, of the same floating point type
        - **target:** :math:`(B)`, :obj:`int64`
        - **output:** a scalar, or :math:`(B)` without reduction
    """
    if reduction not in ('mean', 'none'):
        raise ValueError(
            f"reduction must be 'mean' or 'none', got {reduction!r}"
        )
    dtype = product_dtype(precision, x.dtype)
    check_operands(x=x, weight=weight)
    check_target(target, x.size(0), weight.size(0))
    if not torch.is_grad_enabled():  # Autograd would have it keep all.
        x, weight = x.detach(), weight.detach()
    return _CatalogueCrossEntropy.apply(  # type: ignore[no-untyped-call]
        x, weight, target, dtype, reduction
    )
