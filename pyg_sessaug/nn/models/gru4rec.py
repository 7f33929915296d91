r"""GRU4Rec."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.data import Data

from pyg_sessaug.nn.aggr.positions import reversed_positions
from pyg_sessaug.nn.models.sequence_model import SequenceModel


class GRU4Rec(SequenceModel):
    r"""The model of `"Session-based Recommendations with Recurrent Neural
    Networks" <https://arxiv.org/abs/1511.06939>`_.

    A gated recurrent unit reads the clicks, and its state behind the last
    one is the session vector:

    .. math::
        \mathbf{r}_t, \mathbf{z}_t &= \sigma(\mathbf{W}_{r,z} \mathbf{e}_{x_t}
        + \mathbf{U}_{r,z} \mathbf{h}_{t-1})

        \hat{\mathbf{h}}_t &= \tanh(\mathbf{W} \mathbf{e}_{x_t} +
        \mathbf{r}_t \odot \mathbf{U} \mathbf{h}_{t-1})

        \mathbf{h}_t &= (1 - \mathbf{z}_t) \odot \mathbf{h}_{t-1} +
        \mathbf{z}_t \odot \hat{\mathbf{h}}_t, \quad
        \textrm{score}_v = \mathbf{h}_n^{\top} \mathbf{e}_v

    (all maps with biases). The paper reads one-hot items, which have vectors
    of their own for each gate, scores by another table, and trains by TOP1
    or BPR against the other targets of a mini-batch of parallel sessions.
    Here one table of items is read and scored by, as with the option
    ``constrained_embedding`` of the authors' code, no item has a bias, and
    the loss is the softmax over all items behind the last click of every
    sample, as for all models of this package.

    The paper and the authors' first code have :math:`\mathbf{U}
    (\mathbf{r}_t \odot \mathbf{h}_{t-1})` in the second line. Their code for
    PyTorch has what is written above, which is :class:`torch.nn.GRU` (with
    :math:`1 - \mathbf{z}` for :math:`\mathbf{z}`); the other order would take
    a loop over clicks and is left out.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        num_layers (int): Layers of units. (default: :obj:`1`)
        hidden_dropout (float): Dropout of what leaves each layer; none, as
            the paper has it for cross-entropy. (default: :obj:`0.0`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SessionModel`.

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import GRU4Rec
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> batch = NormalizeEdges()(list_batch([[1, 2, 1], [5]]))
        >>> GRU4Rec(num_items=9, hidden_channels=8).score(batch).size()
        torch.Size([2, 9])
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        num_layers: int = 1,
        hidden_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        self.num_layers = num_layers
        self.hidden_dropout = hidden_dropout
        self.gru = torch.nn.GRU(
            hidden_channels,
            hidden_channels,
            num_layers,
            dropout=hidden_dropout if num_layers > 1 else 0.0,
        )

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        _, state = self.gru(pack_clicks(x, data))
        return F.dropout(state[-1], self.hidden_dropout, self.training)


def pack_clicks(x: Tensor, data: Data) -> PackedSequence:
    r"""The clicks of a batch as :mod:`torch.nn` packs sequences: all first
    clicks, all second ones and so on, longer sessions before shorter ones.

    Args:
        x (Tensor): Vectors of the clicks, ``[L, d]``.
        data (Batch): The session graphs.
    """
    length = data.click_index_ptr.diff()
    order = length.argsort(descending=True)
    rank = order.argsort()
    session = data.batch.index_select(0, data.click_index)
    after = reversed_positions(data.click_index_ptr, x.size(0))
    place = length.index_select(0, session) - 1 - after
    click = (place * length.numel() + rank.index_select(0, session)).argsort()
    clicks = length.tolist()  # On the host, torch.nn wants the sizes.
    more = torch.tensor(clicks).view(-1, 1) > torch.arange(max(clicks))
    sizes = more.sum(dim=0)
    return PackedSequence(x.index_select(0, click), sizes, order, rank)
