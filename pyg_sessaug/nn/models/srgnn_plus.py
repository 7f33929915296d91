r"""SR-GNN with what later models found to pay."""

from typing import Any, Optional

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.data import Data
from torch_geometric.utils import segment

from pyg_sessaug.nn.aggr.positions import ReversedPositions
from pyg_sessaug.nn.models.gated_model import GatedModel


class SRGNNPlus(GatedModel):
    r"""SR-GNN with unit lengths, dropout, a highway, and an attention that
    knows positions and the whole session.

    One gated step, mixed with the looked-up vectors as in `SGNN-HN
    <https://dl.acm.org/doi/10.1145/3340531.3412014>`_; then the soft
    attention of SR-GNN over all clicks :math:`l`, whose query has the mean
    :math:`\bar{\mathbf{h}}` of the session beside the last click, and a
    vector :math:`\mathbf{p}` for how many clicks follow:

    .. math::
        \mathbf{h} &= \mathbf{g} \odot \mathbf{x} + (1 - \mathbf{g}) \odot
        \mathbf{x}', \quad \mathbf{g} = \sigma(\mathbf{W}_g [\mathbf{x}
        \,\Vert\, \mathbf{x}'])

        \alpha_l &= \mathbf{q}^{\top} \sigma(\mathbf{W}_1 \mathbf{h}_l +
        \mathbf{W}_2 \mathbf{h}_{\textrm{last}} + \mathbf{W}_3
        \bar{\mathbf{h}} + \mathbf{p}_{L - l} + \mathbf{b})

        \mathbf{s} &= \mathbf{W}_4 [\mathbf{h}_{\textrm{last}} \,\Vert\,
        \textstyle\sum_l \alpha_l \mathbf{h}_l]

    Items are scored by cosine, as in `NISER
    <https://arxiv.org/abs/1909.04276>`_.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        num_layers (int): How often the one cell is applied; 0 leaves the
            graph out. (default: :obj:`1`)
        max_length (int): Clicks from the end that have positions of their
            own. (default: :obj:`20`)
        scale (float, optional): See :class:`~pyg_sessaug.nn.SessionModel`.
            (default: :obj:`12.0`)
        dropout (float): See :class:`~pyg_sessaug.nn.SessionModel`.
            (default: :obj:`0.2`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SRGNN`.

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import SRGNNPlus
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> batch = NormalizeEdges()(list_batch([[1, 2, 1], [5]]))
        >>> SRGNNPlus(num_items=9, hidden_channels=8).score(batch).size()
        torch.Size([2, 9])
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        num_layers: int = 1,
        max_length: int = 20,
        scale: Optional[float] = 12.0,
        dropout: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_items,
            hidden_channels,
            num_layers=num_layers,
            scale=scale,
            dropout=dropout,
            **kwargs,
        )
        d = hidden_channels
        self.max_length = max_length
        self.highway = Linear(2 * d, d, bias=False)
        self.positions = ReversedPositions(max_length, d)
        self.lin_click = Linear(d, d)
        self.lin_query = Linear(2 * d, d, bias=False)
        self.lin_score = Linear(d, 1, bias=False)
        self.lin = Linear(2 * d, d, bias=False)

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        session = data.batch.index_select(0, data.click_index)
        return self.read(self.clicks(x, data), session, data.click_index_ptr)

    def clicks(self, x: Tensor, data: Data) -> Tensor:
        r"""Vectors of all clicks behind the highway, ``[L, d]``."""
        h = self.propagate(x, data)
        gate = torch.sigmoid(self.highway(torch.cat([x, h], dim=1)))
        h = torch.lerp(h, x, gate.to(x.dtype))  # Autocast changes it.
        return h.index_select(0, data.click_index)

    def read(self, h: Tensor, session: Tensor, ptr: Tensor) -> Tensor:
        r"""Vectors of sessions, ``[B, d]``.

        Args:
            h (Tensor): Vectors of their clicks, ``[L, d]``.
            session (Tensor): The session of each click, ``[L]``, int64.
            ptr (Tensor): The first click of each session, ``[B + 1]``, int64.
        """
        last = h.index_select(0, ptr[1:] - 1)
        mean = segment(h, ptr, reduce='mean')
        query = self.lin_query(torch.cat([last, mean], dim=1))
        key = self.lin_click(h) + self.positions(ptr, h.size(0))
        key = torch.sigmoid(key + query.index_select(0, session))
        pooled = segment(self.lin_score(key) * h, ptr)
        return self.lin(torch.cat([last, pooled], dim=1))
