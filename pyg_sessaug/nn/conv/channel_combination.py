r"""One adjacency matrix out of several."""

import torch
from torch import Tensor
from torch.nn import Parameter


class ChannelCombination(torch.nn.Module):
    r"""Combines several weights of each edge into one, section 8.1 of the
    thesis.

    A learned :math:`1 \times 1` convolution over the normalised adjacency
    matrices of :math:`C` weight channels, before the graph layer:

    .. math::
        \mathbf{A} = \sum_{c=1}^{C} k_c \mathbf{A}_c

    There is no bias, so cells without an edge stay empty. At first all
    :math:`k_c` are :math:`1 / C`. A plain graph stands for one whose channels
    are all plain: that is what the weighting transforms leave of an edge
    they do not draw, and what models are evaluated on.

    Args:
        num_channels (int): Number :math:`C` of channels.

    Raises:
        ValueError: If :obj:`num_channels` is not positive or, when called,
            if the edges have another number of channels.

    Shapes:
        - **input:** shares :math:`(|\mathcal{E}|, 2, C)`, those of
          :class:`~pyg_sessaug.transforms.NormalizeEdges` behind
          :class:`~pyg_sessaug.transforms.WeightChannels`, or
          :math:`(|\mathcal{E}|, 2)` of plain graphs
        - **output:** shares :math:`(|\mathcal{E}|, 2)`

    Example:
        >>> import torch
        >>> from pyg_sessaug.nn import ChannelCombination
        >>> combine = ChannelCombination(num_channels=2)
        >>> combine(torch.tensor([[[1.0, 0.0], [0.5, 0.5]]])).tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        if num_channels < 1:
            raise ValueError(
                f'ChannelCombination got num_channels={num_channels}; pass '
                f'at least 1'
            )
        self.num_channels = num_channels
        self.weight = Parameter(torch.empty(num_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Makes the combination the mean of the channels."""
        torch.nn.init.constant_(self.weight, 1.0 / self.num_channels)

    def forward(self, edge_attr: Tensor) -> Tensor:
        r"""Combines the channels."""
        if edge_attr.dim() == 2:
            return edge_attr * self.weight.sum()
        if edge_attr.size(-1) != self.num_channels:
            raise ValueError(
                f'ChannelCombination got edges with {edge_attr.size(-1)} '
                f'channels, but num_channels={self.num_channels}; pass as '
                f'many transforms to WeightChannels'
            )
        return edge_attr @ self.weight

    def extra_repr(self) -> str:
        return f'{self.num_channels}'
