r"""SR-GNN."""

from typing import Any, List

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.data import Data

from pyg_sessaug.nn.loss.catalogue import catalogue_cross_entropy, product
from pyg_sessaug.nn.models.session_model import Encoding, SessionModel


class SRGNN(SessionModel):
    r"""The model of `"Session-based Recommendation with Graph Neural
    Networks" <https://arxiv.org/abs/1811.00855>`_.

    The session vector joins last click and readout, and items are scored by
    their embeddings:

    .. math::
        \mathbf{s} = \mathbf{W}_3 [\mathbf{x}_{\textrm{last}} \,\Vert\,
        \mathbf{s}_g], \quad \textrm{score}_v = \mathbf{s}^{\top}
        \mathbf{e}_v

    Args:
        num_items (int): Size of the vocabulary.
        *args (optional): See :class:`~pyg_sessaug.nn.SessionModel`.
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SessionModel`.
    """

    def __init__(self, num_items: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(num_items, *args, **kwargs)
        d = self.hidden_channels
        self.lin = Linear(2 * d, d, bias=False)
        self.reset_parameters()

    def forward(self, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        return self._session(data)[0]

    def score(self, data: Data) -> Tensor:
        r"""Scores of all items, ``[B, num_items]``, float32."""
        vector, table = self._session(data)
        return product(vector, table.t())

    def loss(self, data: Data) -> Tensor:
        r"""Mean softmax cross-entropy of the targets over all items."""
        vector, table = self._session(data, share=True)
        return catalogue_cross_entropy(vector, table, data.y, self.precision)

    def parts(self, data: Data, code: Encoding) -> List[Tensor]:
        r"""What the session vector is made of, each ``[B, *]``."""
        return [code.last, code.pooled]

    def _session(
        self, data: Data, share: bool = False
    ) -> 'tuple[Tensor, Tensor]':
        code = self.encode(data, share)
        vector = self.lin(torch.cat(self.parts(data, code), dim=1))
        return self.unit(vector), code.table
