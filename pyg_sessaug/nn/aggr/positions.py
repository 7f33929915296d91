r"""Vectors of the positions of clicks."""

from typing import Optional

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn.inits import normal


class ReversedPositions(torch.nn.Module):
    r"""A learned vector :math:`\mathbf{p}_k` for the click that :math:`k`
    others follow in its session.

    The last click has :math:`\mathbf{p}_0` however long the session is;
    clicks further back than :math:`\mathbf{p}_{K - 1}` share that one.

    Args:
        max_length (int): Number :math:`K` of vectors.
        channels (int): Size :math:`d` of the vectors.

    Shapes:
        - **input:** the first click of each session and their number
          :math:`(B + 1)`, int64, a batch's ``click_index_ptr``; and
          optionally their number, for which the host else waits for a GPU
        - **output:** the vector of each click :math:`(L, d)`

    Example:
        >>> import torch
        >>> from pyg_sessaug.nn import ReversedPositions
        >>> ptr = torch.tensor([0, 3, 5])  # Of three and of two clicks
        >>> ReversedPositions(max_length=9, channels=8).index(ptr).tolist()
        [2, 1, 0, 1, 0]
    """

    def __init__(self, max_length: int, channels: int) -> None:
        super().__init__()
        if max_length < 1:
            raise ValueError(
                f'ReversedPositions got max_length={max_length}; pass at '
                f'least 1'
            )
        self.max_length = max_length
        self.channels = channels
        self.weight = Parameter(torch.empty(max_length, channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draws all vectors from :math:`\mathcal{N}(0, 0.1)`."""
        normal(self.weight, mean=0.0, std=0.1)

    def forward(
        self, click_index_ptr: Tensor, num_clicks: Optional[int] = None
    ) -> Tensor:
        r"""Vectors of all clicks of a batch, session after session."""
        position = self.index(click_index_ptr, num_clicks)
        return self.weight.index_select(0, position)

    def index(
        self, click_index_ptr: Tensor, num_clicks: Optional[int] = None
    ) -> Tensor:
        r"""Which vector each click has, ``[L]``, int64."""
        position = reversed_positions(click_index_ptr, num_clicks)
        return position.clamp(max=self.max_length - 1)

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}({self.max_length}, {self.channels})'


class ForwardPositions(ReversedPositions):
    r"""A learned vector :math:`\mathbf{p}_k` for the click that :math:`k`
    others of its session precede.

    In sessions of more than :math:`K` clicks only the last :math:`K` are
    counted, and those before them share :math:`\mathbf{p}_0`.

    Args:
        max_length (int): Number :math:`K` of vectors.
        channels (int): Size :math:`d` of the vectors.

    Shapes:
        As of :class:`~pyg_sessaug.nn.ReversedPositions`.

    Example:
        >>> import torch
        >>> from pyg_sessaug.nn import ForwardPositions
        >>> ptr = torch.tensor([0, 3, 5])  # Of three and of two clicks
        >>> ForwardPositions(max_length=9, channels=8).index(ptr).tolist()
        [0, 1, 2, 0, 1]
    """

    def index(
        self, click_index_ptr: Tensor, num_clicks: Optional[int] = None
    ) -> Tensor:
        r"""Which vector each click has, ``[L]``, int64."""
        counted = click_index_ptr.diff().clamp(max=self.max_length)
        last = torch.repeat_interleave(
            counted - 1, click_index_ptr.diff(), output_size=num_clicks
        )
        position = last - reversed_positions(click_index_ptr, num_clicks)
        return position.clamp(min=0)


def make_positions(
    order: str, max_length: int, channels: int
) -> ReversedPositions:
    r"""The layer of an order.

    Args:
        order (str): :obj:`"reversed"` or :obj:`"forward"`.
        max_length (int): Number of vectors.
        channels (int): Size of the vectors.

    Raises:
        ValueError: If there is no such order.
    """
    orders = {'reversed': ReversedPositions, 'forward': ForwardPositions}
    if order not in orders:
        raise ValueError(
            f'positions must be one of {list(orders)}, got {order!r}'
        )
    return orders[order](max_length, channels)


def reversed_positions(
    click_index_ptr: Tensor, num_clicks: Optional[int] = None
) -> Tensor:
    r"""How many clicks of its session follow each click, ``[L]``, int64.

    Args:
        click_index_ptr (Tensor): The first click of each session and their
            number, ``[B + 1]``, int64.
        num_clicks (int, optional): Their number :math:`L`; given, the host
            does not wait for a GPU. (default: :obj:`None`)
    """
    last = torch.repeat_interleave(
        click_index_ptr[1:] - 1,
        click_index_ptr.diff(),
        output_size=num_clicks,
    )
    return last - torch.arange(last.numel(), device=last.device)
