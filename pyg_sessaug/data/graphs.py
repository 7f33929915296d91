r"""Session graphs: from flat sessions to PyG ``Data`` and ``Batch``."""

import copy
from itertools import chain, pairwise
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import Compose
from torch_geometric.utils import cumsum

from pyg_sessaug.data.sessions import Array, Sessions, expand_numpy_ranges

# Made once: a batch is of a class that PyG makes up anew each time.
_EMPTY = Batch(_base_cls=Data)

#: A value of all graphs, where each one's part of it begins, and whether it
#: counts nodes.
Part = Tuple[Tensor, Tensor, bool]


class SessionGraphs:
    r"""The graphs of all samples of a set of sessions.

    Nodes stand in order of first click and edges in order of first
    transition. They are found when a graph or a batch of graphs is asked
    for, all graphs at once, so that memory holds no more than the sessions.

    Args:
        sessions (Sessions): The sessions and their samples.
        number (Tensor, optional): What graphs carry as the number of their
            session, ``[num_sessions]``, int64. (default: :obj:`None`, they
            carry none)

    Raises:
        ValueError: If an item is negative, or too large to be told apart.
    """

    def __init__(
        self, sessions: Sessions, number: Optional[Tensor] = None
    ) -> None:
        self.sessions, self.number = sessions, number
        item = sessions.kept
        low, high = map(int, item.aminmax()) if item.numel() > 0 else (0, 0)
        if low < 0 or sessions.num_sessions * (high + 1) > 2**63:
            raise ValueError(
                f'the sessions hold items from {low} to {high}; number them '
                f'0 to num_items - 1'
            )

    def data(self, index: int) -> Data:
        r"""The graph of one sample.

        Args:
            index (int): Sample number.

        Returns:
            Data: With :obj:`x` [N] int64, :obj:`edge_index` [2, E] int64,
            :obj:`edge_weight` [E] float32 ones, :obj:`click_index` [L] int64,
            :obj:`y` [1] int64 and, where known, :obj:`session` [1] int64
            and :obj:`click_time` [L] float32.
        """
        values, _ = self._graphs(np.array([index]))
        return Data(**{key: value for key, (value, _, _) in values.items()})

    def batch(self, index: Tensor) -> Batch:
        r"""The graphs of several samples as one batch.

        Equal to ``Batch.from_data_list([self.data(i) for i in index],
        follow_batch=['click_index'])``, without a loop over samples.

        Args:
            index (Tensor): Sample numbers, ``[B]``, int64.
        """
        values, pointers = self._graphs(index.numpy())
        return _make_batch(values, *pointers)

    def _graphs(self, index: Array) -> Tuple[Dict[str, Part], List[Tensor]]:
        r"""What :func:`_make_batch` makes a batch of."""
        # At the size of a batch NumPy's calls cost half of torch's. Views of
        # sessions are not kept: a tensor that goes to a worker by other means
        # than a fork moves to shared memory, and a view would stay behind.
        kept, time = self.sessions.kept.numpy(), self.sessions.time
        session, target = self.sessions.locate(index)
        start = self.sessions.ptr.numpy()[session]
        click, click_graph, click_ptr = expand_numpy_ranges(
            start, target - start
        )
        item = kept[click].astype(np.int64)
        graphs = np.arange(index.size + 1)

        # Nodes: the distinct items of a session, by first click.
        width = item.max(initial=0) + 1
        is_new, first = _first_occurrence(click_graph * width + item)
        node_graph = click_graph[is_new]
        ptr = node_graph.searchsorted(graphs)
        click_node = (is_new.cumsum() - 1)[first]

        # Edges: the distinct transitions of a session, by first occurrence.
        step = (click_graph[1:] == click_graph[:-1]).nonzero()[0]
        src, dst = click_node[step], click_node[step + 1]
        new_edge, _ = _first_occurrence(src * node_graph.size + dst)
        edge_ptr = click_graph[step[new_edge]].searchsorted(graphs)
        edge_index = np.stack([src[new_edge], dst[new_edge]])
        weight = np.ones(edge_index.shape[1], np.float32)

        # Value, its pointers, and whether it counts nodes of the batch:
        values = {
            'x': (item[is_new], ptr, False),
            'edge_index': (edge_index, edge_ptr, True),
            'edge_weight': (weight, edge_ptr, False),
            'click_index': (click_node, click_ptr, True),
            'y': (kept[target].astype(np.int64), graphs, False),
        }
        if self.number is not None:
            number = self.number.numpy()[session]
            values['session'] = (number, graphs, False)
        if time is not None:  # Seconds since the session began.
            seconds = time.numpy()
            since = seconds[click] - seconds[start][click_graph]
            values['click_time'] = (
                since.astype(np.float32), click_ptr, False
            )  # fmt: skip
        tensor = torch.from_numpy
        return (
            {k: (tensor(v[0]), tensor(v[1]), v[2]) for k, v in values.items()},
            [*map(tensor, (node_graph, ptr, click_graph, click_ptr))],
        )


