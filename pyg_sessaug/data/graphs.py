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


class SessionGraphs:
    r"""The graphs of all samples of a set of sessions.

    Nodes stand in order of first click and edges in order of first
    transition, so that nodes and edges of every prefix are a prefix of those
    of its session. They are listed once per session here; a graph or a batch
    of graphs is then gathered by pointers.

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
        self.sessions = sessions
        item, ptr, time = sessions.item, sessions.ptr, sessions.time
        session = torch.repeat_interleave(sessions.length)
        if time is not None:  # Seconds since the session began.
            time = (time - time[ptr[session]]).float()
        low, high = map(int, item.aminmax()) if item.numel() > 0 else (0, 0)
        num_items = high + 1
        if low < 0 or sessions.num_sessions * num_items > 2**63:
            raise ValueError(
                f'the sessions hold items from {low} to {high}; number them '
                f'0 to num_items - 1'
            )

        # Nodes: the distinct items of a session, by first click.
        is_new, first = _first_occurrence(session * num_items + item)
        count = cumsum(is_new.long())
        node_ptr, node = count[ptr], item[is_new]
        # 32 bits hold what is kept per click: half the memory.
        click_node = (count[first] - node_ptr[session]).int()
        self.nodes_at = (count[1:] - node_ptr[session]).int()

        # Edges: the distinct transitions of a session, by first occurrence.
        head = torch.ones_like(item, dtype=torch.bool)
        head[ptr[:-1]] = False
        click = head.nonzero().view(-1)
        src, dst = click_node[click - 1], click_node[click]
        width = int(self.nodes_at.max()) if item.numel() > 0 else 1
        key = (session[click] * width + src) * width + dst
        is_new, _ = _first_occurrence(key)
        new_at = torch.zeros_like(item)
        new_at[click] = is_new.long()
        count = cumsum(new_at)
        edge_ptr = count[ptr]

        lists = {
            **{**vars(sessions), 'time': time},
            'session': session.int(),
            'number': number,
            'node': node,
            'node_ptr': node_ptr,
            'nodes_at': self.nodes_at,
            'click_node': click_node,
            'edge': torch.stack([src[is_new], dst[is_new]]),
            'edge_ptr': edge_ptr,
            'edges_at': (count[1:] - edge_ptr[session]).int(),
        }
        self._lists = {k: v for k, v in lists.items() if v is not None}

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
        lists, tensor = self._arrays(), torch.from_numpy
        target = int(lists['target'][index])
        session = int(lists['session'][target])
        start = int(lists['ptr'][session])
        node, edge = lists['node_ptr'][session], lists['edge_ptr'][session]
        nodes = slice(node, node + lists['nodes_at'][target - 1])
        edges = slice(edge, edge + lists['edges_at'][target - 1])
        data = Data(
            x=tensor(lists['node'][nodes].copy()),
            edge_index=tensor(lists['edge'][:, edges]).long(),
            edge_weight=torch.ones(
                edges.stop - edges.start, dtype=torch.float
            ),
            click_index=tensor(lists['click_node'][start:target]).long(),
            y=tensor(lists['item'][target : target + 1].copy()),
        )
        if 'number' in lists:
            number = lists['number'][session : session + 1]
            data.session = tensor(number.copy())
        if 'time' in lists:
            data.click_time = tensor(lists['time'][start:target].copy())
        return data

    def batch(self, index: Tensor) -> Batch:
        r"""The graphs of several samples as one batch.

        Equal to ``Batch.from_data_list([self.data(i) for i in index],
        follow_batch=['click_index'])``, without a loop over samples.

        Args:
            index (Tensor): Sample numbers, ``[B]``, int64.
        """
        lists, tensor = self._arrays(), torch.from_numpy
        target = lists['target'][index.numpy()]
        last = target - 1
        session = lists['session'][last]
        start = lists['ptr'][session]
        node, node_graph, ptr = expand_numpy_ranges(
            lists['node_ptr'][session], lists['nodes_at'][last]
        )
        edge, edge_graph, edge_ptr = expand_numpy_ranges(
            lists['edge_ptr'][session], lists['edges_at'][last]
        )
        click, click_graph, click_ptr = expand_numpy_ranges(
            start, target - start
        )
        first_node = ptr[:-1]
        edge_index = lists['edge'].take(edge, 1) + first_node[edge_graph]
        click_index = lists['click_node'][click] + first_node[click_graph]
        sample_ptr = np.arange(target.size + 1)

        # Value, its pointers, and whether it counts nodes of the batch:
        values = {
            'x': (lists['node'][node], ptr, False),
            'edge_index': (edge_index, edge_ptr, True),
            'edge_weight': (np.ones(edge.size, np.float32), edge_ptr, False),
            'click_index': (click_index, click_ptr, True),
            'y': (lists['item'][target], sample_ptr, False),
        }
        if 'number' in lists:
            values['session'] = (lists['number'][session], sample_ptr, False)
        if 'time' in lists:
            values['click_time'] = (lists['time'][click], click_ptr, False)

        return _make_batch(
            {k: (tensor(v[0]), tensor(v[1]), v[2]) for k, v in values.items()},
            *map(tensor, (node_graph, ptr, click_graph, click_ptr)),
        )

    def _arrays(self) -> Dict[str, Array]:
        # At the size of a batch NumPy's calls cost half of torch's. The views
        # are not kept: a tensor that goes to a worker by other means than a
        # fork moves to shared memory, and a view would stay behind.
        return {key: value.numpy() for key, value in self._lists.items()}


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


def _first_occurrence(key: Tensor) -> Tuple[Tensor, Tensor]:
    r"""Whether each key is new, and where it stood first."""
    value, order = key.sort(stable=True)
    is_new = torch.ones_like(value, dtype=torch.bool)
    is_new[1:] = value[1:] != value[:-1]
    first = torch.empty_like(order)
    first[order] = order[is_new][is_new.cumsum(0) - 1]
    mask = torch.zeros_like(is_new)
    mask[order[is_new]] = True
    return mask, first


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


def list_batch(sessions: List[List[int]]) -> Batch:
    r"""The same as :func:`session_batch`, for lists.

    A request has few clicks: plain Python counts them and makes one tensor
    of all, in the time of a few calls of PyTorch.

    Args:
        sessions (list): Items of each session, in order.
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
    return _make_batch(values, node_graph, start, click_graph, click_ptr)


def _make_batch(
    values: Dict[str, Tuple[Tensor, Tensor, bool]],
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
    for key, (value, _, _) in values.items():
        batch[key] = value
    batch.click_index_batch, batch.click_index_ptr = click_graph, click_ptr
    batch.batch, batch.ptr = node_graph, ptr
    return batch
