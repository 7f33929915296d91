r"""Weights of edges for layers whose papers have none."""

from typing import Optional, Tuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_sessaug.nn.conv.channel_combination import ChannelCombination


class RelativeWeights(torch.nn.Module):
    r"""Weights of edges beside the strongest of their node.

    .. math::
        w^{\textrm{in}}_{ji} = \frac{a^{\textrm{in}}_{ji}}{\max_k
        |a^{\textrm{in}}_{ki}|}, \quad w^{\textrm{out}}_{ij} =
        \frac{a^{\textrm{out}}_{ij}}{\max_k |a^{\textrm{out}}_{ik}|}

    In a plain graph all edges weigh 1. A layer that multiplies something of
    each edge by its weight is that of its paper there, and every transform
    applies to it: cells that are noise alone weigh little.

    Args:
        num_channels (int, optional): Combines so many weights of each edge,
            see :class:`~pyg_sessaug.nn.ChannelCombination`.
            (default: :obj:`None`, one weight and nothing to learn)

    Raises:
        ValueError: When called, if the graph has no :obj:`edge_attr`, or of
            another number of channels.

    Shapes:
        - **input:** a graph with edges :math:`(2, |\mathcal{E}|)` in
          :obj:`edge_index` and shares :math:`(|\mathcal{E}|, 2)`, or
          :math:`(|\mathcal{E}|, 2, C)`, in :obj:`edge_attr`
          (see :class:`~pyg_sessaug.transforms.NormalizeEdges`)
        - **output:** weights :math:`(|\mathcal{E}|, 2)` in :math:`[-1, 1]`
    """

    def __init__(self, num_channels: Optional[int] = None) -> None:
        super().__init__()
        self.combine = (
            None if num_channels is None else ChannelCombination(num_channels)
        )

    def forward(self, data: Data) -> Tensor:
        r"""Weights by what goes into a node, and by what goes out."""
        share = data.get('edge_attr')
        if share is None:
            raise ValueError(
                'the model needs edge_attr, the two normalised weights of '
                'each edge; apply pyg_sessaug.transforms.NormalizeEdges() to '
                'the data'
            )
        if self.combine is not None:
            share = self.combine(share)
        elif share.dim() > 2:
            raise ValueError(
                f'the model got edges with {share.size(-1)} channels; make '
                f'it with num_channels={share.size(-1)}'
            )
        index = data.edge_index.flip(0).t()
        top = share.new_zeros(data.num_nodes, 2)
        top = top.scatter_reduce(0, index, share.abs(), 'amax').gather(
            0, index
        )
        return share / top.masked_fill(top == 0, 1.0)


def find_edges(
    edge_index: Tensor, pair: Tensor, num_nodes: int
) -> Tuple[Tensor, Tensor]:
    r"""Looks for edges between pairs of nodes.

    Args:
        edge_index (Tensor): Distinct edges, ``[2, E]``, int64.
        pair (Tensor): Pairs of nodes, ``[2, n]``, int64.
        num_nodes (int): Number of nodes.

    Returns:
        (Tensor, Tensor): The number of each pair's edge ``[n]`` int64, any
        where there is none, and whether there is one ``[n]`` bool.
    """
    key, order = (edge_index[0] * num_nodes + edge_index[1]).sort()
    wanted = pair[0] * num_nodes + pair[1]
    if key.numel() == 0:
        none = torch.zeros_like(wanted)
        return none, none.bool()
    place = torch.searchsorted(key, wanted).clamp_(max=key.numel() - 1)
    return order[place], key[place] == wanted
