r"""GCE-GNN."""

from typing import Any, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, ModuleList, Parameter
from torch_geometric.data import Data
from torch_geometric.nn.inits import normal
from torch_geometric.utils import cumsum, scatter

from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.nn.aggr.positions import ReversedPositions
from pyg_sessaug.nn.conv.relative_weights import RelativeWeights, find_edges
from pyg_sessaug.nn.models.session_model import (
    SessionModel,
    check_training,
)


class GCEGNN(SessionModel):
    r"""The model of `"Global Context Enhanced Graph Neural Networks for
    Session-based Recommendation" <https://arxiv.org/abs/2106.05081>`_.

    Make it by :meth:`from_dataset`, which counts the global graph: the items
    most often clicked within three clicks of an item, in training sessions.
    Its layer asks the neighbours :math:`j` of an item, with their counts
    :math:`c_{ij}`, what the session is about; :math:`\mathbf{m}` is the mean
    of the session's clicks:

    .. math::
        \mathbf{h}^g_i = \textrm{ReLU} \big( \mathbf{W}_2 [\mathbf{h}_i
        \,\Vert\, \textstyle\sum_j \pi_{ij} \mathbf{h}_j] \big), \quad \pi =
        \textrm{softmax}_j \big( \mathbf{q}_1^{\top} \textrm{LeakyReLU}(
        \mathbf{W}_1 [\mathbf{m} \odot \mathbf{h}_j \,\Vert\, c_{ij}]) \big)

    The session graph joins an item with itself and those clicked before or
    behind it, and :math:`r_{ij}` tells whether :math:`j` is the same item,
    before it, behind it, or both:

    .. math::
        \mathbf{h}^s_i = \textstyle\sum_j \alpha_{ij} \mathbf{h}_j, \quad
        \alpha = \textrm{softmax}_j \big( \textrm{LeakyReLU}(
        \mathbf{a}_{r_{ij}}^{\top} (\mathbf{h}_i \odot \mathbf{h}_j)) \big)

    Their sum :math:`\mathbf{h}' = \textrm{dropout}(\mathbf{h}^g) +
    \mathbf{h}^s` is read out with positions counted from the last of the
    :math:`n` clicks, where :math:`\mathbf{m}'` is the mean of
    :math:`\mathbf{h}'` over the clicks:

    .. math::
        \mathbf{s} = \textstyle\sum_t \mathbf{q}_2^{\top} \sigma(\mathbf{W}_4
        \mathbf{z}_t + \mathbf{W}_5 \mathbf{m}' + \mathbf{b}_4) \,
        \mathbf{h}'_t, \quad \mathbf{z}_t = \tanh(\mathbf{W}_3
        [\mathbf{h}'_t \,\Vert\, \mathbf{p}_{n - t + 1}] + \mathbf{b}_3)

    The weight of an edge
    (see :class:`~pyg_sessaug.nn.conv.relative_weights.RelativeWeights`, 1 in
    a plain graph) multiplies its :math:`\exp` in the softmax. Where
    :math:`j` is before :math:`i` with weight :math:`u` and behind it with
    :math:`v`, it counts as both with :math:`uv`, as before with :math:`u (1 -
    v)` and as behind with :math:`v (1 - u)`. Weights below zero, which are
    noise, count in the denominator by their size.

    Like the paper, and unlike the authors' code, an item has fewer
    neighbours if there are no more (the code draws some again, or takes a
    padding item); both sides of a pair that is clicked in both orders see it
    as both (the code forgets one); :math:`\mathbf{W}_1` has :math:`d + 1`
    rows; all layers start from :math:`\mathcal{N}(0, 0.1)`. Counts are those
    of the code: whole training sessions, the sample's own among them, and an
    item clicked again within three clicks is its own neighbour. Two more
    dropouts of the code, off by default there, are left out.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        graph (tuple, optional): Edges ``[2, E]`` int64 of the global graph
            and their counts ``[E]``, which are positive; of each item the
            heaviest edges out of it are kept, of equal ones those to lower
            items. (default: :obj:`None`, no edges, or those of a state that
            is loaded)
        num_neighbors (int): Neighbours of each item. (default: :obj:`12`)
        num_hops (int): Layers of the global graph; the paper takes 2 on
            Diginetica and 1 elsewhere. (default: :obj:`1`)
        global_dropout (float): Share of the entries of :math:`\mathbf{h}^g`
            set to zero in training. (default: :obj:`0.5`)
        max_length (int): Number of positions; clicks further back share the
            last. (default: :obj:`200`)
        num_channels (int, optional): Combines so many weights of each edge,
            see :class:`~pyg_sessaug.nn.ChannelCombination`.
            (default: :obj:`None`, one weight and nothing to learn)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SessionModel`.

    Example:
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> from pyg_sessaug.nn import GCEGNN
        >>> train = MultimodalSessions('data', num_sessions=100, num_items=30)
        >>> model = GCEGNN.from_dataset(train, 8)  # Counts its global graph.
        >>> model.num_items
        30
    """

    neighbor: Tensor
    count: Tensor

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        graph: Optional[Tuple[Tensor, Tensor]] = None,
        *,
        num_neighbors: int = 12,
        num_hops: int = 1,
        global_dropout: float = 0.5,
        max_length: int = 200,
        num_channels: Optional[int] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        for name, value in (
            ('num_neighbors', num_neighbors),
            ('num_hops', num_hops),
            ('max_length', max_length),
        ):
            if value < 1:
                raise ValueError(f'{name} must be 1 or more, got {value}')
        if not 0.0 <= global_dropout < 1.0:
            raise ValueError(
                f'global_dropout must be in [0, 1), got {global_dropout}'
            )
        self.num_neighbors = num_neighbors
        self.num_hops = num_hops
        self.global_dropout = global_dropout
        self.max_length = max_length
        self.num_channels = num_channels
        d = hidden_channels
        neighbor, count = _heaviest(graph, num_items, num_neighbors)
        self.register_buffer('neighbor', neighbor)
        self.register_buffer('count', count)
        self.hops = ModuleList(_GlobalLayer(d) for _ in range(num_hops))
        self.weights = RelativeWeights(num_channels)
        self.relation = Parameter(torch.empty(4, d))
        self.position = ReversedPositions(max_length, d)
        self.lin_position = Linear(2 * d, d)
        self.lin_click = Linear(d, d)
        self.lin_mean = Linear(d, d, bias=False)
        self.lin_score = Linear(d, 1, bias=False)
        GCEGNN.reset_parameters(self)

    def observe(self, dataset: Any) -> None:
        r"""Counts the global graph of a data set.

        Args:
            dataset (SessionDataset): The training samples.

        Raises:
            ValueError: If the data are not those of training.
        """
        check_training(self, dataset)
        graph = global_graph(dataset.flat_sessions)
        neighbor, count = _heaviest(graph, self.num_items, self.num_neighbors)
        self.neighbor = neighbor.to(self.neighbor.device)
        self.count = count.to(self.count.device)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if not name.startswith(('item_embedding', 'weights.')):
                normal(parameter, mean=0.0, std=0.1)

    def items(self, data: Data) -> Tensor:
        r"""Items of the nodes, then their neighbours hop by hop, ``[N + N K +
        ...]``, int64.
        """
        return torch.cat([x.view(-1) for x in self._neighborhood(data.x)])

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        num_nodes, num_graphs = data.num_nodes, data.ptr.numel() - 1
        click = data.click_index
        graph = data.batch.index_select(0, click)
        local = self._local(x[:num_nodes], data)
        mean = scatter(x[click], graph, 0, num_graphs, 'mean')
        x = self._global(x, data, mean.index_select(0, data.batch))
        x = local + F.dropout(x, self.global_dropout, self.training)

        x = x.index_select(0, click)
        mean = scatter(x, graph, 0, num_graphs, 'mean')
        position = self.position(data.click_index_ptr, click.numel())
        z = torch.tanh(self.lin_position(torch.cat([x, position], dim=1)))
        gate = self.lin_click(z) + self.lin_mean(mean).index_select(0, graph)
        beta = self.lin_score(torch.sigmoid(gate))
        return scatter(beta * x, graph, 0, num_graphs, 'sum')

    def _neighborhood(self, item: Tensor) -> List[Tensor]:
        r"""The given items, their neighbours, theirs, and so on."""
        out = [item]
        for _ in self.hops:
            out.append(self.neighbor[out[-1]])
        return out

    def _global(self, x: Tensor, data: Data, mean: Tensor) -> Tensor:
        r"""Vectors by the global graph, ``[N, d]``."""
        k = self.num_neighbors
        items = self._neighborhood(data.x)
        levels = list(x.split([level.numel() for level in items]))
        counts = [self.count[level].view(-1, k) for level in items[:-1]]
        means = [mean]
        while len(means) < len(counts):
            means.append(means[-1].repeat_interleave(k, dim=0))
        for layer in self.hops:
            levels = [
                layer(near, far.view(-1, k, far.size(1)), count, m)
                for near, far, count, m in zip(
                    levels, levels[1:], counts, means
                )
            ]
        return levels[0]

    def _local(self, x: Tensor, data: Data) -> Tensor:
        r"""Vectors by the session graph, ``[N, d]``."""
        edge_index, num_nodes = data.edge_index, x.size(0)
        src, dst = edge_index
        # An item is joined with itself whether or not there is a loop.
        weight = self.weights(data) * (src != dst).view(-1, 1)
        back, found = find_edges(edge_index, edge_index.flip(0), num_nodes)
        into, out = weight.unbind(1)
        back_into, back_out = (weight[back] * found.view(-1, 1)).unbind(1)
        pair = x.index_select(0, src) * x.index_select(0, dst)
        score = pair @ self.relation[1:].t()
        node = torch.arange(num_nodes, device=x.device)

        # The same item, before, behind, both:
        row = torch.cat([node, dst, src, dst])
        column = torch.cat([node, src, dst, src])
        score = torch.cat([(x * x) @ self.relation[0], *score.unbind(1)])
        weight = torch.cat(
            [
                torch.ones_like(score[:num_nodes]),
                into * (1 - back_out),
                out * (1 - back_into),
                into * back_out,
            ]
        )
        score = F.leaky_relu(score, 0.2).masked_fill(weight == 0, -torch.inf)
        top = scatter(score.detach(), row, 0, num_nodes, 'max')
        alpha = weight * torch.exp(score - top.index_select(0, row))
        total = scatter(alpha.abs(), row, 0, num_nodes, 'sum')
        message = alpha.view(-1, 1) * x.index_select(0, column)
        return scatter(message, row, 0, num_nodes, 'sum') / total.view(-1, 1)


