r"""LESSR."""

from collections import Counter
from itertools import accumulate
from typing import Any, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import GRUCell, Linear, ModuleList, PReLU
from torch_geometric.data import Data
from torch_geometric.nn.norm import BatchNorm
from torch_geometric.utils import cumsum, scatter, softmax

from pyg_sessaug.nn.conv.relative_weights import RelativeWeights, find_edges
from pyg_sessaug.nn.models.gated_model import clicks_of_nodes
from pyg_sessaug.nn.models.session_model import SessionModel

Steps = Tuple[Tensor, Tensor, Tensor, List[int]]


class LESSR(SessionModel):
    r"""The model of `"Handling Information Loss of Graph Neural Networks for
    Session-based Recommendation" <https://doi.org/10.1145/3394486.3403170>`_.

    Two kinds of layers take turns, and each takes the vectors of all layers
    before it, joined: :math:`\mathbf{x}' = [f(\mathbf{x}) \,\Vert\,
    \mathbf{x}]`. The edge-order preserving aggregation (EOPA) reads the
    edges into a node as a sequence, in the order of the clicks, an edge that
    is taken twice two times:

    .. math::
        f(\mathbf{x})_i = \textrm{PReLU} \big( \mathbf{W}_{\textrm{self}}
        \mathbf{x}_i + \mathbf{W}_{\textrm{neigh}} \, \textrm{GRU}(
        \mathbf{x}_{j_1}, \ldots, \mathbf{x}_{j_k}) \big), \quad j_1
        \rightarrow i, \ldots, j_k \rightarrow i

    The attention over the shortcut graph (SGAT) lets node :math:`j` reach
    node :math:`i`, itself included, if a click on :math:`j` comes before or
    at one on :math:`i`:

    .. math::
        f(\mathbf{x})_i = \textrm{PReLU} \big( \textstyle\sum_j \alpha_{ij}
        \mathbf{W}_v \mathbf{x}_j \big), \quad \alpha_{ij} =
        \textrm{softmax}_j \big( \mathbf{p}^{\top} \sigma(\mathbf{W}_q
        \mathbf{x}_j + \mathbf{b} + \mathbf{W}_k \mathbf{x}_i) \big)

    The readout attends to all clicked nodes, once each:

    .. math::
        \mathbf{s} = \mathbf{W}_s \big[ \mathbf{x}_{\textrm{last}} \,\Vert\,
        \mathbf{W}_g \textstyle\sum_i \beta_i \mathbf{x}_i \big], \quad
        \beta = \textrm{softmax}_i \big( \mathbf{r}^{\top} \sigma(\mathbf{W}_u
        \mathbf{x}_i + \mathbf{W}_l \mathbf{x}_{\textrm{last}} +
        \mathbf{b}_l) \big)

    Every layer, the readout and :math:`\mathbf{W}_s` begin with a batch norm.
    So a session does depend on the rest of its batch in training, but not in
    evaluation; one row alone is always normalised as in evaluation.

    The weight :math:`w` of an edge
    (see :class:`~pyg_sessaug.nn.conv.relative_weights.RelativeWeights`, 1 in
    a plain graph) scales what it adds to the state of the GRU,
    :math:`\mathbf{h} + w (\textrm{GRU}(\mathbf{x}_j, \mathbf{h}) -
    \mathbf{h})`. Edges that no clicks make come behind the others.

    A shortcut graph has about half the square of a session's items in edges,
    and memory grows so: bound long sessions by :obj:`max_length` of the data
    set.

    The authors' code keeps item vectors within the unit ball, of which the
    paper says nothing, see :obj:`max_norm`.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        num_layers (int): Number of layers, EOPA and SGAT in turn.
            (default: :obj:`3`)
        max_norm (float, optional): Longer item vectors are cut to this
            length whenever some are looked up. (default: :obj:`None`)
        num_channels (int, optional): Combines so many weights of each edge,
            see :class:`~pyg_sessaug.nn.ChannelCombination`.
            (default: :obj:`None`, one weight and nothing to learn)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SessionModel`.

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import LESSR
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> batch = NormalizeEdges()(list_batch([[1, 2, 1], [5]]))
        >>> LESSR(num_items=9, hidden_channels=8).score(batch).size()
        torch.Size([2, 9])
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        num_layers: int = 3,
        max_norm: Optional[float] = None,
        num_channels: Optional[int] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        if num_layers < 0:
            raise ValueError(f'num_layers must be 0 or more, got {num_layers}')
        if max_norm is not None and not max_norm > 0:
            raise ValueError(
                f'max_norm must be positive or None, got {max_norm}'
            )
        self.num_layers = num_layers
        self.max_norm = max_norm
        self.num_channels = num_channels
        d = hidden_channels
        self.weights = RelativeWeights(num_channels)
        self.layers = ModuleList(
            (SGAT if i % 2 else EOPA)((i + 1) * d, d)
            for i in range(num_layers)
        )
        width = (num_layers + 1) * d
        self.norm_nodes = _norm(width)
        self.lin_node = Linear(width, d, bias=False)
        self.lin_last = Linear(width, d)
        self.lin_score = Linear(d, 1, bias=False)
        self.lin_pooled = Linear(width, d, bias=False)
        self.norm = _norm(width + d)
        self.lin = Linear(width + d, d, bias=False)

    def items(self, data: Data) -> Tensor:
        r"""Items to look up, ``[N]``, int64."""
        if self.max_norm is not None:
            with torch.no_grad():
                self.item_embedding.renorm_(2, 0, self.max_norm)
        return super().items(data)

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        graphs = edge_steps(data, self.weights(data)), shortcuts(data)
        for i, layer in enumerate(self.layers):
            x = torch.cat([layer(x, graphs[i % 2]), x], dim=1)
        last = data.click_index[data.click_index_ptr[1:] - 1]
        y = self.norm_nodes(x)
        query = self.lin_last(y[last]).index_select(0, data.batch)
        score = self.lin_score(torch.sigmoid(self.lin_node(y) + query))
        unseen = clicks_of_nodes(x, data).view(-1, 1) == 0
        beta = softmax(
            score.masked_fill(unseen, -torch.inf),
            data.batch,
            num_nodes=last.numel(),
        )
        pooled = self.lin_pooled(
            scatter(beta * y, data.batch, 0, last.numel(), 'sum')
        )
        return self.lin(self.norm(torch.cat([x[last], pooled], dim=1)))


class EOPA(torch.nn.Module):
    r"""Edge-order preserving aggregation, see :class:`LESSR`.

    Args:
        in_channels (int): Size of the node vectors.
        out_channels (int): Size of the result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = _norm(in_channels)
        self.gru = GRUCell(in_channels, in_channels)
        self.lin_self = Linear(in_channels, out_channels, bias=False)
        self.lin_neigh = Linear(in_channels, out_channels, bias=False)
        self.act = PReLU(out_channels)

    def forward(self, x: Tensor, steps: Steps) -> Tensor:
        r"""Node vectors, ``[N, out_channels]``.

        Args:
            x (Tensor): Node vectors, ``[N, in_channels]``.
            steps (tuple): What :func:`edge_steps` returns.
        """
        x = self.norm(x)
        gru, (src, dst, weight, sizes) = self.gru, steps
        inputs = F.linear(x.index_select(0, src), gru.weight_ih, gru.bias_ih)
        state = torch.zeros_like(x)
        for k, (a, i, w) in enumerate(
            zip(*(part.split(sizes) for part in (inputs, dst, weight)))
        ):
            old = state.index_select(0, i)
            # Most edges are the first of their node, with no state to map.
            b = gru.bias_hh.expand_as(a)
            if k > 0:
                b = F.linear(old, gru.weight_hh, gru.bias_hh)
            change = w.view(-1, 1) * (_gru(a, b, old) - old)
            state = state.index_add(0, i, change.to(x.dtype))
        out: Tensor = self.act(self.lin_self(x) + self.lin_neigh(state))
        return out


