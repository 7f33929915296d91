r"""CORE."""

from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import LayerNorm, Linear, ModuleList
from torch_geometric.data import Data
from torch_geometric.nn.inits import normal, zeros
from torch_geometric.utils import scatter, softmax

from pyg_sessaug.nn.aggr.positions import ForwardPositions
from pyg_sessaug.nn.conv.click_attention import (
    ClickAttention,
    click_pairs,
    click_places,
)
from pyg_sessaug.nn.dropout import dropout
from pyg_sessaug.nn.models.sequence_model import SequenceModel


class CORE(SequenceModel):
    r"""The model of `"CORE: Simple and Effective Session-based
    Recommendation within Consistent Representation Space"
    <https://arxiv.org/abs/2204.11067>`_.

    The session vector is a convex combination of the vectors of its items,
    so that both live in one space, and items are scored by cosine over a
    temperature:

    .. math::
        \mathbf{s} = \sum_i \alpha_i \mathbf{e}_{x_i}, \quad
        \boldsymbol{\alpha} = \textrm{softmax}(\mathbf{F} \mathbf{w}), \quad
        \mathbf{F} = \textrm{Transformer}(\mathbf{e}_{x_1} + \mathbf{p}_1,
        \ldots, \mathbf{e}_{x_n} + \mathbf{p}_n), \quad
        \textrm{score}_v = \cos(\mathbf{s}, \mathbf{e}_v) / \tau

    CORE-ave has :math:`\alpha_i = 1 / n` instead. The vectors that are
    combined have whatever length they have learnt; only the result and the
    items that it is compared with get unit length.

    The paper asks for self-attention with positions and leaves the rest
    open; here it is that of the authors' code: each click attends to itself
    and those before it, places count from the first click, layers are
    normalised behind the sum and have a GELU inside. Two things differ from
    the code: items start from :math:`\mathcal{N}(0, 0.1)` as in all models
    here (there: uniform within :math:`\pm 1 / \sqrt{d}`), and its
    :math:`\mathbf{w}` has a bias, which no softmax sees.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        encoder (str): What weighs the clicks: :obj:`"trm"`, the Transformer,
            or :obj:`"ave"`, the mean. (default: :obj:`"trm"`)
        num_layers (int): Layers of the Transformer. (default: :obj:`2`)
        heads (int): Heads of its attention, a divisor of :math:`d`.
            (default: :obj:`2`)
        inner_channels (int): Size inside its layers. (default: :obj:`256`)
        hidden_dropout (float): Dropout of its input, attention weights and
            layers. (default: :obj:`0.5`)
        max_length (int): The last so many clicks of a session count.
            (default: :obj:`50`)
        scale (float, optional): One over the temperature :math:`\tau`.
            (default: :obj:`1 / 0.07`)
        dropout (float): Dropout of the vectors of clicked items.
            (default: :obj:`0.2`)
        table_dropout (float): Dropout of the items that are compared.
            (default: :obj:`0.2`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SessionModel`.

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import CORE
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> batch = NormalizeEdges()(list_batch([[1, 2, 1], [5]]))
        >>> CORE(num_items=9, hidden_channels=8).score(batch).size()
        torch.Size([2, 9])
    """

    unit_items = False

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        encoder: str = 'trm',
        num_layers: int = 2,
        heads: int = 2,
        inner_channels: int = 256,
        hidden_dropout: float = 0.5,
        max_length: int = 50,
        scale: Optional[float] = 1 / 0.07,
        dropout: float = 0.2,
        table_dropout: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_items,
            hidden_channels,
            scale=scale,
            dropout=dropout,
            table_dropout=table_dropout,
            **kwargs,
        )
        if encoder not in ('trm', 'ave'):
            raise ValueError(f"encoder must be 'trm' or 'ave', got {encoder}")
        self.encoder = encoder
        self.num_layers = num_layers
        self.heads = heads
        self.inner_channels = inner_channels
        self.hidden_dropout = hidden_dropout
        self.max_length = max_length
        self.transformer = (
            _Transformer(
                hidden_channels,
                num_layers,
                heads,
                inner_channels,
                hidden_dropout,
                max_length,
            )
            if encoder == 'trm'
            else None
        )

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        ptr = data.click_index_ptr
        place = click_places(ptr, self.max_length, x.size(0))
        score = x.new_zeros(x.size(0))
        if self.transformer is not None:
            score = self.transformer(x, ptr, click_pairs(place))
        score = score.masked_fill(place < 0, -torch.inf)
        session = data.batch.index_select(0, data.click_index)
        alpha = softmax(score, session, num_nodes=ptr.numel() - 1)
        return scatter(
            alpha.unsqueeze(1) * x, session, dim_size=ptr.numel() - 1
        )


class _Transformer(torch.nn.Module):
    r"""Scores of clicks by what comes before them, ``[L]``."""

    def __init__(
        self,
        channels: int,
        num_layers: int,
        heads: int,
        inner_channels: int,
        dropout: float,
        max_length: int,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.position = ForwardPositions(max_length, channels)
        self.norm = LayerNorm(channels, eps=1e-12)
        self.layers = ModuleList(
            _Layer(channels, heads, inner_channels, dropout)
            for _ in range(num_layers)
        )
        self.lin = Linear(channels, 1, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        normal(self.position.weight, mean=0.0, std=0.02)
        for layer in self.modules():
            if isinstance(layer, LayerNorm):
                layer.reset_parameters()
            elif isinstance(layer, Linear):
                normal(layer.weight, mean=0.0, std=0.02)
                zeros(layer.bias)

    def forward(self, x: Tensor, ptr: Tensor, pairs: Tensor) -> Tensor:
        x = self.norm(x + self.position(ptr, x.size(0)))
        x = dropout(x, self.dropout, self.training)
        for layer in self.layers:
            x = layer(x, pairs)
        score: Tensor = self.lin(x)
        return score.squeeze(1)


class _Layer(torch.nn.Module):
    r"""A layer of a Transformer, normalised behind each sum."""

    def __init__(
        self, channels: int, heads: int, inner_channels: int, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.lin_qkv = Linear(channels, 3 * channels)
        self.attention = ClickAttention(channels, heads, dropout)
        self.lin_out = Linear(channels, channels)
        self.norm1 = LayerNorm(channels, eps=1e-12)
        self.lin1 = Linear(channels, inner_channels)
        self.lin2 = Linear(inner_channels, channels)
        self.norm2 = LayerNorm(channels, eps=1e-12)

    def forward(self, x: Tensor, pairs: Tensor) -> Tensor:
        attended = self.attention(*self.lin_qkv(x).chunk(3, dim=1), pairs)
        x = self.norm1(x + self._drop(self.lin_out(attended)))
        return self.norm2(x + self._drop(self.lin2(F.gelu(self.lin1(x)))))

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)
