r"""Edge weights from expected distances between clusters of items."""

import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_sessaug.clusters import ItemMixture
from pyg_sessaug.data.devices import widest
from pyg_sessaug.transforms.utils import (
    check_probability,
    items_of,
    weigh_by_length,
)


@functional_transform('soft_cluster_distance')
class SoftClusterDistance(BaseTransform):
    r"""Weighs the edges of a session by how close the clusters of their
    items are expected to be, :class:`~pyg_sessaug.transforms.ClusterDistance`
    without hard labels
    (functional name: :obj:`soft_cluster_distance`).

    .. math::
        A_{i,j} = \Big( \sum_{a,b} \gamma_{ia} \gamma_{jb}
        {\lVert \mathbf{c}_a - \mathbf{c}_b \rVert}_2 \Big)^{-1}

    where :math:`\gamma_{ia}` is the probability of component :math:`a` for
    item :math:`i`, and :math:`\mathbf{c}_a` its mean.
    Two items that surely belong to one component are at no distance at all.
    So the weight of an edge within a cluster, whose items have the same most
    probable component, is at most :math:`\max(1, 2m)`, with :math:`m` the
    largest weight among the session's edges between clusters, drawn or not,
    or 0 if it has none. Where all probabilities are 0 or 1, the weights are
    those of :class:`~pyg_sessaug.transforms.ClusterDistance`.
    Every edge is drawn with probability :obj:`p`; one not drawn keeps its
    weight, 1 in a plain session graph.
    Follow it by :class:`~pyg_sessaug.transforms.NormalizeEdges`, and use it
    in training only.

    Args:
        mixture (ItemMixture): Probability of each component for each item.
        p (float): Probability that an edge gets its distance.
            (default: :obj:`0.5`)

    Raises:
        TypeError: If :obj:`mixture` is no
            :class:`~pyg_sessaug.clusters.ItemMixture`.
        ValueError: If :obj:`p` is no probability or, when called, if a graph
            holds an item that the mixture does not know.

    Shapes:
        - **input:** items :math:`(|\mathcal{V}|)` int64 in :obj:`x`, edges
          :math:`(2, |\mathcal{E}|)` in :obj:`edge_index` and, optionally,
          weights :math:`(|\mathcal{E}|)` in :obj:`edge_weight` (ones
          otherwise)
        - **output:** weights :math:`(|\mathcal{E}|)` in :obj:`edge_weight`

    Example:
        >>> import torch
        >>> from pyg_sessaug.clusters import ItemMixture
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.transforms import SoftClusterDistance
        >>> mixture = ItemMixture.fit(torch.randn(30, 2), num_clusters=3)
        >>> data = list_batch([[0, 1, 2]])
        >>> SoftClusterDistance(mixture)(data).edge_weight.size()
        torch.Size([2])
    """

    batchwise = True

    def __init__(self, mixture: ItemMixture, p: float = 0.5) -> None:
        if not isinstance(mixture, ItemMixture):
            raise TypeError(
                f'SoftClusterDistance got a mixture of type '
                f'{type(mixture).__name__}; pass an ItemMixture, made by '
                f'ItemMixture.fit'
            )
        check_probability('SoftClusterDistance', p)
        self.mixture = mixture
        self.p = p
        self._posterior = mixture.posterior
        self._label = mixture.labels
        centers = mixture.centers
        self._distance = torch.linalg.vector_norm(
            centers.unsqueeze(1) - centers, dim=2, dtype=torch.float64
        )

    def forward(self, data: Data) -> Data:
        num_items = self.mixture.num_items
        item = items_of('SoftClusterDistance', data, num_items, 'mixture')
        if self._label.device != item.device:
            # Moves once, not every time.
            self._posterior = self._posterior.to(item.device)
            self._label = self._label.to(item.device)
        self._distance = self._distance.to(item.device, widest(item))
        posterior = self._posterior.index_select(0, item).to(widest(item))
        label = self._label.index_select(0, item)
        src, dst = data.edge_index
        # Expected distance from each node to each component, then per edge:
        reach = (posterior @ self._distance).index_select(0, src)
        length = (reach * posterior.index_select(0, dst)).sum(dim=1)
        within = label.index_select(0, src) == label.index_select(0, dst)
        return weigh_by_length(data, length, self.p, within)

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(mixture={self.mixture}, p={self.p})'
