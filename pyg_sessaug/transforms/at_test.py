r"""What graphs go through where nothing trains."""

import copy
from typing import Any, Callable, Iterator, List, Optional

from torch.nn import Module
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import BaseTransform, Compose

from pyg_sessaug.data.graphs import graph_by_graph, list_batch
from pyg_sessaug.transforms.normalize_edges import NormalizeEdges


class ScoredGraphs(BaseTransform):
    r"""What graphs go through before a model scores them: its
    :obj:`test_transform`, if it has one, and
    :class:`~pyg_sessaug.transforms.NormalizeEdges`, unless there are shares
    then.

    Args:
        model (any): The model.
    """

    batchwise = True

    def __init__(self, model: Any) -> None:
        self.transform: Optional[Callable[..., Any]]
        self.transform = getattr(model, 'test_transform', None)

    def forward(self, data: Data) -> Data:
        if self.transform is not None:
            data = _apply(self.transform, data)
            if 'edge_attr' in data:
                return data
        return NormalizeEdges().forward(data)  # A copy already.


def scored_batch(model: Any, sessions: List[List[int]]) -> Batch:
    r"""The graphs of sessions as a model scores them.

    Args:
        model (any): The model.
        sessions (list): Items of each session, in order, at least one.
    """
    if getattr(model, 'test_transform', None) is not None:
        return ScoredGraphs(model)(list_batch(sessions))
    batch = list_batch(sessions, normalized=True)
    batch._checked = True  # Unlike what a transform may make of it.
    return batch


def graphs_of_member(model: Any, data: Data) -> Data:
    r"""Plain graphs, normalised or not, as a model within another one scores
    them.

    Args:
        model (any): The inner model.
        data (Data or Batch): The graphs.
    """
    if getattr(model, 'test_transform', None) is None:
        return data
    data = copy.copy(data)
    if 'edge_attr' in data:
        del data.edge_attr
    return ScoredGraphs(model)(data)


def at_test(transform: Any) -> Optional[Any]:
    r"""The part of a transform that belongs to validation and tests, if there
    is any beside :class:`~pyg_sessaug.transforms.NormalizeEdges`.

    It is all that says :obj:`at_test = True`, at any depth of
    :class:`torch_geometric.transforms.Compose` and of whatever keeps others
    in a list :obj:`transforms`; the rest does nothing there.

    Args:
        transform (callable, optional): What training graphs go through.
    """
    part = _part(transform)
    kinds = {type(x) for x in _leaves(part)} - {NormalizeEdges}
    return part if kinds else None


def modules_within(transform: Any) -> Iterator[Module]:
    r"""The modules, such as counts, that a transform and those in it keep.

    Args:
        transform (callable, optional): The transform.
    """
    for leaf in _leaves(transform):
        for value in getattr(leaf, '__dict__', {}).values():
            if isinstance(value, Module):
                yield from value.modules()


def _part(transform: Any) -> Optional[Any]:
    if getattr(transform, 'at_test', False):
        return transform
    within = getattr(transform, 'transforms', None)
    if not isinstance(within, (list, tuple)):
        return None
    parts = [_part(x) for x in within]
    if all(x is None for x in parts):
        return None
    out = copy.copy(transform)
    # What does nothing is still a channel of plain weights.
    out.transforms = [Compose([]) if x is None else x for x in parts]
    return out


def _leaves(transform: Any) -> Iterator[Any]:
    if transform is None:
        return
    within = getattr(transform, 'transforms', None)
    if not isinstance(within, (list, tuple)):
        yield transform
        return
    for part in within:
        yield from _leaves(part)


def _apply(transform: Callable[..., Any], data: Data) -> Data:
    if 'batch' not in data or not graph_by_graph(transform):
        return transform(data)
    graphs = [transform(x) for x in data.to_data_list()]
    return Batch.from_data_list(graphs, follow_batch=['click_index'])
