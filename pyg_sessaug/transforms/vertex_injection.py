r"""Items injected into session graphs."""

from typing import Dict, Optional, Tuple

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import cumsum

from pyg_sessaug.data.graphs import edge_weight, node_batch, session_batch
from pyg_sessaug.transforms.utils import check_probability, items_of

REBUILT = ('x', 'edge_index', 'edge_weight', 'click_index', 'click_time')


@functional_transform('vertex_injection')
class VertexInjection(BaseTransform):
    r"""Adds an item to sessions of one category, after section 5.2 of the
    thesis (functional name: :obj:`vertex_injection`).

    Into a session whose clicks all are on items of one category, an item of
    another category is injected with probability :obj:`p`, which makes it a
    session of two, or one of the same category if :obj:`same`. The item is
    drawn uniformly among all of these, and its place uniformly among
    those before, between and behind the clicks; behind the last click it
    becomes the last. The result is the graph of the longer session, and the
    target stays. The injected click is half-way in time between its
    neighbours, or at the same time as its only one.

    Sessions with an item of unknown category are left alone, and so are
    those in whose category no item may be injected, if it is to be the same.
    Apply it before any other transform, and use it in training only. The
    thesis found that other categories hurt; on full Diginetica both kinds
    do, while on a sixteenth of it both help, the same category most.

    Args:
        categories (Tensor): Category of each item, -1 where it is not known;
            labels of clusters do as well.
        p (float): Probability that a session of one category gets an item.
            (default: :obj:`0.5`)
        mask (Tensor, optional): Items that may be injected, such as those
            seen in training; items of unknown category never are.
            (default: :obj:`None`, which is all)
        same (bool): Whether the item is of the session's own category.
            (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`p` is no probability, if :obj:`categories` or
            :obj:`mask` have other shapes or types than below, or if the
            items to inject have fewer than two categories, or none if it is
            to be the same. When called, if a graph holds an item beyond
            those with a category, or what other transforms have set.

    Shapes:
        - **categories:** :math:`(|\mathcal{I}|)` int64
        - **mask:** :math:`(|\mathcal{I}|)` bool
        - **input:** a session graph: items :math:`(|\mathcal{V}|)` int64 in
          :obj:`x`, edges :math:`(2, |\mathcal{E}|)` in :obj:`edge_index`,
          the node of each click :math:`(L)` int64 in :obj:`click_index`
          and, optionally, its seconds :math:`(L)` in :obj:`click_time`
        - **output:** the same, with one more click in sessions that got an
          item, and a node unless the item was there

    Example:
        >>> import torch
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.transforms import VertexInjection
        >>> inject = VertexInjection(torch.tensor([0, 0, 1]), p=1.0)
        >>> inject(list_batch([[0, 1]])).x.sort()[0]
        tensor([0, 1, 2])
    """

    batchwise = True

    def __init__(
        self,
        categories: Tensor,
        p: float = 0.5,
        mask: Optional[Tensor] = None,
        same: bool = False,
    ) -> None:
        check_probability('VertexInjection', p)
        if categories.dim() != 1 or categories.dtype != torch.long:
            raise ValueError(
                f'VertexInjection got categories of shape '
                f'{list(categories.shape)} and type {categories.dtype}; pass '
                f'[num_items] int64'
            )
        categories = categories.detach().cpu().clone()
        allowed = categories >= 0
        if mask is not None:
            if mask.dtype != torch.bool or mask.size() != allowed.size():
                raise ValueError(
                    f'VertexInjection got a mask of shape '
                    f'{list(mask.shape)} and type {mask.dtype}; pass '
                    f'[{allowed.numel()}] bool'
                )
            allowed &= mask.cpu()
        if categories[allowed].unique().numel() < 2 - same:
            raise ValueError(
                f'VertexInjection got {int(allowed.sum())} item(s) to inject '
                f'of fewer than {"one category" if same else "two categories"}'
                f'; pass items of more categories, or another mask'
            )
        self.categories = categories
        self.p = p
        self.same = same
        # What may be injected, by category, and where a category begins.
        items = allowed.nonzero().view(-1)
        self._items = items[categories[items].argsort()]
        size = categories[items].bincount(minlength=int(categories.max()) + 1)
        self._ptr = cumsum(size)

    def forward(self, data: Data) -> Data:
        num_items = self.categories.numel()
        item = items_of('VertexInjection', data, num_items, 'categories')
        batch, ptr = node_batch(data)
        _check_plain(data, ptr.numel() - 1)
        click = item.index_select(0, data.click_index).cpu()
        graph = batch.index_select(0, data.click_index).cpu()
        length = graph.bincount(minlength=ptr.numel() - 1)
        session, new_item = self._draw(click, graph, length)
        if session.numel() == 0:
            return data

        # The clicks stand one session after the other; `place` is the old
        # number of the click before which a new one goes.
        start = cumsum(length)
        place = _below(length[session] + 1) + start[session]
        at = place + torch.arange(place.numel())
        is_old = torch.ones(click.numel() + at.numel(), dtype=torch.bool)
        is_old[at] = False

        def insert(value: Tensor, new: Tensor) -> Tensor:
            out = value.new_empty(is_old.numel())
            out[at], out[is_old] = new, value
            return out

        longer = length.clone()
        longer[session] += 1
        built = session_batch(insert(click, new_item), longer)
        built.edge_weight = built.edge_weight.to(edge_weight(data).dtype)
        time = data.get('click_time')
        if time is not None:
            before = torch.maximum(place - 1, start[session])
            behind = torch.minimum(place, start[session + 1] - 1)
            time = time.cpu()
            built.click_time = insert(time, (time[before] + time[behind]) / 2)
        return _replace(data, built)

    def _draw(
        self, click: Tensor, graph: Tensor, length: Tensor
    ) -> Tuple[Tensor, Tensor]:
        r"""Sessions that get an item, in their order, and these items."""
        category = self.categories[click]
        low = torch.full_like(length, self._ptr.numel())
        low.scatter_reduce_(0, graph, category, 'amin')
        high = torch.full_like(length, -1)
        high.scatter_reduce_(0, graph, category, 'amax')
        # `rand` is below 1, so `<` draws none for p=0 and all for p=1.
        drawn = torch.rand(length.numel()) < self.p
        session = (drawn & (low == high) & (low >= 0)).nonzero().view(-1)
        # What may be injected of a session's own category is a range:
        first, end = self._ptr[low[session]], self._ptr[low[session] + 1]
        if self.same:
            some = end > first
            session, first, end = session[some], first[some], end[some]
            return session, self._items[first + _below(end - first)]
        index = _below(self._items.numel() - (end - first))
        index += (index >= first) * (end - first)
        return session, self._items[index]

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}('
            f'categories={list(self.categories.shape)}, '
            f'items={self._items.numel()}, p={self.p}, same={self.same})'
        )


