r"""Edge weights from distances between clusters of items."""

from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.transforms.utils import (
    check_probability,
    items_of,
    weigh_by_distance,
)


@functional_transform('cluster_distance')
class ClusterDistance(BaseTransform):
    r"""Weighs the edges of a session by how close the clusters of their
    items are, equations (6.3) and (6.4) of the thesis
    (functional name: :obj:`cluster_distance`).

    .. math::
        A_{i,j} = \frac{1}{{\lVert \mathbf{c}_{k(i)} - \mathbf{c}_{k(j)}
        \rVert}_2}

    where :math:`\mathbf{c}_{k(i)}` is the centre of the cluster of item
    :math:`i`: a mean of a Gaussian mixture, a KMeans centre or the mean of a
    category, see :class:`~pyg_sessaug.clusters.ItemClusters`.
    Every edge is drawn with probability :obj:`p`; one not drawn keeps its
    weight, 1 in a plain session graph.
    Within a cluster the weight is :math:`\max(1, 2m)`, with :math:`m` the
    largest weight among the session's edges between clusters, drawn or not,
    or 0 if it has none.
    Follow it by :class:`~pyg_sessaug.transforms.NormalizeEdges`, and use it
    in training only.

    Args:
        clusters (ItemClusters): Label of each item and centre of each label.
        p (float): Probability that an edge gets its distance.
            (default: :obj:`0.5`)

    Raises:
        TypeError: If :obj:`clusters` are no
            :class:`~pyg_sessaug.clusters.ItemClusters`.
        ValueError: If :obj:`p` is no probability or, when called, if a graph
            holds an item beyond those with a label.

    Shapes:
        - **input:** items :math:`(|\mathcal{V}|)` int64 in :obj:`x`, edges
          :math:`(2, |\mathcal{E}|)` in :obj:`edge_index` and, optionally,
          weights :math:`(|\mathcal{E}|)` in :obj:`edge_weight` (ones
          otherwise)
        - **output:** weights :math:`(|\mathcal{E}|)` in :obj:`edge_weight`

    Example:
        >>> import torch
        >>> from pyg_sessaug.clusters import ItemClusters
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.transforms import ClusterDistance
        >>> centers = torch.tensor([[0.0], [4.0]])
        >>> clusters = ItemClusters(torch.tensor([0, 0, 1]), centers)
        >>> transform = ClusterDistance(clusters, p=1.0)
        >>> transform(list_batch([[0, 1, 2]])).edge_weight
        tensor([1.0000, 0.2500])
    """

    batchwise = True

    def __init__(self, clusters: ItemClusters, p: float = 0.5) -> None:
        if not isinstance(clusters, ItemClusters):
            raise TypeError(
                f'ClusterDistance got clusters of type '
                f'{type(clusters).__name__}; pass ItemClusters, made by '
                f'ItemClusters.fit or ItemClusters.from_categories'
            )
        check_probability('ClusterDistance', p)
        self.clusters = clusters
        self.p = p

    def forward(self, data: Data) -> Data:
        num_items = self.clusters.num_items
        item = items_of('ClusterDistance', data, num_items, 'clusters')
        if self.clusters.labels.device != item.device:
            # Moves once, not every time.
            self.clusters = self.clusters.to(item.device)
        label = self.clusters.labels.index_select(0, item)
        return weigh_by_distance(data, self.clusters.centers, label, self.p)

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(clusters={self.clusters}, p={self.p})'
        )
