r"""SR-GNN."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.data import Data
from torch_geometric.nn.inits import normal

from pyg_sessaug.nn.models.gated_model import GatedReadoutModel


class SRGNN(GatedReadoutModel):
    r"""The model of `"Session-based Recommendation with Graph Neural
    Networks" <https://arxiv.org/abs/1811.00855>`_.

    The session vector joins last click and readout, and items are scored by
    their embeddings:

    .. math::
        \mathbf{s} = \mathbf{W}_3 [\mathbf{x}_{\textrm{last}} \,\Vert\,
        \mathbf{s}_g], \quad \textrm{score}_v = \mathbf{s}^{\top}
        \mathbf{e}_v

    All parameters start from :math:`\mathcal{N}(0, 0.1)`.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        num_layers (int): How often the one cell is applied; 0 leaves the
            graph out. (default: :obj:`2`)
        num_channels (int, optional): Combines so many weights of each edge,
            see :class:`~pyg_sessaug.nn.ChannelCombination`.
            (default: :obj:`None`, one weight and nothing to learn)
        **kwargs (optional): :obj:`context` and :obj:`shuffled_context`, see
            :class:`~pyg_sessaug.nn.models.context_model.ContextModel`, and
            those of :class:`~pyg_sessaug.nn.SessionModel`.

    Example:
        >>> from pyg_sessaug import fit
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> from pyg_sessaug.nn import SRGNN
        >>> train = MultimodalSessions('data', num_sessions=100)
        >>> val = MultimodalSessions('data', 'val', num_sessions=100)
        >>> model = SRGNN(train.num_items, hidden_channels=8)
        >>> history = fit(model, train, val, epochs=2, progress=False)
        >>> len(history)
        2
    """

    def __init__(
        self, num_items: int, hidden_channels: int = 100, **kwargs: Any
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        self.lin = Linear(2 * hidden_channels, hidden_channels, bias=False)
        SRGNN.reset_parameters(self)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        normal(self.lin.weight, mean=0.0, std=0.1)

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        last, pooled = self.pool(self.propagate(x, data), data)
        return self.lin(torch.cat([last, pooled], dim=1))
