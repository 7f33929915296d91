r"""SGNN-HN."""

import math
from typing import Any, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import Identity, Linear, Module
from torch_geometric.data import Data
from torch_geometric.utils import segment, softmax

from pyg_sessaug.nn.aggr.attention_readout import AttentionReadout
from pyg_sessaug.nn.aggr.positions import make_positions
from pyg_sessaug.nn.models.gated_model import GatedModel


class SGNNHN(GatedModel):
    r"""The model of `"Star Graph Neural Networks for Session-based
    Recommendation" <https://doi.org/10.1145/3340531.3412014>`_.

    A star node :math:`\mathbf{z}`, at first the mean of all nodes, carries
    news between nodes without an edge, and a highway leads around the layers:

    .. math::
        \hat{\mathbf{x}}_i &= \textrm{GNN}(\mathbf{x}_i, G), \quad
        \alpha_i = \sigma(\hat{\mathbf{x}}_i^{\top} \mathbf{z} / \sqrt{d}),
        \quad \mathbf{x}'_i = (1 - \alpha_i) \, \hat{\mathbf{x}}_i +
        \alpha_i \, \mathbf{z}

        \mathbf{z}' &= \sum_i \beta_i \mathbf{x}'_i, \quad \beta =
        \textrm{softmax}_i(\mathbf{x}'^{\top}_i \mathbf{z})

        \mathbf{h}_i &= \mathbf{g}_i \odot \mathbf{e}_i + (1 - \mathbf{g}_i)
        \odot \mathbf{x}_i, \quad \mathbf{g}_i = \sigma(\mathbf{W}_g
        [\mathbf{e}_i \,\Vert\, \mathbf{x}_i] + \mathbf{b}_g)

    The readout knows star node and positions, :math:`\mathbf{c}_l =
    \mathbf{h}_l + \mathbf{p}_l`, and vectors are compared by scaled cosines
    once they have lost their mean:

    .. math::
        \mathbf{s} = \mathbf{W}_3 \Big[\sum_l \mathbf{q}^{\top} \sigma(
        \mathbf{W}_1 \mathbf{c}_{\textrm{last}} + \mathbf{W}_z \mathbf{z} +
        \mathbf{W}_2 \mathbf{c}_l + \mathbf{b}) \, \mathbf{c}_l \,\Vert\,
        \mathbf{c}_{\textrm{last}}\Big]

    This follows the public code. In the paper, learned maps stand before
    both products with :math:`\mathbf{z}`, and the second is divided by
    :math:`\sqrt{d}` too: ``project_star=True``. The code drops all clicks but
    the last ten; here they share the first position, and a data set with
    ``max_length=10`` drops them.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        scale (float, optional): Scale of the cosines; :obj:`None` compares
            by dot products. (default: :obj:`12.0`)
        num_layers (int): How often cell and star node are applied; 0 leaves
            the graph out. (default: :obj:`1`)
        project_star (bool): Whether maps are learned before the products of
            nodes with the star node. (default: :obj:`False`)
        center (bool): Whether vectors lose their mean before they are
            compared. (default: :obj:`True`)
        positions (str): Whether positions are counted :obj:`"forward"` or
            :obj:`"reversed"`, from the last click.
            (default: :obj:`"forward"`)
        max_length (int): Number of vectors of positions, see
            :class:`~pyg_sessaug.nn.ForwardPositions`. (default: :obj:`10`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SRGNN`.

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import SGNNHN
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> batch = NormalizeEdges()(list_batch([[1, 2, 1], [5]]))
        >>> SGNNHN(num_items=9, hidden_channels=8).score(batch).size()
        torch.Size([2, 9])
    """

    unit_items = False  # Layers get items as long as they are.

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        scale: Optional[float] = 12.0,
        num_layers: int = 1,
        project_star: bool = False,
        center: bool = True,
        positions: str = 'forward',
        max_length: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_items,
            hidden_channels,
            scale=scale,
            num_layers=num_layers,
            **kwargs,
        )
        d = hidden_channels
        self.project_star = project_star
        self.center = center
        self.positions = positions
        self.max_length = max_length
        self.lin_gate = self._map(d)
        self.lin_gate_star = self._map(d)
        self.lin_node = self._map(d)
        self.lin_star = self._map(d)
        self.highway = Linear(2 * d, d)
        self.position = make_positions(positions, max_length, d)
        self.readout = AttentionReadout(d, 2 * d)
        self.lin = Linear(2 * d, d, bias=False)

    def _map(self, channels: int) -> Module:
        if not self.project_star:
            return Identity()
        return Linear(channels, channels, bias=False)

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        x, star = self._propagate_star(x, data)
        click, ptr = data.click_index, data.click_index_ptr
        x = x.index_select(0, click) + self.position(ptr, click.numel())
        last = x.index_select(0, ptr[1:] - 1)
        query = torch.cat([last, star], dim=1)
        session = data.batch.index_select(0, click)
        pooled = self.readout(x, session, ptr, last=query)
        return self.lin(torch.cat([pooled, last], dim=1))

    def _propagate_star(self, x: Tensor, data: Data) -> Tuple[Tensor, Tensor]:
        r"""Vectors of nodes and star nodes, ``[N, d]`` and ``[B, d]``."""
        first, edge_attr = x, self.edge_weights(data)
        star = segment(x, data.ptr, reduce='mean')
        root = math.sqrt(self.hidden_channels)
        for _ in range(self.num_layers):
            x = self.conv(x, data.edge_index, edge_attr)
            own = star.index_select(0, data.batch)
            near = self.lin_gate(x) * self.lin_gate_star(own)
            alpha = torch.sigmoid(near.sum(dim=1, keepdim=True) / root)
            x = (1 - alpha) * x + alpha * own
            near = self.lin_node(x) * self.lin_star(own)
            near = near.sum(dim=1) / (root if self.project_star else 1.0)
            beta = softmax(near, ptr=data.ptr).unsqueeze(1)
            star = segment(beta * x, data.ptr)
        gate = torch.sigmoid(self.highway(torch.cat([first, x], dim=1)))
        return gate * first + (1 - gate) * x, star