def graph_by_graph(
    transform: Optional[Callable[..., Any]],
) -> List[Callable[..., Any]]:
    r"""The transforms within one that take one graph at a time.

    They are all that do not say :obj:`batchwise = True`: PyG's contract is
    one graph. A :class:`torch_geometric.transforms.Compose`, and whatever
    keeps others in :obj:`transforms`, takes batches if all of these do.

    Args:
        transform (callable, optional): The transform, or :obj:`None`.
    """
    if transform is None:
        return []
    composes = getattr(type(transform), 'forward', None) is Compose.forward
    if not composes and not getattr(transform, 'batchwise', False):
        return [transform]
    within = getattr(transform, 'transforms', ())
    return [single for part in within for single in graph_by_graph(part)]


def node_batch(data: Data) -> Tuple[Tensor, Tensor]:
    r"""Graph of each node, and where each graph's nodes begin.

    Args:
        data (Data): A graph, or a batch of graphs.

    Returns:
        (Tensor, Tensor): ``[N]`` int64, and ``[num_graphs + 1]`` int64 whose
        last entry is the number of nodes.
    """
    batch, ptr = data.get('batch'), data.get('ptr')
    if batch is None:
        batch = data.edge_index.new_zeros(data.num_nodes)
        ptr = batch.new_tensor([0, batch.numel()])
    elif ptr is None:
        ptr = cumsum(torch.bincount(batch))
    return batch, ptr


def select_graphs(data: Data, keep: Tensor) -> Data:
    r"""Some graphs of a batch, as a batch that models can read.

    It holds what they need and nothing else: :obj:`x`, :obj:`edge_index`,
    :obj:`edge_attr`, :obj:`click_index`, :obj:`y` and :obj:`session` where
    there are such, and pointers.

    Args:
        data (Data): A graph, or a batch of graphs.
        keep (Tensor): Whether to keep each graph, ``[num_graphs]``, bool.
    """
    batch, ptr = node_batch(data)
    node = keep[batch]
    edge, click = node[data.edge_index[0]], node[data.click_index]
    place, graph = node.cumsum(0) - 1, keep.cumsum(0) - 1
    clicks = torch.bincount(batch[data.click_index], minlength=keep.numel())
    out = Data(
        x=data.x[node],
        edge_index=place[data.edge_index[:, edge]],
        edge_attr=data.edge_attr[edge],
        click_index=place[data.click_index[click]],
        click_index_ptr=cumsum(clicks[keep]),
        batch=graph[batch[node]],
        ptr=cumsum(ptr.diff()[keep]),
    )
    for key in ('y', 'session'):
        if key in data:
            out[key] = data[key][keep]
    return out


def edge_weight(data: Data) -> Tensor:
    r"""Weight of each edge, ``[E]`` floating; ones where none is set."""
    weight = data.get('edge_weight')
    if weight is None:
        return torch.ones(
            data.edge_index.size(1), device=data.edge_index.device
        )
    return weight if weight.is_floating_point() else weight.float()


def with_edges(
    data: Data, graph: Optional[Tensor] = None, **values: Tensor
) -> Data:
    r"""Sets edge tensors and keeps a batch separable.

    Shares of the weights, :obj:`edge_attr`, do not outlive the weights that
    they were made from.

    PyG rebuilds the graphs of a batch from records of where each graph's
    part of a tensor begins; a tensor set without them is dropped, or cut at
    stale places, by ``Batch.to_data_list``.

    Args:
        data (Data): A graph or batch; changed, so pass a copy.
        graph (Tensor, optional): Graph of each edge in non-descending order,
            ``[E]`` int64, where the number of edges changes; then
            :obj:`values` must hold :obj:`edge_index` too.
            (default: :obj:`None`, the edges stay the same)
        **values (Tensor): New tensors with one entry per edge, by name.
    """
    stale = {'edge_attr'} if 'edge_weight' in values else set()
    stale -= values.keys()
    # The names of a batch take a while to list.
    for key in stale.intersection(data.keys()) if stale else ():
        del data[key]
    for key, value in values.items():
        data[key] = value
    if not hasattr(data, '_slice_dict'):
        return data
    slices, incs = (
        {key: value for key, value in record.items() if key not in stale}
        for record in (data._slice_dict, data._inc_dict)
    )
    edge_ptr = slices['edge_index']
    if graph is not None:
        # Unlike bincount, of a size known beforehand.
        count = graph.new_zeros(edge_ptr.numel() - 1)
        count.index_add_(0, graph, torch.ones_like(graph))
        edge_ptr = cumsum(count).to(edge_ptr.device)
        for key in values:
            if f'{key}_batch' in data:  # Asked for by `follow_batch`.
                data[f'{key}_batch'] = graph
                data[f'{key}_ptr'] = edge_ptr.to(graph.device)
    none = torch.zeros_like(edge_ptr[:-1])
    # New dictionaries: a shallow copy of a batch shares the old ones.
    data._slice_dict = {**slices, **dict.fromkeys(values, edge_ptr)}
    data._inc_dict = {**incs, **{key: incs.get(key, none) for key in values}}
    return data


