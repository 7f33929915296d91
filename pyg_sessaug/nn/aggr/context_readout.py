r"""Attention to items around a session."""

import torch
from torch import Tensor
from torch.nn import Linear, Parameter
from torch_geometric.nn.inits import normal, ones, zeros
from torch_geometric.utils import scatter, softmax


class ContextReadout(torch.nn.Module):
    r"""Adds to a session vector what items beside its own have to say.

    .. math::
        \mathbf{s}' = \mathbf{s} + 2 \sigma(\mathbf{w}^{\top} [\mathbf{s}
        \,\Vert\, \mathbf{c}]) \, \mathbf{c}, \quad \mathbf{c} = \sum_i
        \alpha_i \mathbf{e}_i, \quad \boldsymbol{\alpha} =
        \textrm{softmax}_i \Big( (\mathbf{W} \mathbf{s})^{\top} \mathbf{e}_i +
        a \log \frac{w_i}{\max_j w_j} \Big)

    where :math:`w_i` are weights of the items :math:`i` of the session and
    :math:`\mathbf{e}_i` their vectors. The gate starts at 1, as does
    :math:`a`. A session without such items keeps its vector.

    Args:
        channels (int): Size :math:`d` of all vectors.

    Shapes:
        - **input:** session vectors :math:`(B, d)`, vectors of the items
          :math:`(K, d)`, session after session, their positive weights
          :math:`(K)`, and the first item of each session and their number
          :math:`(B + 1)` int64
        - **output:** session vectors :math:`(B, d)`

    Example:
        >>> import torch
        >>> from pyg_sessaug.nn import ContextReadout
        >>> session, items = torch.randn(2, 8), torch.randn(3, 8)
        >>> votes, ptr = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([0, 2, 3])
        >>> ContextReadout(8)(session, items, votes, ptr).size()
        torch.Size([2, 8])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.lin_query = Linear(channels, channels, bias=False)
        self.lin_gate = Linear(2 * channels, 1, bias=False)
        self.power = Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draws :math:`\mathbf{W}` from :math:`\mathcal{N}(0, 0.1)`."""
        normal(self.lin_query.weight, mean=0.0, std=0.1)
        zeros(self.lin_gate.weight)
        ones(self.power)

    def forward(
        self, session: Tensor, x: Tensor, weight: Tensor, ptr: Tensor
    ) -> Tensor:
        r"""Session vectors with what was read."""
        size = ptr.numel() - 1
        owner = torch.repeat_interleave(ptr.diff(), output_size=x.size(0))
        largest = scatter(weight, owner, dim_size=size, reduce='max')
        share = (weight / largest.index_select(0, owner)).log()
        query = self.lin_query(session).index_select(0, owner)
        score = (query * x).sum(dim=1) + self.power * share.to(x.dtype)
        alpha = softmax(score, owner, num_nodes=size).unsqueeze(1)
        context = scatter(alpha * x, owner, dim_size=size)
        gate = self.lin_gate(torch.cat([session, context], dim=1))
        return session + 2 * torch.sigmoid(gate) * context

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}({self.channels})'
