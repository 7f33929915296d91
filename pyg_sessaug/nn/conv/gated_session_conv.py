r"""The gated graph layer of SR-GNN."""

from typing import Optional

import torch
from torch import Tensor
from torch.nn import GRUCell, Linear, Parameter
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.nn.inits import normal

from pyg_sessaug.data.devices import is_exporting

MAX_MESSAGES = 2**17


class GatedSessionConv(MessagePassing):
    r"""One step of the gated cell of `"Session-based Recommendation with
    Graph Neural Networks" <https://arxiv.org/abs/1811.00855>`_.

    Messages travel along the edges and against them, each way with its own
    map and weight, and a gated recurrent unit updates every node:

    .. math::
        \mathbf{a}_i &= \Big[ \sum_{j \rightarrow i} w^{\textrm{in}}_{ji}
        (\mathbf{W}_{\textrm{in}} \mathbf{x}_j + \mathbf{b}_{\textrm{in}})
        + \mathbf{c}_{\textrm{in}} \;\Vert\; \sum_{i \rightarrow j}
        w^{\textrm{out}}_{ij} (\mathbf{W}_{\textrm{out}} \mathbf{x}_j +
        \mathbf{b}_{\textrm{out}}) + \mathbf{c}_{\textrm{out}} \Big]

        \mathbf{x}'_i &= \textrm{GRU}(\mathbf{a}_i, \mathbf{x}_i)

    Args:
        channels (int): Size :math:`d` of the node vectors.

    Shapes:
        - **input:** node vectors :math:`(N, d)`, edge indices :math:`(2, E)`,
          edge weights :math:`(E, 2)`: column 0 weights the message along an
          edge, column 1 the one against it
          (see :class:`~pyg_sessaug.transforms.NormalizeEdges`)
        - **output:** node vectors :math:`(N, d)`

    Example:
        >>> import torch
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import GatedSessionConv
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> batch = NormalizeEdges()(list_batch([[3, 5, 3]]))
        >>> x = torch.randn(batch.num_nodes, 8)
        >>> GatedSessionConv(8)(x, batch.edge_index, batch.edge_attr).size()
        torch.Size([2, 8])
    """

    def __init__(self, channels: int) -> None:
        super().__init__(aggr='add')
        self.in_channels = self.out_channels = channels
        # The maps along (first half) and against the edges in one product.
        self.lin = Linear(channels, 2 * channels)
        self.bias = Parameter(torch.empty(2 * channels))
        self.gru = GRUCell(2 * channels, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draws all parameters from :math:`\mathcal{N}(0, 0.1)`."""
        super().reset_parameters()
        for parameter in self.parameters():
            normal(parameter, mean=0.0, std=0.1)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        nodes: Optional[Tensor] = None,
    ) -> Tensor:
        r"""Runs one step of the cell.

        Args:
            x (Tensor): Node vectors, ``[N, d]``.
            edge_index (Tensor): Edges, ``[2, E]``, int64.
            edge_attr (Tensor): Their weights, ``[E, 2]``.
            nodes (Tensor, optional): The nodes to update, ``[M]``, int64;
                the others send messages, and stay as they are.
                (default: :obj:`None`, all)
        """
        if edge_attr.dim() != 2 or edge_attr.size(1) != 2:
            raise ValueError(
                f'GatedSessionConv got edge_attr of shape '
                f'{list(edge_attr.shape)}; pass two weights of each edge, '
                f'[num_edges, 2], as NormalizeEdges() makes them'
            )
        num_nodes, channels = x.size()
        # Both directions in one sweep: row 2i of the doubled nodes carries
        # what node i sends along its edges, row 2i + 1 what it sends back.
        both = self.lin(x).view(2 * num_nodes, channels)
        along = 2 * edge_index
        both_index = torch.cat([along, along.flip(0) + 1], dim=1)
        weight = edge_attr.t().reshape(-1, 1)
        # A blurred session of k nodes has about k^2 edges: in slices, no
        # more than MAX_MESSAGES vectors are in memory at a time.
        # A program cannot count its slices.
        if is_exporting() or weight.size(0) <= MAX_MESSAGES:
            out = self.propagate(both_index, x=both, edge_weight=weight)
        else:
            parts = zip(
                both_index.split(MAX_MESSAGES, dim=1),
                weight.split(MAX_MESSAGES),
            )
            out = sum(
                self.propagate(index, x=both, edge_weight=part)
                for index, part in parts
            )
        out = out.view(num_nodes, 2 * channels)
        if nodes is None:
            # Autocast changes the type.
            return self.gru(out + self.bias, x).to(x.dtype)
        out = out.index_select(0, nodes) + self.bias
        new = self.gru(out, x.index_select(0, nodes)).to(x.dtype)
        return x.index_copy(0, nodes, new)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight * x_j

    def aggregate(
        self, inputs: Tensor, index: Tensor, dim_size: int
    ) -> Tensor:
        # The same sum in fewer calls, of which a single session has many.
        out = inputs.new_zeros(dim_size, inputs.size(1))
        return out.index_add_(0, index, inputs)