def _gru(a: Tensor, b: Tensor, state: Tensor) -> Tensor:
    r"""A gated recurrent unit behind its two maps."""
    d = state.size(1)
    reset, keep = (a[:, : 2 * d] + b[:, : 2 * d]).sigmoid().chunk(2, dim=1)
    new = torch.tanh(a[:, 2 * d :] + reset * b[:, 2 * d :])
    return new + keep * (state - new)


class SGAT(torch.nn.Module):
    r"""Attention over the shortcut graph, see :class:`LESSR`.

    Args:
        in_channels (int): Size of the node vectors.
        out_channels (int): Size of the result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = _norm(in_channels)
        self.lin_query = Linear(in_channels, out_channels)
        self.lin_key = Linear(in_channels, out_channels, bias=False)
        self.lin_value = Linear(in_channels, out_channels, bias=False)
        self.lin_score = Linear(out_channels, 1, bias=False)
        self.act = PReLU(out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        r"""Node vectors, ``[N, out_channels]``.

        Args:
            x (Tensor): Node vectors, ``[N, in_channels]``.
            edge_index (Tensor): What :func:`shortcuts` returns.
        """
        x = self.norm(x)
        src, dst = edge_index
        query = self.lin_query(x).index_select(0, src)
        key = self.lin_key(x).index_select(0, dst)
        score = self.lin_score(torch.sigmoid(query + key))
        alpha = softmax(score, dst, num_nodes=x.size(0))
        message = alpha * self.lin_value(x).index_select(0, src)
        out: Tensor = self.act(scatter(message, dst, 0, x.size(0), 'sum'))
        return out


def _norm(channels: int) -> BatchNorm:
    return BatchNorm(channels, allow_single_element=True)


def edge_steps(data: Data, weight: Tensor) -> Steps:
    r"""The edges of the edge-order preserving multigraph, in steps: the
    :math:`k`-th one into each node is in step :math:`k`.

    Args:
        data (Batch): The session graphs.
        weight (Tensor): Weights of the edges, ``[E, 2]``.

    Returns:
        (Tensor, Tensor, Tensor, list): Source, target and weight of each
        edge, step after step, and the number of edges of each step.
    """
    num_nodes, edge_index = data.num_nodes, data.edge_index
    # Transitions, an edge each time it is taken, and then the other edges.
    begins = torch.zeros_like(data.click_index, dtype=torch.bool)
    begins[data.click_index_ptr[:-1]] = True
    pair = torch.stack([data.click_index[:-1], data.click_index[1:]])
    edge, known = find_edges(edge_index, pair, num_nodes)
    taken = known & ~begins[1:]
    every = torch.arange(edge_index.size(1), device=edge.device)
    if every.numel() == 0:  # Pairs have none to name.
        edge, taken = every, taken[:0]
    uses = torch.zeros_like(every).index_add(0, edge, taken.long())
    edge, kept = torch.cat([edge, every]), torch.cat([taken, uses == 0])

    dst = edge_index[1].index_select(0, edge)
    into = torch.zeros(num_nodes, dtype=torch.long, device=edge.device)
    into = into.index_add(0, dst, kept.long())
    # All that the host needs to know, at once: edges into each node. At
    # least two steps, so that every parameter takes part.
    nodes = Counter(into.tolist())
    fewer = range(max([2, *nodes]), 0, -1)
    sizes: List[int] = [*accumulate(nodes[k] for k in fewer)][::-1]

    # By target, those to leave out behind all others.
    order = torch.where(kept, dst, num_nodes).argsort(stable=True)
    edge = edge.index_select(0, order[: sum(sizes)])
    src, dst = edge_index.index_select(1, edge)
    rank = torch.arange(edge.numel(), device=edge.device)
    rank = rank - cumsum(into).index_select(0, dst)
    order = rank.argsort(stable=True)
    return src[order], dst[order], weight[edge[order], 0], sizes


def shortcuts(data: Data) -> Tensor:
    r"""The shortcut graph: an edge from each node to every one that is
    clicked at the same time or later, ``[2, S]``, int64.

    Args:
        data (Batch): The session graphs.
    """
    click = data.click_index
    time = torch.arange(click.numel(), device=click.device)
    first = time.new_full((data.num_nodes,), click.numel())
    first = first.scatter_reduce(0, click, time, 'amin')
    last = time.new_full((data.num_nodes,), -1)
    last = last.scatter_reduce(0, click, time, 'amax')
    # By first click, those that reach a node stand in one range.
    first, order = first.sort()
    begin = data.click_index_ptr.index_select(0, data.batch)
    begin = torch.searchsorted(first, begin)
    end = torch.searchsorted(first, last, right=True)
    count = (end - begin).clamp(min=0)
    dst = torch.repeat_interleave(count)
    place = torch.arange(dst.numel(), device=dst.device)
    place = place + (begin - cumsum(count)[:-1]).index_select(0, dst)
    return torch.stack([order.index_select(0, place), dst])
