r"""GC-SAN."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, ModuleList
from torch_geometric.data import Data
from torch_geometric.utils import to_dense_batch

from pyg_sessaug.nn.models.gated_model import GatedModel


class GCSAN(GatedModel):
    r"""The model of `"Graph Contextualized Self-Attention Network for
    Session-based Recommendation" <https://www.ijcai.org/proceedings/2019/547>`_.

    Blocks of self-attention over the clicks that come from the graph network,
    mixed with the last click:

    .. math::
        \mathbf{F} = \textrm{softmax}\Big(\frac{(\mathbf{X} \mathbf{W}_Q)
        (\mathbf{X} \mathbf{W}_K)^{\top}}{\sqrt{d}}\Big) \mathbf{X}
        \mathbf{W}_V, \quad \mathbf{X}' = \textrm{ReLU}(\mathbf{F}
        \mathbf{W}_1 + \mathbf{b}_1) \mathbf{W}_2 + \mathbf{b}_2 + \mathbf{F}

        \mathbf{s} = \omega \, \mathbf{x}^{(k)}_{\textrm{last}} + (1 - \omega)
        \, \mathbf{x}^{(0)}_{\textrm{last}}

    Blocks are the paper's: one head, neither layer norm nor positions nor a
    mask of later clicks. RecBole's code has Transformer layers instead. Its
    number of blocks, dropout and weight are the defaults here.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        num_layers (int): How often the one cell is applied; 0 leaves the
            graph out. (default: :obj:`1`)
        num_blocks (int): Number :math:`k` of blocks. (default: :obj:`1`)
        weight (float): Weight :math:`\omega` of the last block; best
            from 0.4 to 0.8, says the paper. (default: :obj:`0.6`)
        block_dropout (float): Share of the entries set to zero in training
            that a block adds to :math:`\mathbf{F}`. (default: :obj:`0.2`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SRGNN`.

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import GCSAN
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> batch = NormalizeEdges()(list_batch([[1, 2, 1], [5]]))
        >>> GCSAN(num_items=9, hidden_channels=8).score(batch).size()
        torch.Size([2, 9])
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        num_layers: int = 1,
        num_blocks: int = 1,
        weight: float = 0.6,
        block_dropout: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_items, hidden_channels, num_layers=num_layers, **kwargs
        )
        if num_blocks < 1:
            raise ValueError(f'num_blocks must be 1 or more, got {num_blocks}')
        self.num_blocks = num_blocks
        self.weight = weight
        self.block_dropout = block_dropout
        self.blocks = ModuleList(
            _Block(hidden_channels, block_dropout) for _ in range(num_blocks)
        )

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        click, ptr = data.click_index, data.click_index_ptr
        x = self.propagate(x, data).index_select(0, click)
        last = x.index_select(0, ptr[1:] - 1)
        session = data.batch.index_select(0, click)
        x, known = to_dense_batch(x, session, batch_size=last.size(0))
        for block in self.blocks[:-1]:
            x = block(x, x, known)
        # Of the last block, the last click is enough.
        index = (ptr.diff() - 1).view(-1, 1, 1).expand(-1, 1, x.size(2))
        x = self.blocks[-1](x.gather(1, index), x, known)
        return self.weight * x.squeeze(1) + (1 - self.weight) * last


class _Block(torch.nn.Module):
    r"""Self-attention and a map with a bypass.

    Args:
        channels (int): Size :math:`d` of all vectors.
        dropout (float): Share of entries set to zero in training.

    Shapes:
        - **input:** the clicks that attend :math:`(B, M, d)`, all clicks
          :math:`(B, L, d)`, and which of these there are :math:`(B, L)`
        - **output:** :math:`(B, M, d)`
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.lin_query = Linear(channels, channels, bias=False)
        self.lin_key = Linear(channels, channels, bias=False)
        self.lin_value = Linear(channels, channels, bias=False)
        self.lin1 = Linear(channels, channels)
        self.lin2 = Linear(channels, channels)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, query: Tensor, x: Tensor, known: Tensor) -> Tensor:
        out = F.scaled_dot_product_attention(
            self.lin_query(query),
            self.lin_key(x),
            self.lin_value(x),
            attn_mask=known.unsqueeze(1),
        )
        return self.dropout(self.lin2(F.relu(self.lin1(out)))) + out
