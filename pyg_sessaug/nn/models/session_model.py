r"""What all session models share."""

from abc import ABC, abstractmethod
from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.data import Data
from torch_geometric.nn.inits import normal

from pyg_sessaug.nn.aggr.attention_readout import AttentionReadout
from pyg_sessaug.nn.conv.channel_combination import ChannelCombination
from pyg_sessaug.nn.conv.gated_session_conv import GatedSessionConv
from pyg_sessaug.nn.loss.catalogue import check_precision, lookup


class Encoding(NamedTuple):
    r"""A batch of sessions after message passing.

    Args:
        table (Tensor): Item vectors used for lookup and scores,
            ``[num_items, d]``.
        x (Tensor): Node vectors, ``[N, d]``.
        last (Tensor): Vector of each session's last click, ``[B, d]``.
        pooled (Tensor): Attention readout of each session, ``[B, d]``.
        clicks (Tensor): Clicks on each node, ``[N]``, floating point.
        ptr (Tensor): First node of each session and the end, ``[B + 1]``.
    """

    table: Tensor
    x: Tensor
    last: Tensor
    pooled: Tensor
    clicks: Tensor
    ptr: Tensor


class SessionModel(torch.nn.Module, ABC):
    r"""Item embeddings, a gated graph network and an attention readout.

    Subclasses say how a session is scored against the items.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        num_layers (int): How often the one cell is applied; 0 leaves the
            graph out. (default: :obj:`2`)
        precision (str): :obj:`"float32"`, or :obj:`"bf16"` for a loss whose
            products with the item table are in bfloat16, see
            :func:`~pyg_sessaug.nn.catalogue_cross_entropy`; everything else,
            such as scores, is in float32. (default: :obj:`"float32"`)
        scale (float, optional): Scores items by cosine times this scale:
            session and item vectors get unit length, as in `"NISER"
            <https://arxiv.org/abs/1909.04276>`_.
            (default: :obj:`None`, plain dot products)
        dropout (float): Share of the entries of looked-up item vectors set
            to zero in training. (default: :obj:`0.0`)
        num_channels (int, optional): Combines so many weights of each edge,
            see :class:`~pyg_sessaug.nn.ChannelCombination`.
            (default: :obj:`None`, one weight and nothing to learn)
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        num_layers: int = 2,
        precision: str = 'float32',
        scale: Optional[float] = None,
        dropout: float = 0.0,
        num_channels: Optional[int] = None,
    ) -> None:
        super().__init__()
        check_precision(precision)
        if scale is not None and not scale > 0:
            raise ValueError(f'scale must be positive or None, got {scale}')
        if num_layers < 0:
            raise ValueError(f'num_layers must be 0 or more, got {num_layers}')
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f'dropout must be in [0, 1), got {dropout}')
        self.num_items = num_items
        self.hidden_channels = hidden_channels
        self.num_layers = num_layers
        self.precision = precision
        self.scale = scale
        self.dropout = dropout
        self.num_channels = num_channels
        self.item_embedding = Parameter(
            torch.empty(num_items, hidden_channels)
        )
        self.combine = (
            None if num_channels is None else ChannelCombination(num_channels)
        )
        self.conv = GatedSessionConv(hidden_channels)
        self.readout = AttentionReadout(hidden_channels)

    def reset_parameters(self) -> None:
        r"""Draws all parameters from :math:`\mathcal{N}(0, 0.1)`, but for
        those of :class:`~pyg_sessaug.nn.ChannelCombination`.
        """
        for parameter in self.parameters():
            normal(parameter, mean=0.0, std=0.1)
        if self.combine is not None:
            self.combine.reset_parameters()

    def encode(self, data: Data, share: bool = False) -> Encoding:
        r"""Runs message passing and readout.

        Args:
            data (Data or Batch): Session graphs with :obj:`edge_attr`.
            share (bool): Whether the gradient of the lookup is added in
                place to that of the scores, see
                :func:`~pyg_sessaug.nn.loss.catalogue.lookup`; for losses that
                use :obj:`table` once. (default: :obj:`False`)
        """
        if data.get('edge_attr') is None:
            raise ValueError(
                f'{self.__class__.__name__} needs edge_attr, the two '
                f'normalised weights of each edge; apply '
                f'pyg_sessaug.transforms.NormalizeEdges() to the data'
            )
        edge_attr = data.edge_attr
        if self.combine is not None:
            edge_attr = self.combine(edge_attr)
        elif edge_attr.dim() > 2:
            raise ValueError(
                f'{self.__class__.__name__} got edges with '
                f'{edge_attr.size(-1)} channels; make it with '
                f'num_channels={edge_attr.size(-1)}'
            )
        unit = self.scale is not None
        table: Tensor = self.item_embedding
        if share:
            x, table = lookup(table, data.x, unit)
        else:
            table = F.normalize(table, dim=1) if unit else table
            x = F.embedding(data.x, table)
        x = F.dropout(x, self.dropout, self.training)
        for _ in range(self.num_layers):
            x = self.conv(x, data.edge_index, edge_attr)
        batch, ptr, last_click = session_pointers(data)
        clicks = torch.bincount(data.click_index, minlength=x.size(0))
        clicks = clicks.to(x.dtype)
        last = x.index_select(0, data.click_index[last_click])
        pooled = self.readout(x, batch, ptr, last=last, count=clicks)
        return Encoding(table, x, last, pooled, clicks, ptr)

    @abstractmethod
    def forward(self, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""

    @abstractmethod
    def score(self, data: Data) -> Tensor:
        r"""Scores of all items, ``[B, num_items]``, float32."""

    @abstractmethod
    def loss(self, data: Data) -> Tensor:
        r"""Mean softmax cross-entropy of the targets over all items."""

    def unit(self, vector: Tensor) -> Tensor:
        r"""Session vectors as the scores use them, in the type of items."""
        vector = vector.to(self.item_embedding.dtype)
        if self.scale is None:
            return vector
        return self.scale * F.normalize(vector, dim=-1)

    def extra_repr(self) -> str:
        return (
            f'{self.num_items}, {self.hidden_channels}, '
            f'num_layers={self.num_layers}, '
            f'precision={self.precision!r}, scale={self.scale}, '
            f'dropout={self.dropout}'
        )


def session_pointers(data: Data) -> Tuple[Tensor, Tensor, Tensor]:
    r"""Session of each node, node pointers and each session's last click."""
    click = data.click_index
    if data.get('batch') is None:  # A single graph is a batch of one.
        ptr = torch.tensor([0, data.num_nodes], device=click.device)
        return torch.zeros_like(data.x), ptr, ptr.new_tensor([-1])
    click_ptr = data.get('click_index_ptr')
    if click_ptr is None:  # Batched without `follow_batch`.
        clicks = torch.bincount(data.batch[click], minlength=data.num_graphs)
        return data.batch, data.ptr, clicks.cumsum(0) - 1
    return data.batch, data.ptr, click_ptr[1:] - 1
