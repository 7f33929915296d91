r"""Exact target attention over a catalogue, in slices of its items."""

from typing import Any, List, NamedTuple, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch_geometric.utils import segment, softmax

from pyg_sessaug.data.devices import is_exporting, on_host
from pyg_sessaug.nn.loss.catalogue import (
    check_operands,
    check_target,
    chunks,
    no_autocast,
    product_,
    product_dtype,
)

# Bytes to work on at a time, so that they stay in the last-level cache; on
# other devices, where each call costs more, so many times that.
CHUNK_BYTES, ELSEWHERE = 16 * 2**20, 32

# Items in a chunk at least, whatever its size.
MIN_CHUNK = 512

# Attention is kept for the backward pass up to this size.
CACHE_BYTES = 256 * 2**20

# Attention logits up to this bound are exponentiated as they are.
SAFE_LOGIT = 60.0


class _Sessions(NamedTuple):
    r"""Sessions, seen from their last nodes.

    Softmax ignores a shift of all logits of a session, and its weights sum
    to one. Hence

    .. math::
        S_{bv} = \mathbf{u}_{\textrm{last}}^{\top} \mathbf{v} + \sum_{l \neq
        \textrm{last}} \beta_{lv} (\mathbf{u}_l -
        \mathbf{u}_{\textrm{last}})^{\top} \mathbf{v},

    where the logit of the last node is zero: it needs no product, its
    exponential of one keeps denominators away from zero, and a session of
    one node is a plain dot product. Below, nodes are all but the last ones
    with a click; nodes without clicks have a share of zero.

    Args:
        key (Tensor): Keys of nodes, relative to the last node, ``[m, d]``.
        value (Tensor): Their relative values, ``[m, d]``.
        base (Tensor): Values of the last nodes, ``[B, d]``.
        share (Tensor): Clicks on nodes over clicks on the last, ``[m]``.
        owner (Tensor): Session of each node, ``[m]``.
        ptr (Tensor): First node of each session and the end, ``[B + 1]``.
    """

    key: Tensor
    value: Tensor
    base: Tensor
    share: Tensor
    owner: Tensor
    ptr: Tensor


def _relate(
    key: Tensor, value: Tensor, log_count: Tensor, ptr: Tensor
) -> _Sessions:
    size, device = ptr.numel() - 1, ptr.device
    place = torch.arange(key.size(0), device=device)
    session = torch.arange(size, device=device)
    owner = session.repeat_interleave(ptr.diff(), output_size=place.numel())
    clicked = place.masked_fill(log_count == -torch.inf, -1)
    last = torch.zeros_like(session).scatter_reduce(0, owner, clicked, 'amax')
    # Node n of those that are not the last of a session stands one place
    # further back for each last one before it; no size depends on values.
    ptr = ptr - torch.arange(size + 1, device=device)
    num_nodes = key.size(0) - size
    owner = session.repeat_interleave(ptr.diff(), output_size=num_nodes)
    node, own_last = place[:num_nodes] + owner, last.index_select(0, owner)
    node = node + (node >= own_last).long()

    def relative(x: Tensor) -> Tensor:
        return x.index_select(0, node) - x.index_select(0, own_last)

    share = relative(log_count.detach()).exp().to(key.dtype)
    # What has no click counts nothing, and must not overflow.
    keys = relative(key).masked_fill((share == 0).unsqueeze(1), 0.0)
    base = value.index_select(0, last)
    return _Sessions(keys, relative(value), base, share, owner, ptr)


class _Scores(NamedTuple):
    r"""Scores of a chunk of :math:`C` items, and what they are made of.

    Args:
        score (Tensor): The scores, in (at least) float32, ``[B, C]``.
        exp (Tensor): Exponentials of the nodes' logits, ``[m, C]``.
        value (Tensor): Scores of nodes, relative to the last, ``[m, C]``.
        norm (Tensor): The normaliser of attention, ``[B, C]``.
        mean (Tensor): The mean of the relative scores, ``[B, C]``.
    """

    score: Tensor
    exp: Tensor
    value: Tensor
    norm: Tensor
    mean: Tensor


