r"""SASRec."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import LayerNorm, Linear, ModuleList
from torch_geometric.data import Data

from pyg_sessaug.nn.aggr.positions import ReversedPositions
from pyg_sessaug.nn.conv.click_attention import (
    ClickAttention,
    click_pairs,
    click_places,
)
from pyg_sessaug.nn.dropout import dropout
from pyg_sessaug.nn.models.sequence_model import SequenceModel


class SASRec(SequenceModel):
    r"""The model of `"Self-Attentive Sequential Recommendation"
    <https://arxiv.org/abs/1808.09781>`_.

    Each click attends to itself and to those before it, in blocks on top of
    each other, and the vector of the last click is that of the session:

    .. math::
        \mathbf{X}^{(0)} &= \textrm{dropout}(\mathbf{E} + \mathbf{P})

        \mathbf{S} &= \mathbf{X} + \textrm{dropout}(\textrm{attention}(
        \mathbf{Y} \mathbf{W}_Q, \mathbf{Y} \mathbf{W}_K, \mathbf{Y}
        \mathbf{W}_V)), \quad \mathbf{Y} = \textrm{norm}(\mathbf{X})

        \mathbf{X}' &= \mathbf{S} + \textrm{dropout}(\textrm{ReLU}(\mathbf{Z}
        \mathbf{W}_1 + \mathbf{b}_1) \mathbf{W}_2 + \mathbf{b}_2), \quad
        \mathbf{Z} = \textrm{norm}(\mathbf{S})

        \textrm{score}_v &= (\mathbf{x}^{(b)}_n)^{\top} \mathbf{e}_v

    The paper pads sequences on the left, so positions count from the last
    click. It trains by binary cross-entropy against one negative item at
    every position of a sequence; here every click of a session is the target
    of a sample of its own, by softmax over all items behind the last click,
    as for all models of this package.

    :obj:`variant="code"` does what the authors' code does instead: items
    times :math:`\sqrt{d}`; sums that start from the normalised vectors,
    :math:`\mathbf{Y}` and :math:`\mathbf{Z}`; keys and values from
    :math:`\mathbf{X}`, all maps with biases; dropout of the attention
    weights and behind the ReLU; and another normalisation at the end.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        num_layers (int): Number :math:`b` of blocks. (default: :obj:`2`)
        heads (int): Heads of attention, a divisor of :math:`d`.
            (default: :obj:`1`)
        hidden_dropout (float): Dropout of the input and of every block, the
            paper's for its sparse data. (default: :obj:`0.5`)
        max_length (int): The last so many clicks of a session count.
            (default: :obj:`50`)
        variant (str): :obj:`"paper"` or :obj:`"code"`.
            (default: :obj:`"paper"`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SessionModel`.

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import SASRec
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> batch = NormalizeEdges()(list_batch([[1, 2, 1], [5]]))
        >>> SASRec(num_items=9, hidden_channels=8).score(batch).size()
        torch.Size([2, 9])
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        num_layers: int = 2,
        heads: int = 1,
        hidden_dropout: float = 0.5,
        max_length: int = 50,
        variant: str = 'paper',
        **kwargs: Any,
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        if variant not in ('paper', 'code'):
            raise ValueError(
                f"variant must be 'paper' or 'code', got {variant}"
            )
        self.num_layers = num_layers
        self.heads = heads
        self.hidden_dropout = hidden_dropout
        self.max_length = max_length
        self.variant = variant
        block = _CodeBlock if variant == 'code' else _Block
        self.position = ReversedPositions(max_length, hidden_channels)
        self.blocks = ModuleList(
            block(hidden_channels, heads, hidden_dropout)
            for _ in range(num_layers)
        )
        self.norm = (
            LayerNorm(hidden_channels, eps=1e-8)
            if variant == 'code'
            else torch.nn.Identity()
        )

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        ptr = data.click_index_ptr
        pairs = click_pairs(click_places(ptr, self.max_length, x.size(0)))
        if self.variant == 'code':
            x = x * math.sqrt(x.size(1))
        x = x + self.position(ptr, x.size(0))
        x = dropout(x, self.hidden_dropout, self.training)
        for block in self.blocks:
            x = block(x, pairs)
        return self.norm(x.index_select(0, ptr[1:] - 1))


class _Block(torch.nn.Module):
    r"""A block as the paper has it."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm1 = LayerNorm(channels, eps=1e-8)
        self.lin_qkv = Linear(channels, 3 * channels, bias=False)
        self.attention = ClickAttention(channels, heads)
        self.norm2 = LayerNorm(channels, eps=1e-8)
        self.lin1 = Linear(channels, channels)
        self.lin2 = Linear(channels, channels)

    def forward(self, x: Tensor, pairs: Tensor) -> Tensor:
        qkv = self.lin_qkv(self.norm1(x)).chunk(3, dim=1)
        x = x + self._drop(self.attention(*qkv, pairs))
        hidden = F.relu(self.lin1(self.norm2(x)))
        return x + self._drop(self.lin2(hidden))

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


class _CodeBlock(_Block):
    r"""A block as the authors' code has it."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__(channels, heads, dropout)
        self.lin_qkv = Linear(channels, 3 * channels)
        self.attention = ClickAttention(channels, heads, dropout)

    def forward(self, x: Tensor, pairs: Tensor) -> Tensor:
        d, y = x.size(1), self.norm1(x)
        weight, bias = self.lin_qkv.weight, self.lin_qkv.bias
        query = F.linear(y, weight[:d], bias[:d])
        key, value = F.linear(x, weight[d:], bias[d:]).chunk(2, dim=1)
        z = self.norm2(y + self.attention(query, key, value, pairs))
        hidden = self._drop(F.relu(self.lin1(z)))
        return z + self._drop(self.lin2(hidden))
