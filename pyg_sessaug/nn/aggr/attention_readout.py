r"""From node vectors to one vector per session."""

from typing import Optional

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.nn.inits import normal


class AttentionReadout(Aggregation):
    r"""The soft attention of SR-GNN over the clicks of a session.

    .. math::
        \mathbf{s}_g = \sum_{l} \alpha_l \mathbf{x}_l, \quad
        \alpha_l = \mathbf{q}^{\top} \sigma(\mathbf{W}_1
        \mathbf{x}_{\textrm{last}} + \mathbf{W}_2 \mathbf{x}_l + \mathbf{b})

    (without a softmax). Given nodes and :obj:`count`, clicks of one node
    share their term, which is weighted by their number.

    Args:
        channels (int): Size :math:`d` of the node vectors.
        query_channels (int, optional): Size of what stands for
            :math:`\mathbf{x}_{\textrm{last}}`, if it is another.
            (default: :obj:`None`)

    Shapes:
        - **input:** vectors of nodes or clicks :math:`(N, d)`, session of
          each :math:`(N)`, and by name vectors of each session's last click
          :math:`(B, d)` and clicks of each node :math:`(N)`, by default one
        - **output:** session vectors :math:`(B, d)`

    Example:
        >>> import torch
        >>> from pyg_sessaug.nn import AttentionReadout
        >>> x, session = torch.randn(5, 8), torch.tensor([0, 0, 0, 1, 1])
        >>> AttentionReadout(8)(x, session, last=x[[2, 4]]).size()
        torch.Size([2, 8])
    """

    def __init__(
        self, channels: int, query_channels: Optional[int] = None
    ) -> None:
        super().__init__()
        self.channels = channels
        self.lin_last = Linear(
            query_channels or channels, channels, bias=False
        )
        self.lin_node = Linear(channels, channels)
        self.lin_score = Linear(channels, 1, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draws all parameters from :math:`\mathcal{N}(0, 0.1)`."""
        for parameter in self.parameters():
            normal(parameter, mean=0.0, std=0.1)

    def forward(
        self,
        x: Tensor,
        index: Tensor,
        ptr: Optional[Tensor] = None,
        dim_size: Optional[int] = None,
        dim: int = -2,
        *,
        last: Tensor,
        count: Optional[Tensor] = None,
    ) -> Tensor:
        r"""Reduces node vectors to session vectors."""
        first = self.lin_last(last)
        gate = self.lin_node(x) + first.index_select(0, index)
        alpha = self.lin_score(torch.sigmoid(gate))
        if count is not None:
            alpha = alpha * count.view(-1, 1)
        return self.reduce(alpha * x, index, ptr, dim_size, dim)

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}({self.channels})'