class _Attention:
    r"""The attention of sessions over one chunk of items after another.

    The buffer has rows for nodes and sessions and a column for each item of
    the chunk, so that whatever is done to it runs over contiguous items.

    Args:
        sessions (_Sessions): The sessions.
        dtype (torch.dtype): The type of products.
        num_items (int): The number of items.
    """

    def __init__(
        self, sessions: _Sessions, dtype: torch.dtype, num_items: int
    ) -> None:
        self.owner, self.ptr = sessions.owner, sessions.ptr
        self.left = torch.cat(sessions[:3]).to(dtype)
        self.share = sessions.share.to(dtype)
        self.node = torch.arange(self.owner.numel(), device=self.ptr.device)
        self.split = [x.size(0) for x in sessions[:3]]
        self.num_rows = self.left.size(0) + self.node.numel()
        room = CHUNK_BYTES * (1 if on_host(self.left) else ELSEWHERE)
        size = room // (max(self.num_rows, 1) * dtype.itemsize)
        self.chunks = list(chunks(num_items, max(size, MIN_CHUNK)))
        longest = max((c.stop - c.start for c in self.chunks), default=0)
        self.buffer = self.left.new_empty(self.num_rows * longest)
        # To keep: sessions have normalisers, means and scores in float32 too.
        num_rows = self.left.size(0) + 4 * self.split[2]
        self.num_bytes = num_rows * num_items * dtype.itemsize

    def sum(self, x: Tensor) -> Tensor:
        r"""Adds up the nodes of each session, each as often as clicked."""
        return F.embedding_bag(
            self.node,
            x,
            self.ptr,
            mode='sum',
            per_sample_weights=self.share,
            include_last_offset=True,
        )

    def expand(self, x: Tensor) -> Tensor:
        r"""Gives each node the row of its session."""
        return x.index_select(0, self.owner)

    def rows(self, num_items: int) -> Tuple[Tensor, Tensor]:
        r"""Memory for nodes, nodes and sessions, and for nodes once more."""
        out = self.buffer[: self.num_rows * num_items]
        out = out.view(self.num_rows, num_items)
        return out[: self.left.size(0)], out[self.left.size(0) :]

    def __call__(self, table: Tensor, keep: bool = False) -> _Scores:
        r"""Scores the items in :obj:`table`, until the next call unless
        :obj:`keep`.
        """
        product, work = self.rows(table.size(0))
        if keep:
            product = torch.empty_like(product)
        torch.mm(self.left, table.t(), out=product)
        exp, value, score = product.split(self.split)
        score = score.to(torch.promote_types(score.dtype, torch.float32))
        if exp.size(0) == 0:
            # No node reads a normaliser or a mean.
            return _Scores(score, exp, value, score, score)
        rest: Any = 1.0  # The exponential of the last node's logit.
        if not on_host(exp) or exp.max().float().numpy() > SAFE_LOGIT:
            top = F.embedding_bag(
                self.node, exp, self.ptr, mode='max', include_last_offset=True
            ).clamp_(min=0.0)
            exp.sub_(self.expand(top))
            rest = top.neg_().exp_()
        norm = self.sum(exp.exp_()).add_(rest)
        mean = self.sum(torch.mul(exp, value, out=work)).div_(norm)
        score.add_(mean.to(score.dtype))  # Mixed types would not vectorise.
        return _Scores(score, exp, value, norm, mean)