def _first_occurrence(key: Array) -> Tuple[Array, Array]:
    r"""Whether each key is new, and where it stood first."""
    order = key.argsort(kind='stable')
    value = key[order]
    begins = np.ones(key.size, bool)
    begins[1:] = value[1:] != value[:-1]
    first = np.empty_like(order)
    first[order] = order[begins][begins.cumsum() - 1]
    return first == np.arange(key.size), first


def session_batch(item: Tensor, length: Tensor) -> Batch:
    r"""The graphs of whole sessions, which have no target.

    Args:
        item (Tensor): Item of each click, sessions one after another,
            ``[num_clicks]``, int64.
        length (Tensor): Clicks of each session, ``[B]``, int64, at least 1.

    Returns:
        Batch: As that of :class:`SessionGraphs`, without :obj:`y`.
    """
    return list_batch([x.tolist() for x in item.split(length.tolist())])


def list_batch(sessions: List[List[int]], normalized: bool = False) -> Batch:
    r"""The same as :func:`session_batch`, for lists.

    A request has few clicks: plain Python counts them and makes one tensor
    of all, in the time of a few calls of PyTorch.

    Args:
        sessions (list): Items of each session, in order.
        normalized (bool): Whether graphs have the :obj:`edge_attr` that
            :class:`~pyg_sessaug.transforms.NormalizeEdges` would give them.
            (default: :obj:`False`)
    """
    node: List[int] = []
    edge: List[Tuple[int, int]] = []
    click: List[int] = []
    graphs: List[List[int]] = [[], []]
    ptrs = [[0], [0], [0]]
    for graph, session in enumerate(sessions):
        place: Dict[int, int] = {}
        first = len(node)
        own = [place.setdefault(x, first + len(place)) for x in session]
        node += place
        edge += dict.fromkeys(pairwise(own))
        click += own
        graphs[0] += [graph] * len(place)
        graphs[1] += [graph] * len(own)
        for ptr, size in zip(ptrs, (len(node), len(edge), len(click))):
            ptr.append(size)
    edges = list(chain(*zip(*edge)))
    lists: List[List[int]] = [node, edges, click, *graphs, *ptrs]
    numbers = torch.tensor(list(chain(*lists)), dtype=torch.long)
    parts = numbers.split([len(part) for part in lists])
    x, ends, index, node_graph, click_graph, start, edge_ptr, click_ptr = parts
    values = {
        'x': (x, start, False),
        'edge_index': (ends.view(2, -1), edge_ptr, True),
        'edge_weight': (torch.ones(len(edge)), edge_ptr, False),
        'click_index': (index, click_ptr, True),
    }
    if normalized:  # All weights are one: a share is by how many edges.
        into, out_of = [0] * len(node), [0] * len(node)
        for tail, head in edge:
            into[head] += 1
            out_of[tail] += 1
        shares = [(1 / into[head], 1 / out_of[tail]) for tail, head in edge]
        share = torch.tensor(shares, dtype=torch.float).view(-1, 2)
        values['edge_attr'] = (share, edge_ptr, False)
    return _make_batch(values, node_graph, start, click_graph, click_ptr)


def _make_batch(
    values: Dict[str, Part],
    node_graph: Tensor,
    ptr: Tensor,
    click_graph: Tensor,
    click_ptr: Tensor,
) -> Batch:
    r"""A batch with the records by which PyG separates it.

    Args:
        values (dict): Value, where each graph's part of it begins, and
            whether it counts nodes of the batch.
        node_graph (Tensor): Graph of each node, ``[N]``.
        ptr (Tensor): First node of each graph, ``[B + 1]``.
        click_graph (Tensor): Graph of each click, ``[L]``.
        click_ptr (Tensor): First click of each graph, ``[B + 1]``.
    """
    batch = copy.copy(_EMPTY)
    first = ptr[:-1]
    none = torch.zeros_like(first)
    batch._num_graphs = first.numel()
    batch._slice_dict = {k: v[1] for k, v in values.items()}
    batch._inc_dict = {k: first if v[2] else none for k, v in values.items()}
    # A store that is new has no caches to empty, key by key.
    batch._store._mapping.update(
        {key: value for key, (value, _, _) in values.items()},
        click_index_batch=click_graph,
        click_index_ptr=click_ptr,
        batch=node_graph,
        ptr=ptr,
    )
    return batch
