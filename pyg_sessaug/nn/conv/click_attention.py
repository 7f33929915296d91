r"""Self-attention among the clicks of a session."""

import math

import torch
from torch import Tensor
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.utils import softmax

from pyg_sessaug.nn.aggr.positions import reversed_positions
from pyg_sessaug.nn.dropout import dropout


class ClickAttention(MessagePassing):
    r"""The scaled dot-product attention of `"Attention Is All You Need"
    <https://arxiv.org/abs/1706.03762>`_ along edges.

    .. math::
        \mathbf{x}'_i = \sum_{j \rightarrow i} \alpha_{ji} \mathbf{v}_j, \quad
        \alpha_{\cdot i} = \textrm{softmax}_j \big( \mathbf{q}_i^{\top}
        \mathbf{k}_j / \sqrt{d / H} \big)

    in each of :math:`H` heads, whose results are joined. Along the pairs of
    :func:`click_pairs`, each click attends to itself and to the clicks
    before it: no padding, so its cost is that of the clicks there are.

    Args:
        channels (int): Size :math:`d` of the vectors.
        heads (int): Number :math:`H` of heads, a divisor of :math:`d`.
            (default: :obj:`1`)
        dropout (float): Share of the weights :math:`\alpha` set to zero in
            training. (default: :obj:`0.0`)

    Shapes:
        - **input:** queries, keys and values :math:`(L, d)`, pairs
          :math:`(2, P)`
        - **output:** :math:`(L, d)`

    Example:
        >>> import torch
        >>> from pyg_sessaug.nn import ClickAttention
        >>> x = torch.eye(2)
        >>> pairs = torch.tensor([[0, 0, 1], [0, 1, 1]])  # From click to click
        >>> ClickAttention(2)(x, x, x, pairs)[0].tolist()  # Sees itself alone
        [1.0, 0.0]
    """

    def __init__(
        self, channels: int, heads: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__(aggr='add', node_dim=0)
        if heads < 1 or channels % heads:
            raise ValueError(
                f'heads must divide the {channels} channels, got {heads}'
            )
        self.channels = channels
        self.heads = heads
        self.dropout = dropout

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, edge_index: Tensor
    ) -> Tensor:
        r"""Runs the attention."""
        size = (-1, self.heads, self.channels // self.heads)
        out: Tensor = self.propagate(
            edge_index,
            query=query.reshape(size),
            key=key.reshape(size),
            value=value.reshape(size),
        )
        return out.flatten(1)

    def message(
        self,
        query_i: Tensor,
        key_j: Tensor,
        value_j: Tensor,
        index: Tensor,
        size_i: int,
    ) -> Tensor:
        score = (query_i * key_j).sum(dim=-1) / math.sqrt(key_j.size(-1))
        alpha = softmax(score, index, num_nodes=size_i)
        alpha = dropout(alpha, self.dropout, self.training)
        return alpha.unsqueeze(-1) * value_j

    def __repr__(self) -> str:
        name = self.__class__.__name__
        return f'{name}({self.channels}, heads={self.heads})'


def click_places(
    click_index_ptr: Tensor, max_length: int, num_clicks: int
) -> Tensor:
    r"""Place of each click among the last :obj:`max_length` ones of its
    session, ``[L]``, int64: from 0, and negative for older clicks.

    Args:
        click_index_ptr (Tensor): The first click of each session and their
            number, ``[B + 1]``, int64.
        max_length (int): How many clicks of a session count.
        num_clicks (int): Number :math:`L` of clicks.
    """
    length = click_index_ptr.diff()
    last = torch.repeat_interleave(
        length.clamp(max=max_length) - 1, length, output_size=num_clicks
    )
    return last - reversed_positions(click_index_ptr, num_clicks)


def click_pairs(place: Tensor) -> Tensor:
    r"""From each click that counts to itself and to those after it, int64,
    ``[2, P]``.

    Args:
        place (Tensor): What :func:`click_places` returns.
    """
    count = (place + 1).clamp(min=0)
    query = torch.repeat_interleave(count)
    pair = torch.arange(query.numel(), device=place.device)
    # A click's first key is the first click of its session that counts.
    shift = place + count.cumsum(0) - count
    return torch.stack([query + pair - shift[query], query])