class _TargetAttentionCrossEntropy(Function):
    @staticmethod
    def forward(
        ctx: Any,
        key: Tensor,
        value: Tensor,
        base: Tensor,
        share: Tensor,
        owner: Tensor,
        ptr: Tensor,
        weight: Tensor,
        target: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        sessions = _Sessions(key, value, base, share, owner, ptr)
        attention = _Attention(sessions, dtype, weight.size(0))
        is_small = attention.num_bytes <= CACHE_BYTES
        keep = is_small and any(ctx.needs_input_grad)
        kept: List[Tensor] = []
        lses, hit = [], weight.new_zeros(target.numel(), 1)
        for items in attention.chunks:
            scores = attention(weight[items].to(dtype), keep)
            column, inside = _locate(target, items)
            hit += scores.score.gather(1, column) * inside
            lses.append(scores.score.logsumexp(dim=1))
            if keep:
                kept += scores
        lse = torch.stack(lses).logsumexp(dim=0).unsqueeze(-1)
        ctx.dtype = dtype
        ctx.save_for_backward(*sessions, weight, target, lse, *kept)
        return (lse - hit).mean()

    @staticmethod
    @once_differentiable
    @no_autocast
    def backward(ctx: Any, grad: Tensor) -> Tuple[Any, ...]:
        saved = ctx.saved_tensors  # Checkpoints unpack them only once.
        *rows, weight, target, lse = saved[:9]
        kept = list(saved[9:])
        sessions, dtype = _Sessions(*rows), ctx.dtype
        attention = _Attention(sessions, dtype, weight.size(0))
        grad = grad / target.numel()
        share = sessions.share.unsqueeze(-1)
        # Rows of nodes turn into gradients of relative scores and of logits.
        right = torch.cat(
            [sessions.value * share, sessions.key * share, sessions.base]
        ).to(dtype)
        grad_right = torch.zeros_like(right, dtype=weight.dtype)
        grad_weight = torch.empty_like(weight)
        for items in attention.chunks:
            table = weight[items].to(dtype)
            if kept:
                (score, exp, value, norm, mean), kept = kept[:5], kept[5:]
            else:
                score, exp, value, norm, mean = attention(table)
            column, inside = _locate(target, items)
            score = (score - lse).exp_()
            score.scatter_add_(1, column, -inside.to(score.dtype)).mul_(grad)
            # Where nothing was kept, this is the memory of the operands.
            product, _ = attention.rows(table.size(0))
            grad_value, grad_key, grad_base = product.split(attention.split)
            grad_base.copy_(score)
            score.div_(norm.to(score.dtype))  # See above.
            torch.mul(exp, attention.expand(score.to(dtype)), out=grad_value)
            torch.sub(value, attention.expand(mean), out=grad_key)
            grad_key.mul_(grad_value)
            product_(grad_weight[items], product.t(), right)
            grad_right.add_(product @ table)
        grad_value, grad_key, grad_base = grad_right.split(attention.split)
        grads = grad_key.mul_(share), grad_value.mul_(share), grad_base
        return *grads, None, None, None, grad_weight, None, None


def _locate(target: Tensor, items: slice) -> Tuple[Tensor, Tensor]:
    r"""The column of each target in a chunk, and whether it is there."""
    column = target.unsqueeze(-1) - items.start
    inside = (column >= 0) & (column < items.stop - items.start)
    return column.masked_fill(~inside, 0), inside


def _check(
    key: Tensor, value: Tensor, log_count: Tensor, ptr: Tensor, weight: Tensor
) -> None:
    check_operands(key=key, value=value, weight=weight)
    if value.size(0) != key.size(0) or log_count.shape != key.shape[:1]:
        raise ValueError(
            f"'value' has shape {list(value.shape)} and 'log_count' "
            f"{list(log_count.shape)}: expected {key.size(0)} rows, as 'key'"
        )
    if not on_host(ptr):
        return
    start = ptr.numpy()
    if (
        start.ndim != 1
        or start[:1].tolist() != [0]
        or start[-1] != key.size(0)
        or (start[1:] <= start[:-1]).any()
    ):
        raise ValueError(
            f"'ptr' is {ptr}: expected node pointers from 0 to "
            f'{key.size(0)}, at least one node apart'
        )
    clicked = log_count.detach().float().numpy() != -np.inf
    some = np.logical_or.reduceat(clicked, start[:-1])
    if not some.all():
        raise ValueError(
            f"'log_count' is minus infinity for all nodes of session "
            f'{int((~some).argmax())}: expected at least one click'
        )


@no_autocast
def target_attention_scores(
    key: Tensor,
    value: Tensor,
    log_count: Tensor,
    ptr: Tensor,
    weight: Tensor,
    precision: str = 'float32',
) -> Tensor:
    r"""Scores of all items :math:`v` under target attention.

    .. math::
        S_{bv} = \sum_{l \in b} \beta_{lv} \, \mathbf{u}_l^{\top}
        \mathbf{w}_v, \quad \beta_{lv} = \frac{c_l \exp(
        \mathbf{k}_l^{\top} \mathbf{w}_v)}{\sum_{j \in b} c_j \exp(
        \mathbf{k}_j^{\top} \mathbf{w}_v)}

    where :math:`l` runs over the nodes of session :math:`b`, each clicked
    :math:`c_l` times. With gradients, all of size nodes x items is kept for
    them: for the loss over all items,
    :func:`target_attention_cross_entropy` is faster and smaller.

    Args:
        key (torch.Tensor): The keys :math:`\mathbf{k}_l` of nodes.
        value (torch.Tensor): Their values :math:`\mathbf{u}_l`.
        log_count (torch.Tensor): Their numbers of clicks :math:`\log c_l`;
            minus infinity leaves a node out.
        ptr (torch.Tensor): The first node of each session and the end.
        weight (torch.Tensor): The item embeddings :math:`\mathbf{w}_v`.
        precision (str, optional): The type of matrix products and of what
            belongs to a node and an item, :obj:`"float32"` (that of the
            operands) or :obj:`"bf16"`. (default: :obj:`"float32"`)

    Shapes:
        - **key**, **value:** :math:`(n, d)`
        - **log_count:** :math:`(n)`
        - **ptr:** :math:`(B + 1)`, :obj:`int64`
        - **weight:** :math:`(N, d)`, of the same floating point type
        - **output:** :math:`(B, N)`, of the same type
    """
    dtype = product_dtype(precision, weight.dtype)
    _check(key, value, log_count, ptr, weight)
    learned = any(x.requires_grad for x in (key, value, weight))
    if is_exporting() or (learned and torch.is_grad_enabled()):
        table = weight.to(dtype).t()
        score = (key.to(dtype) @ table).to(key.dtype)
        beta = softmax(score + log_count.unsqueeze(-1), ptr=ptr)
        return segment(beta * (value.to(dtype) @ table).to(key.dtype), ptr)
    sessions = _relate(key, value, log_count, ptr)
    attention = _Attention(sessions, dtype, weight.size(0))
    out = weight.new_empty(ptr.numel() - 1, weight.size(0))
    for items in attention.chunks:
        out[:, items] = attention(weight[items].to(dtype)).score
    return out


@no_autocast
def target_attention_cross_entropy(
    key: Tensor,
    value: Tensor,
    log_count: Tensor,
    ptr: Tensor,
    weight: Tensor,
    target: Tensor,
    precision: str = 'float32',
) -> Tensor:
    r"""The mean softmax cross-entropy over all items of the scores of
    :func:`target_attention_scores`, with gradients to :obj:`key`,
    :obj:`value` and :obj:`weight`. What belongs to a node and an item is kept
    for the backward pass up to 256 MiB, and computed again beyond that.

    Args:
        key (torch.Tensor): The keys of nodes.
        value (torch.Tensor): The values of nodes.
        log_count (torch.Tensor): The logarithms of their numbers of clicks.
        ptr (torch.Tensor): The first node of each session and the end.
        weight (torch.Tensor): The item embeddings.
        target (torch.Tensor): The item that follows each session.
        precision (str, optional): See :func:`target_attention_scores`.
            (default: :obj:`"float32"`)

    Shapes:
        - **key**, **value:** :math:`(n, d)`
        - **log_count:** :math:`(n)`
        - **ptr:** :math:`(B + 1)`, :obj:`int64`
        - **weight:** :math:`(N, d)`, of the same floating point type
        - **target:** :math:`(B)`, :obj:`int64`
        - **output:** a scalar
    """
    dtype = product_dtype(precision, weight.dtype)
    _check(key, value, log_count, ptr, weight)
    check_target(target, ptr.numel() - 1, weight.size(0))
    if not torch.is_grad_enabled():  # Autograd would have it keep all.
        key, value, weight = key.detach(), value.detach(), weight.detach()
    return _TargetAttentionCrossEntropy.apply(  # type: ignore[no-untyped-call]
        *_relate(key, value, log_count, ptr), weight, target, dtype
    )
