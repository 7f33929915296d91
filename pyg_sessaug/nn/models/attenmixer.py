r"""Atten-Mixer."""

from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import LayerNorm, Linear, ModuleList
from torch_geometric.data import Data
from torch_geometric.utils import scatter, softmax

from pyg_sessaug.nn.models.session_model import SessionModel


class AttenMixer(SessionModel):
    r"""The model of `"Efficiently Leveraging Multi-level User Intent for
    Session-based Recommendation via Atten-Mixer Network"
    <https://arxiv.org/abs/2206.12781>`_.

    There is no graph: the last :math:`1, \ldots, I` of the clicks
    :math:`\mathbf{x}_1, \ldots, \mathbf{x}_n` ask all of them, in :math:`H`
    heads, and the maps of attention are pooled:

    .. math::
        \mathbf{q}_i &= \mathbf{W}^{q}_i \sum_{p > n - i} \mathbf{x}_p +
        \mathbf{b}^{q}_i, \quad \mathbf{k}_p = \mathbf{W}^{k} \mathbf{x}_p +
        \mathbf{b}^{k}, \quad \mathbf{v}_p = \mathbf{W}^{v} \mathbf{x}_p +
        \mathbf{b}^{v}

        \alpha_{ip}^{h} &= \textrm{softmax}_p \big( 2 \, \sigma(
        \mathbf{q}_i^{h \top} \mathbf{k}_p^{h}) \big), \quad
        \beta_p^{h} = \textrm{softmax}_p \Big( 2 \, \big( \textstyle\sum_i
        (\alpha_{ip}^{h})^P \big)^{1/P} \Big)

        \mathbf{s} &= \mathbf{W} \big[ \textrm{LayerNorm} \big( \Vert_h
        \textstyle\sum_p \beta_p^{h} \mathbf{v}_p^{h} \big) \,\Vert\,
        \mathbf{x}_n \big] + \mathbf{b}

    Where a session has fewer than :math:`i` clicks, the sum has those that
    there are. Items are scored by their cosine times :obj:`scale`.

    As in the paper, a query does not depend on the order of its clicks; the
    authors' code joins them instead, see :obj:`ordered`. The softmax of
    sigmoids and the norm are of their code, but its heads are not followed:
    it cuts them across positions, and its softmax runs over padding, so that
    scores depend on the rest of the batch. The code drops entries of the
    candidates as well: :obj:`table_dropout=0.1`, which makes a step a quarter
    longer. The authors take :math:`d = 256`.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        num_queries (int): Number :math:`I` of queries. (default: :obj:`7`)
        heads (int): Number :math:`H` of heads of
            :math:`\lceil d / H \rceil` channels. (default: :obj:`8`)
        power (float): Power :math:`P` of the pooling. (default: :obj:`4.0`)
        ordered (bool): Whether query :math:`i` is made of its clicks joined,
            newest first and zeros where there are none, and not of their
            sum. (default: :obj:`False`)
        scale (float, optional): Scale of cosine scores.
            (default: :obj:`16.0`)
        dropout (float): Share of the entries of looked-up item vectors, and
            of :math:`\beta_p^{h}`, set to zero in training.
            (default: :obj:`0.1`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SessionModel`.

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import AttenMixer
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> batch = NormalizeEdges()(list_batch([[1, 2, 1], [5]]))
        >>> AttenMixer(num_items=9, hidden_channels=8).score(batch).size()
        torch.Size([2, 9])
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        num_queries: int = 7,
        heads: int = 8,
        power: float = 4.0,
        ordered: bool = False,
        scale: Optional[float] = 16.0,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_items, hidden_channels, scale=scale, dropout=dropout, **kwargs
        )
        for name, value in (('num_queries', num_queries), ('heads', heads)):
            if value < 1:
                raise ValueError(f'{name} must be 1 or more, got {value}')
        if not power >= 1:
            raise ValueError(f'power must be 1 or more, got {power}')
        self.num_queries = num_queries
        self.heads = heads
        self.power = power
        self.ordered = ordered
        d, inner = hidden_channels, heads * -(-hidden_channels // heads)
        self.lin_query = ModuleList(
            Linear((i + 1) * d if ordered else d, inner)
            for i in range(num_queries)
        )
        self.lin_key = Linear(d, inner)
        self.lin_value = Linear(d, inner)
        self.norm = LayerNorm(inner)
        self.lin = Linear(inner + d, d)

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        num_graphs = data.ptr.numel() - 1
        graph = data.batch.index_select(0, data.click_index)
        split = [self.heads, -1]
        query = self._queries(x, data).unflatten(-1, split)
        key, value = (
            lin(x).index_select(0, data.click_index).unflatten(-1, split)
            for lin in (self.lin_key, self.lin_value)
        )
        # Of clicks, queries and heads:
        alpha = (query.index_select(0, graph) * key.unsqueeze(1)).sum(dim=-1)
        alpha = softmax(2 * alpha.sigmoid(), graph, num_nodes=num_graphs)
        beta = torch.linalg.vector_norm(alpha, self.power, dim=1)
        beta = softmax(2 * beta, graph, num_nodes=num_graphs)
        beta = F.dropout(beta, self.dropout, self.training)
        pooled = scatter(beta.unsqueeze(-1) * value, graph, 0, num_graphs)
        last = data.click_index[data.click_index_ptr[1:] - 1]
        return self.lin(
            torch.cat([self.norm(pooled.flatten(1)), x[last]], dim=1)
        )

    def _queries(self, x: Tensor, data: Data) -> Tensor:
        r"""Queries of each session, ``[B, num_queries, heads * size]``."""
        begin, end = data.click_index_ptr[:-1], data.click_index_ptr[1:]
        ago = torch.arange(self.num_queries, device=x.device)
        place = end.view(-1, 1) - 1 - ago
        known = place >= begin.view(-1, 1)
        newest = x[data.click_index[place.clamp(min=0)]]
        newest = newest * known.unsqueeze(-1).to(x.dtype)
        if self.ordered:
            clicks = [newest[:, : i + 1].flatten(1) for i in range(len(ago))]
        else:
            clicks = list(newest.cumsum(dim=1).unbind(dim=1))
        return torch.stack(
            [lin(part) for lin, part in zip(self.lin_query, clicks)], dim=1
        )
