r"""Edge weights from distances between items."""

from typing import Any

import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_sessaug.transforms.utils import (
    check_probability,
    items_of,
    weigh_by_distance,
)


@functional_transform('item_distance')
class ItemDistance(BaseTransform):
    r"""Weighs the edges of a session by how close their items are in the
    embedding space of a trained model, equation (6.2) of the thesis
    (functional name: :obj:`item_distance`).

    .. math::
        A_{i,j} = \frac{1}{{\lVert \mathbf{e}_i - \mathbf{e}_j \rVert}_2}

    Every edge is drawn with probability :obj:`p`; one not drawn keeps its
    weight, 1 in a plain session graph.
    Where the distance is zero, as for an item clicked twice in a row, the
    weight is :math:`\max(1, 2m)`, with :math:`m` the largest weight among
    the session's other edges, drawn or not, or 0 if it has none.
    Follow it by :class:`~pyg_sessaug.transforms.NormalizeEdges`, and use it
    in training only.

    Args:
        embedding (Tensor, numpy.ndarray or torch.nn.Embedding): Embedding of
            each item; a detached copy is kept.
        p (float): Probability that an edge gets its distance.
            (default: :obj:`0.5`)

    Raises:
        ValueError: If :obj:`p` is no probability, if :obj:`embedding` is
            not a finite floating-point matrix, or, when called, if a graph
            holds an item beyond its rows.

    Shapes:
        - **embedding:** :math:`(|\mathcal{I}|, d)`, floating point
        - **input:** items :math:`(|\mathcal{V}|)` int64 in :obj:`x`, edges
          :math:`(2, |\mathcal{E}|)` in :obj:`edge_index` and, optionally,
          weights :math:`(|\mathcal{E}|)` in :obj:`edge_weight` (ones
          otherwise)
        - **output:** weights :math:`(|\mathcal{E}|)` in :obj:`edge_weight`

    Example:
        >>> import torch
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.transforms import ItemDistance
        >>> table = torch.tensor([[0.0], [1.0], [5.0]])
        >>> ItemDistance(table, p=1.0)(list_batch([[0, 1, 2]])).edge_weight
        tensor([1.0000, 0.2500])
    """

    batchwise = True

    def __init__(self, embedding: Any, p: float = 0.5) -> None:
        check_probability('ItemDistance', p)
        # A torch.nn.Embedding holds it.
        embedding = torch.as_tensor(getattr(embedding, 'weight', embedding))
        if embedding.dim() != 2 or not embedding.is_floating_point():
            raise ValueError(
                f'ItemDistance got an embedding of shape '
                f'{list(embedding.shape)} and type {embedding.dtype}; pass '
                f'a floating-point matrix [num_items, channels]'
            )
        bad = (~embedding.isfinite().all(dim=1)).nonzero().view(-1)
        if bad.numel() > 0:
            raise ValueError(
                f'ItemDistance got an embedding with NaN or infinite values '
                f'for {bad.numel()} item(s), {bad[:3].tolist()} first; '
                f'train the base model again'
            )
        self.embedding = embedding.detach().clone()
        self.p = p

    def forward(self, data: Data) -> Data:
        embedding = self.embedding
        item = items_of('ItemDistance', data, embedding.size(0), 'embedding')
        if embedding.device != item.device:  # Moves once, not every time.
            embedding = self.embedding = embedding.to(item.device)
        return weigh_by_distance(data, embedding, item, self.p)

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}('
            f'embedding={list(self.embedding.shape)}, p={self.p})'
        )