def _below(bound: Tensor) -> Tensor:
    r"""A random number below each bound, which must be positive."""
    return torch.randint(2**62, bound.size()) % bound


def _check_plain(data: Data, num_graphs: int) -> None:
    r"""Refuses what does not follow from the clicks, and would be lost."""
    if bool((edge_weight(data) != 1).any()):
        raise ValueError(
            'VertexInjection got a graph whose `edge_weight` is not 1; apply '
            'it before the transforms that set weights'
        )
    follow = {f'{key}_{end}' for key in REBUILT for end in ('batch', 'ptr')}
    for key, value in data.to_dict().items():
        if key in {*REBUILT, 'batch', 'ptr', *follow}:
            continue
        if not isinstance(value, Tensor) or value.dim() == 0:
            continue
        # A graph of one edge has as many edges as graphs.
        if value.size(0) != num_graphs or key.startswith('edge_'):
            raise ValueError(
                f'VertexInjection does not know `{key}` of shape '
                f'{list(value.shape)} for the item it injects; apply it '
                f'before the transforms that set `{key}`'
            )


def _replace(data: Data, built: Data) -> Data:
    r"""Puts other graphs in the place of those of a graph or batch."""
    slices: Dict[str, Tensor] = built._slice_dict
    incs: Dict[str, Tensor] = built._inc_dict
    if 'click_time' in built:
        slices['click_time'] = slices['click_index']
        incs['click_time'] = torch.zeros_like(incs['click_index'])
    device = data.x.device
    for key in filter(built.__contains__, REBUILT):
        data[key] = built[key].to(device)
        if f'{key}_batch' in data:  # Asked for by `follow_batch`.
            owner = torch.repeat_interleave(slices[key].diff())
            data[f'{key}_batch'] = owner.to(device)
            data[f'{key}_ptr'] = slices[key].to(device)
    for key in ('batch', 'ptr'):
        if key in data:
            data[key] = built[key].to(device)
    if 'num_nodes' in data:  # Set by hand; a batch holds those of graphs too.
        data.num_nodes = built.num_nodes
        if 'batch' in data:
            data._num_nodes = built.ptr.diff().tolist()
    if hasattr(data, '_slice_dict'):
        # New dictionaries: a shallow copy of a batch shares the old ones.
        data._slice_dict = {**data._slice_dict, **slices}
        data._inc_dict = {**data._inc_dict, **incs}
    return data