class _GlobalLayer(torch.nn.Module):
    r"""One hop of the global graph, see :class:`GCEGNN`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lin_neighbor = Linear(channels + 1, channels + 1, bias=False)
        self.lin_score = Linear(channels + 1, 1, bias=False)
        self.lin = Linear(2 * channels, channels, bias=False)

    def forward(
        self, x: Tensor, neighbor: Tensor, count: Tensor, mean: Tensor
    ) -> Tensor:
        r"""Vectors ``[n, d]`` from those of items ``[n, d]``, of their
        neighbours ``[n, K, d]`` with counts ``[n, K]``, and of the means of
        their sessions ``[n, d]``.
        """
        score = torch.cat(
            [mean.unsqueeze(1) * neighbor, count.unsqueeze(2)], dim=2
        )
        score = F.leaky_relu(self.lin_neighbor(score), 0.2)
        score = self.lin_score(score).squeeze(2)
        # Not infinity: an item may have no neighbours at all.
        none = count == 0
        score = score.masked_fill(none, torch.finfo(score.dtype).min)
        pi = score.softmax(dim=1).masked_fill(none, 0.0)
        out = (pi.unsqueeze(1) @ neighbor).squeeze(1)
        return torch.relu(self.lin(torch.cat([x, out], dim=1)))


def global_graph(
    sessions: Sessions, max_distance: int = 3
) -> Tuple[Tensor, Tensor]:
    r"""How often items are clicked near each other, in either order.

    Args:
        sessions (Sessions): The training sessions.
        max_distance (int): Largest distance of two clicks in a session.
            (default: :obj:`3`)

    Returns:
        (Tensor, Tensor): Pairs of items, each in both directions, ``[2, E]``
        int64 in ascending order, and their counts ``[E]`` int64.
    """
    item, session = sessions.item, torch.repeat_interleave(sessions.length)
    size = int(item.max()) + 1
    keys = []
    for gap in range(1, max_distance + 1):
        same = session[gap:] == session[:-gap]
        left, right = item[:-gap][same], item[gap:][same]
        keys += [left * size + right, right * size + left]
    key, count = torch.cat(keys).unique(return_counts=True)
    return torch.stack([key // size, key % size]), count


def _heaviest(
    graph: Optional[Tuple[Tensor, Tensor]], num_items: int, num_neighbors: int
) -> Tuple[Tensor, Tensor]:
    r"""The heaviest edges out of each item: where to, ``[num_items,
    num_neighbors]`` int64, and their counts, of that shape, float32.

    Where an item has fewer neighbours, it stands for them itself, zero times.
    So tables of any graph have one size, and states load.
    """
    item = torch.arange(num_items).view(-1, 1)
    neighbor = item.repeat(1, num_neighbors)
    count = torch.zeros(num_items, num_neighbors)
    if graph is None:
        return neighbor, count
    edge_index, weight = graph[0].cpu(), graph[1].cpu()
    order = edge_index[1].argsort(stable=True)
    order = order[weight[order].argsort(descending=True, stable=True)]
    order = order[edge_index[0, order].argsort(stable=True)]
    src, dst = edge_index[:, order]
    degree = torch.bincount(src, minlength=num_items)
    rank = torch.arange(src.numel()) - cumsum(degree)[src]
    kept = rank < num_neighbors
    place = src[kept], rank[kept]
    neighbor[place] = dst[kept]
    count[place] = weight[order][kept].to(count.dtype)
    return neighbor, count
