r"""Several weights for every edge."""

import copy
from typing import Callable, Sequence

import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_sessaug.data.graphs import edge_weight, with_edges


@functional_transform('weight_channels')
class WeightChannels(BaseTransform):
    r"""Gives each edge of a session one weight by each of several
    transforms, section 8.1 of the thesis
    (functional name: :obj:`weight_channels`).

    All of them see the same graph, so that the weights stand side by side;
    :class:`~pyg_sessaug.transforms.NormalizeEdges` behind it takes each
    channel on its own.
    A model with :obj:`num_channels` learns how to combine them, see
    :class:`~pyg_sessaug.nn.ChannelCombination`.
    An empty :class:`torch_geometric.transforms.Compose` makes a channel of
    plain weights. Blur takes one weight per edge and cannot follow.

    Args:
        transforms (list): Transforms that set :obj:`edge_weight` and leave
            the edges as they are, one for each channel.

    Raises:
        ValueError: If there are no transforms or, when called, if one of
            them changes the edges.

    Shapes:
        - **input:** what the transforms take
        - **output:** weights :math:`(|\mathcal{E}|, C)` in
          :obj:`edge_weight`, a column for each of the :math:`C` transforms

    Example:
        >>> import torch
        >>> from torch_geometric.transforms import Compose
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.transforms import ItemDistance, WeightChannels
        >>> near = ItemDistance(torch.tensor([[0.0], [1.0], [5.0]]), p=1.0)
        >>> weigh = WeightChannels([Compose([]), near])
        >>> weigh(list_batch([[0, 1, 2]])).edge_weight.tolist()
        [[1.0, 1.0], [1.0, 0.25]]
    """

    batchwise = True

    def __init__(self, transforms: Sequence[Callable[[Data], Data]]) -> None:
        if not transforms:
            raise ValueError(
                'WeightChannels got no transforms; pass one for each channel'
            )
        self.transforms = list(transforms)

    def forward(self, data: Data) -> Data:
        columns = []
        for transform in self.transforms:
            out = transform(copy.copy(data))
            weight, edge = edge_weight(out), out.edge_index
            if weight.dim() != 1 or not (
                edge is data.edge_index or torch.equal(edge, data.edge_index)
            ):
                raise ValueError(
                    f'WeightChannels got {transform}, which changes more than '
                    f'the weights of the edges; apply it before or behind'
                )
            columns.append(weight)
        return with_edges(data, edge_weight=torch.stack(columns, dim=1))

    def __repr__(self) -> str:
        lines = ''.join(f'  {transform},\n' for transform in self.transforms)
        return f'{self.__class__.__name__}([\n{lines}])'
