r"""Gaussian noise on session graphs."""

import math
from typing import Optional, Tuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import cumsum

from pyg_sessaug.data.devices import on_host
from pyg_sessaug.data.graphs import edge_weight, node_batch, with_edges
from pyg_sessaug.transforms.utils import check_probability


@functional_transform('gaussian_blur')
class GaussianBlur(BaseTransform):
    r"""Adds Gaussian noise to the normalised adjacency matrix of a session,
    equation (6.1) of the thesis (functional name: :obj:`gaussian_blur`).

    .. math::
        \mathbf{A} \leftarrow \mathbf{A} + \mathbf{M} \odot \mathbf{N},
        \quad M_{i,j} = [U_{i,j} \le p], \quad U_{i,j} \sim
        \mathcal{U}(0, 1), \quad N_{i,j} \sim \mathcal{N}(\mu, \sigma)

    A session of :math:`k` distinct items has a matrix of :math:`k \times 2k`
    cells, half of it for each column of :obj:`edge_attr`. Every cell, the
    empty ones too, gets noise with probability :obj:`p`, each half on its
    own.
    In the sparse result, the edges of a graph come first and in their order;
    the pairs of nodes touched in either half follow. Such a pair has 0 in
    the half that was not touched and :obj:`edge_weight` 0, which tells noise
    from transitions.

    Apply it after :class:`~pyg_sessaug.transforms.NormalizeEdges`, and use it
    in training only.
    Weights can come out tiny or negative, so layers that normalise by
    themselves, such as :class:`~torch_geometric.nn.conv.GCNConv`, must be
    told not to.

    Drawing takes time and memory for :math:`k^2` pairs a session, and
    :math:`1 - {(1 - p)}^2` of them become edges: at its peak about 80 bytes
    a pair, or 20 MB for one session of 500 distinct items. Every prefix of a
    session is a sample, so one that is far too long comes many times;
    :obj:`max_length` of a data set cuts it. How many edges there are depends
    on the draw: on a GPU the host waits for it, so leave the transform to
    the loader, on the CPU.

    Args:
        p (float): Probability that a cell gets noise. (default: :obj:`0.5`)
        mean (float): Mean of the noise. (default: :obj:`0.01`)
        std (float): Standard deviation of the noise. (default: :obj:`0.01`)
        max_pairs (int): Pairs of a session, :math:`k^2`, that are still
            drawn; more are an error. (default: :obj:`4_194_304`, those of
            2,048 distinct items)

    Raises:
        ValueError: If :obj:`p` is no probability, :obj:`mean` is not finite,
            :obj:`std` is negative or not finite or, when called, if
            :obj:`edge_attr` is missing or has not two columns, or a session
            has too many pairs.

    Shapes:
        - **input:** edges :math:`(2, |\mathcal{E}|)` in :obj:`edge_index`,
          all distinct, shares :math:`(|\mathcal{E}|, 2)` in
          :obj:`edge_attr` and, optionally, weights :math:`(|\mathcal{E}|)`
          in :obj:`edge_weight` (ones otherwise)
        - **output:** the same, with :math:`|\mathcal{E}^{\prime}| \ge
          |\mathcal{E}|` edges; further tensors named :obj:`edge_*` with one
          entry per edge are 0 for the new ones

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.transforms import GaussianBlur, NormalizeEdges
        >>> data = NormalizeEdges()(list_batch([[0, 1, 2]]))
        >>> GaussianBlur(p=1.0)(data).num_edges  # Every pair of nodes
        9
    """

    batchwise = True

    def __init__(
        self,
        p: float = 0.5,
        mean: float = 0.01,
        std: float = 0.01,
        max_pairs: int = 2**22,
    ) -> None:
        check_probability('GaussianBlur', p)
        if not math.isfinite(mean):
            raise ValueError(
                f'GaussianBlur got mean={mean}; pass a finite number'
            )
        if not 0 <= std < math.inf:
            raise ValueError(
                f'GaussianBlur got std={std}; pass a finite number that is '
                f'not negative'
            )
        self.p = p
        self.mean = mean
        if max_pairs < 1:
            raise ValueError(
                f'GaussianBlur got max_pairs={max_pairs}; pass at least 1'
            )
        self.std = std
        self.max_pairs = max_pairs

    def forward(self, data: Data) -> Data:
        edge_index, share = data.edge_index, data.get('edge_attr')
        num_edges = edge_index.size(1)
        if share is None or share.size() != (num_edges, 2):
            got = None if share is None else list(share.size())
            remedy = 'apply NormalizeEdges before it'
            if share is not None and share.dim() == 3:
                remedy = 'it cannot follow WeightChannels'
            raise ValueError(
                f'GaussianBlur needs `edge_attr` of shape [{num_edges}, 2], '
                f'got {got}; {remedy}'
            )

        # Cells are the pairs of nodes of a graph, row by row, graph by graph:
        # that of (i, j) is `shift[i] + j`.
        batch, ptr = node_batch(data)
        row_ptr = cumsum(ptr.diff().index_select(0, batch))
        num_cells = self._count(data, ptr.diff())
        shift = row_ptr[:-1] - ptr.index_select(0, batch)
        src, dst = edge_index
        cell = shift.index_select(0, src) + dst

        noise, touched = self._draw(num_cells, share)
        new_cell = _places(touched.index_fill_(0, cell, False))
        row = new_cell.new_zeros(touched.numel())
        row.index_fill_(0, row_ptr[1:-1], 1)
        new_src = row.cumsum_(0).index_select(0, new_cell)
        new_dst = new_cell - shift.index_select(0, new_src)
        del row  # All that is as long as the cells should go early.

        # Stable, so within a graph its own edges stay in front:
        graph = batch.index_select(0, torch.cat([src, new_src]))
        graph, order = graph.sort(stable=True)

        def join(value: Tensor, new: Optional[Tensor] = None) -> Tensor:
            if new is None:
                new = value.new_zeros(new_cell.numel(), *value.shape[1:])
            return torch.cat([value, new]).index_select(0, order)

        values = {
            key: join(data[key])
            for key in data.keys()
            if _is_edge_level(key, data[key], num_edges)
        }
        values['edge_weight'] = join(edge_weight(data))
        values['edge_attr'] = join(
            share + noise.index_select(0, cell),
            noise.index_select(0, new_cell),
        )
        del noise
        values['edge_index'] = torch.stack(
            [join(src, new_src), join(dst, new_dst)]
        )
        return with_edges(data, graph, **values)

    def _count(self, data: Data, size: Tensor) -> int:
        r"""Pairs of nodes of all graphs."""
        sizes = size.cpu().numpy()
        largest = int(sizes.max(initial=0))
        if largest**2 > self.max_pairs:
            graph = int(sizes.argmax())
            name = f'graph {graph} of the batch'
            if data.get('session') is not None:
                name += f', of session {int(data.session[graph])},'
            raise ValueError(
                f'GaussianBlur got {name} with {largest} distinct items, '
                f'which are {largest**2} pairs to draw; prepare the data set '
                f'with max_length, leave the session out, or raise '
                f'max_pairs={self.max_pairs}'
            )
        return int((sizes**2).sum())

    def _draw(self, num_cells: int, like: Tensor) -> Tuple[Tensor, Tensor]:
        r"""Noise of both halves, and which cells have it in either."""
        noise = torch.empty(num_cells, 2, dtype=like.dtype, device=like.device)
        noise.normal_(self.mean, self.std)
        # `rand` is below 1, so `<` draws none for p=0 and all for p=1.
        drawn = torch.rand(num_cells, 2, device=like.device) < self.p
        return noise.mul_(drawn), drawn[:, 0] | drawn[:, 1]

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(p={self.p}, mean={self.mean}, '
            f'std={self.std})'
        )


def _places(mask: Tensor) -> Tensor:
    r"""As :obj:`mask.nonzero().view(-1)`; in an eighth of its time."""
    if on_host(mask):
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.nonzero().view(-1)


def _is_edge_level(key: str, value: object, num_edges: int) -> bool:
    # By name as well as by size: nodes may be just as many as edges.
    return (
        key not in ('edge_index', 'edge_weight', 'edge_attr')
        and key.startswith('edge_')
        and not key.endswith(('_batch', '_ptr'))
        and isinstance(value, Tensor)
        and value.dim() > 0
        and value.size(0) == num_edges
    )
