r"""What models with SR-GNN's gated graph network share."""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_sessaug.nn.aggr.attention_readout import AttentionReadout
from pyg_sessaug.nn.conv.channel_combination import ChannelCombination
from pyg_sessaug.nn.conv.gated_session_conv import GatedSessionConv
from pyg_sessaug.nn.models.context_model import ContextModel


class GatedModel(ContextModel):
    r"""A gated graph network.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        num_layers (int): How often the one cell is applied; 0 leaves the
            graph out. (default: :obj:`2`)
        num_channels (int, optional): Combines so many weights of each edge,
            see :class:`~pyg_sessaug.nn.ChannelCombination`.
            (default: :obj:`None`, one weight and nothing to learn)
        **kwargs (optional): See
            :class:`~pyg_sessaug.nn.models.context_model.ContextModel`.
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        num_layers: int = 2,
        num_channels: Optional[int] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        if num_layers < 0:
            raise ValueError(f'num_layers must be 0 or more, got {num_layers}')
        self.num_layers = num_layers
        self.num_channels = num_channels
        self.combine = (
            None if num_channels is None else ChannelCombination(num_channels)
        )
        self.conv = GatedSessionConv(hidden_channels)

    def edge_weights(self, data: Data) -> Tensor:
        r"""The two weights of each edge, ``[E, 2]``."""
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
        return edge_attr

    def propagate(self, x: Tensor, data: Data) -> Tensor:
        r"""Node vectors after message passing, ``[N, d]``.

        Readouts see clicks: in the last step, nodes that a transform added
        send messages, but are not updated themselves.
        """
        edge_attr = self.edge_weights(data)
        for step in range(self.num_layers):
            is_last = step == self.num_layers - 1
            # A layer of one's own knows three arguments.
            if is_last and type(self.conv) is GatedSessionConv:
                nodes = own_nodes(data)
                x = self.conv(x, data.edge_index, edge_attr, nodes)
            else:
                x = self.conv(x, data.edge_index, edge_attr)
        return x


class GatedReadoutModel(GatedModel):
    r"""A gated graph network and an attention readout of its nodes.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        **kwargs (optional): See
            :class:`~pyg_sessaug.nn.models.gated_model.GatedModel`.
    """

    def __init__(
        self, num_items: int, hidden_channels: int = 100, **kwargs: Any
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        self.readout = AttentionReadout(hidden_channels)

    def pool(self, x: Tensor, data: Data) -> Tuple[Tensor, Tensor]:
        r"""Vector of each session's last click and its attention readout,
        each ``[B, d]``.
        """
        x = x.index_select(0, data.click_index)
        last = x.index_select(0, data.click_index_ptr[1:] - 1)
        session = data.batch.index_select(0, data.click_index)
        pooled = self.readout(x, session, data.click_index_ptr, last=last)
        return last, pooled


def clicks_of_nodes(x: Tensor, data: Data) -> Tensor:
    r"""Clicks on each node, ``[N]``, in the type of the node vectors."""
    click = data.click_index  # Unlike bincount, of a size known beforehand.
    count = click.new_zeros(x.size(0)).index_add_(
        0, click, torch.ones_like(click)
    )
    return count.to(x.dtype)


def own_nodes(data: Data) -> Optional[Tensor]:
    r"""Nodes of the sessions' own items, int64; :obj:`None` where a batch has
    no others.
    """
    context = data.get('context_index')
    if context is None:
        return None
    added = data.x.new_zeros(data.x.size(0)).index_fill_(0, context, 1)
    return added.argsort(stable=True)[: added.numel() - context.numel()]
