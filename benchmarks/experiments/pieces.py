"""Pieces of other strong models, tried on the strongest one by one."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import Embedding, Linear
from torch_geometric.data import Data
from torch_geometric.utils import segment

from pyg_sessaug.nn import SRGNNPlus

PIECES = ('star', 'repeats', 'queries', 'centred')
MOST = 5  # Clicks on an item that are told apart.
QUERIES = 3


class PiecedSRGNN(SRGNNPlus):
    """SRGNNPlus with one more piece.

    Args:
        piece: ``'star'``, a node that all clicked items see, as in SGNN-HN;
            ``'repeats'``, a vector of how often an item was clicked, as in
            MiaSRec; ``'queries'``, attention by the mean of the last one, two
            and three clicks, as in Atten-Mixer; ``'centred'``, vectors less
            their mean before they get unit length, as in SGNN-HN.
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        piece: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        if piece not in PIECES:
            raise ValueError(f'piece must be one of {PIECES}, got {piece!r}')
        self.piece = piece
        self.center = piece == 'centred'
        d = hidden_channels
        if piece == 'star':
            self.lin_gate = Linear(d, d, bias=False)
            self.lin_star = Linear(d, d, bias=False)
        if piece == 'repeats':
            self.count = Embedding(MOST + 1, d)
            torch.nn.init.normal_(self.count.weight, std=0.1)

    def propagate(self, x: Tensor, data: Data) -> Tensor:
        h = super().propagate(x, data)
        if self.piece == 'star':
            star = segment(x, data.ptr, reduce='mean')
            star = star.index_select(0, data.batch)
            near = self.lin_gate(h) * self.lin_star(star)
            near = near.sum(dim=1, keepdim=True) / math.sqrt(h.size(1))
            h = torch.lerp(h, star.to(h.dtype), torch.sigmoid(near))
        if self.piece == 'repeats':
            clicks = data.click_index.bincount(minlength=h.size(0))
            h = h + self.count(clicks.clamp(max=MOST))
        return h

    def read(self, h: Tensor, session: Tensor, ptr: Tensor) -> Tensor:
        if self.piece != 'queries':
            return super().read(h, session, ptr)
        ago = self.positions.index(ptr, h.size(0)).unsqueeze(1)
        mean = segment(h, ptr, reduce='mean')
        clicks = self.lin_click(h) + self.positions(ptr, h.size(0))
        pooled = torch.zeros_like(mean)
        for count in range(1, QUERIES + 1):
            near = (ago < count).to(h.dtype)
            newest = segment(near * h, ptr) / segment(near, ptr)
            query = self.lin_query(torch.cat([newest, mean], dim=1))
            key = torch.sigmoid(clicks + query.index_select(0, session))
            pooled = pooled + segment(self.lin_score(key) * h, ptr) / QUERIES
        last = h.index_select(0, ptr[1:] - 1)
        return self.lin(torch.cat([last, pooled], dim=1))
