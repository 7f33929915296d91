r"""NISER."""

from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear
from torch_geometric.data import Data

from pyg_sessaug.nn.aggr.attention_readout import AttentionReadout
from pyg_sessaug.nn.aggr.positions import make_positions
from pyg_sessaug.nn.models.gated_model import GatedModel


class NISER(GatedModel):
    r"""The model NISER+ of `"NISER: Normalized Item and Session
    Representations to Handle Popularity Bias"
    <https://arxiv.org/abs/1909.04276>`_.

    SR-GNN with items and sessions of unit length, dropout of item vectors
    and a vector :math:`\mathbf{p}` for the position of each click:

    .. math::
        \mathbf{x} = \textrm{GNN}\Big(\frac{\mathbf{e}}{\lVert \mathbf{e}
        \rVert}, G\Big), \quad \mathbf{c}_l = \mathbf{x}_l + \mathbf{p}_l,
        \quad \mathbf{s}_g = \sum_l \mathbf{q}^{\top} \sigma(\mathbf{W}_1
        \mathbf{c}_{\textrm{last}} + \mathbf{W}_2 \mathbf{c}_l + \mathbf{b})
        \, \mathbf{c}_l

        \mathbf{s} = \mathbf{W}_3 [\mathbf{c}_{\textrm{last}} \,\Vert\,
        \mathbf{s}_g], \quad \textrm{score}_v = \gamma \,
        \frac{\mathbf{s}^{\top} \mathbf{e}_v}{\lVert \mathbf{s} \rVert \,
        \lVert \mathbf{e}_v \rVert}

    Positions are counted from the last click; RecBole-GNN's code counts from
    the first: ``positions='forward'``. As there, items get unit length after
    dropout.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        scale (float, optional): The scale :math:`\gamma`; :obj:`None` leaves
            all vectors as long as they are. (default: :obj:`16.0`)
        dropout (float): Share of the entries of looked-up item vectors set
            to zero in training. (default: :obj:`0.1`)
        num_layers (int): How often the one cell is applied; 0 leaves the
            graph out. (default: :obj:`1`)
        positions (str): Whether positions are counted :obj:`"forward"` or
            :obj:`"reversed"`, from the last click.
            (default: :obj:`"reversed"`)
        max_length (int): Number of vectors of positions, see
            :class:`~pyg_sessaug.nn.ReversedPositions` and
            :class:`~pyg_sessaug.nn.ForwardPositions`. (default: :obj:`100`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SRGNN`.

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import NISER
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> batch = NormalizeEdges()(list_batch([[1, 2, 1], [5]]))
        >>> NISER(num_items=9, hidden_channels=8).score(batch).size()
        torch.Size([2, 9])
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        scale: Optional[float] = 16.0,
        dropout: float = 0.1,
        num_layers: int = 1,
        positions: str = 'reversed',
        max_length: int = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_items,
            hidden_channels,
            scale=scale,
            dropout=dropout,
            num_layers=num_layers,
            **kwargs,
        )
        d = hidden_channels
        self.positions = positions
        self.max_length = max_length
        self.position = make_positions(positions, max_length, d)
        self.readout = AttentionReadout(d)
        self.lin = Linear(2 * d, d, bias=False)

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        if self.scale is not None:  # Dropout has changed the lengths.
            x = F.normalize(x, dim=1)
        click, ptr = data.click_index, data.click_index_ptr
        x = self.propagate(x, data).index_select(0, click)
        x = x + self.position(ptr, click.numel())
        last = x.index_select(0, ptr[1:] - 1)
        session = data.batch.index_select(0, click)
        pooled = self.readout(x, session, ptr, last=last)
        return self.lin(torch.cat([last, pooled], dim=1))
