r"""Clusters of items, and their centres in an embedding space."""

from dataclasses import dataclass
from typing import Any, Optional, Tuple

import torch
from torch import Tensor

from pyg_sessaug.data.progress import iterations
from pyg_sessaug.files import load_state, save_atomically

__all__ = ['ItemClusters']

METHODS = ('gmm', 'kmeans')


@dataclass(frozen=True, repr=False, eq=False)
class ItemClusters:
    r"""A cluster for each item and a centre for each cluster.

    Made by :meth:`fit` from an embedding, or by :meth:`from_categories` from
    known categories, and used by
    :class:`~pyg_sessaug.transforms.ClusterDistance`.

    Args:
        labels (Tensor): Cluster of each item, in
            ``0 ... num_clusters - 1``.
        centers (Tensor): Centre of each cluster.

    Raises:
        ValueError: If shapes or types are others than below, if a label has
            no centre, or if a centre is not finite.

    Shapes:
        - **labels:** :math:`(|\mathcal{I}|)` int64
        - **centers:** :math:`(k, d)` float32

    Example:
        >>> import torch
        >>> from pyg_sessaug.clusters import ItemClusters
        >>> points = torch.tensor([[0.0], [0.1], [9.0], [9.1]])
        >>> labels = ItemClusters.fit(points, 'kmeans', num_clusters=2).labels
        >>> bool(labels[0] == labels[1] != labels[2] == labels[3])
        True
    """

    labels: Tensor
    centers: Tensor

    def __post_init__(self) -> None:
        labels, centers = self.labels, self.centers
        if labels.dim() != 1 or labels.dtype != torch.long:
            raise ValueError(
                f'ItemClusters got labels of shape {list(labels.shape)} and '
                f'type {labels.dtype}; pass [num_items] int64'
            )
        if centers.dim() != 2 or centers.dtype != torch.float:
            raise ValueError(
                f'ItemClusters got centers of shape {list(centers.shape)} '
                f'and type {centers.dtype}; pass [num_clusters, channels] '
                f'float32'
            )
        if not bool(centers.isfinite().all()):
            raise ValueError(
                'ItemClusters got centers with NaN or infinite values; fit '
                'them to a finite embedding'
            )
        if labels.numel() > 0:
            low, high = (int(bound) for bound in labels.aminmax())
            if low < 0 or high >= centers.size(0):
                raise ValueError(
                    f'ItemClusters got label {low if low < 0 else high}, '
                    f'but {centers.size(0)} centers; number the labels from '
                    f'0'
                )

    @classmethod
    def fit(
        cls,
        embedding: Tensor,
        method: str = 'gmm',
        num_clusters: int = 8,
        mask: Optional[Tensor] = None,
    ) -> 'ItemClusters':
        r"""Clusters items by their embeddings, chapter 6 of the thesis.

        KMeans gives its own labels and centres. The Gaussian mixture
        (:obj:`"gmm"`) has a full covariance matrix for each component and
        starts from equal weights and from the centroids of KMeans; labels
        are the most probable components, centres their means.
        Seeds are drawn from the generator of PyTorch.

        Args:
            embedding (Tensor): Embedding of each item, ``[num_items, d]``,
                floating.
            method (str): :obj:`"gmm"` or :obj:`"kmeans"`.
                (default: :obj:`"gmm"`)
            num_clusters (int): Number of clusters. (default: :obj:`8`)
            mask (Tensor, optional): Items seen in training, ``[num_items]``,
                bool. Only they take part in the fit; the others, whose
                embeddings are noise, get the label of the nearest centre.
                (default: :obj:`None`, which is all)

        Returns:
            ItemClusters: On the CPU.

        Raises:
            ValueError: If an argument is unusable, or if there are more
                clusters than items that take part.
        """
        if method not in METHODS:
            raise ValueError(
                f'ItemClusters.fit got method={method!r}; choose one of '
                f'{list(METHODS)}'
            )
        name = 'ItemClusters.fit'
        embedding, mask = check_embedding(name, embedding, mask)
        check_num_clusters(name, num_clusters, mask)

        # Covariances of 100 channels need float64.
        points = embedding[mask].double()
        if method == 'gmm':
            model = gaussian_mixture(points, num_clusters)
            label, center = model.predict(points.numpy()), model.means_
        else:
            model = kmeans(points, num_clusters)
            label, center = model.labels_, model.cluster_centers_

        centers = torch.from_numpy(center).float()
        labels = torch.empty(embedding.size(0), dtype=torch.long)
        labels[mask] = torch.from_numpy(label).long()
        labels[~mask] = nearest(embedding[~mask], centers)
        return cls(labels, centers)

    @classmethod
    def from_categories(
        cls,
        embedding: Tensor,
        categories: Tensor,
        mask: Optional[Tensor] = None,
    ) -> 'ItemClusters':
        r"""Takes categories for clusters, equation (6.4) of the thesis.

        The centre of a category is the mean embedding of its items.
        Labels number the categories in ascending order from 0.

        Args:
            embedding (Tensor): Embedding of each item, ``[num_items, d]``,
                floating.
            categories (Tensor): Category of each item, ``[num_items]``,
                int64, not negative.
            mask (Tensor, optional): Items seen in training, ``[num_items]``,
                bool. Only they count in a mean, unless a category has none:
                then all its items do, so that it has a centre.
                (default: :obj:`None`, which is all)

        Returns:
            ItemClusters: On the CPU.

        Raises:
            ValueError: If an argument is unusable, or if an item has no
                category.
        """
        name = 'ItemClusters.from_categories'
        embedding, mask = check_embedding(name, embedding, mask)
        num_items, categories = embedding.size(0), categories.detach().cpu()
        if categories.dim() != 1 or categories.is_floating_point():
            raise ValueError(
                f'ItemClusters.from_categories got categories of shape '
                f'{list(categories.shape)} and type {categories.dtype}; '
                f'pass [num_items] int64'
            )
        if categories.numel() > num_items:
            raise ValueError(
                f'ItemClusters.from_categories got {categories.numel()} '
                f'categories for the {num_items} items of the embedding; '
                f'pass one for each item'
            )
        known = torch.zeros(num_items, dtype=torch.bool)
        known[: categories.numel()] = categories >= 0
        missing = (~known).nonzero().view(-1)
        if missing.numel() > 0:
            raise ValueError(
                f'ItemClusters.from_categories got no category for '
                f'{missing.numel()} of {num_items} items, '
                f'{missing[:5].tolist()} first; give each item a category, '
                f'such as one more for the unknown'
            )

        labels = categories.unique(return_inverse=True)[1]
        size = torch.bincount(labels)
        seen = torch.bincount(labels[mask], minlength=size.numel())
        counted = mask | (seen == 0)[labels]
        centers = torch.zeros(size.numel(), embedding.size(1)).double()
        centers.index_add_(0, labels[counted], embedding[counted].double())
        centers /= torch.where(seen == 0, size, seen).unsqueeze(1)
        return cls(labels, centers.float())

    @property
    def num_items(self) -> int:
        r"""Number of items with a label."""
        return self.labels.numel()

    @property
    def num_clusters(self) -> int:
        r"""Number of clusters."""
        return self.centers.size(0)

    def to(self, device: torch.device) -> 'ItemClusters':
        r"""The same clusters on another device."""
        return ItemClusters(self.labels.to(device), self.centers.to(device))

    def save(self, path: str) -> None:
        r"""Writes the clusters to a file, whole or not at all.

        Args:
            path (str): The file; an older one is replaced.
        """
        save_atomically(
            {
                'labels': self.labels.cpu(),
                'centers': self.centers.cpu(),
            },
            path,
        )

    @classmethod
    def load(cls, path: str) -> 'ItemClusters':
        r"""Reads what :meth:`save` wrote, onto the CPU.

        Args:
            path (str): The file.

        Raises:
            ValueError: If the file is damaged or holds something else.
        """
        remedy = 'pass a file that ItemClusters.save wrote'
        state = load_state(path, remedy)
        if set(state) != {'labels', 'centers'}:
            raise ValueError(f'{path} holds no item clusters; {remedy}')
        return cls(**state)

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(num_items={self.num_items}, '
            f'num_clusters={self.num_clusters}, '
            f'channels={self.centers.size(1)})'
        )


def kmeans(points: Tensor, num_clusters: int) -> Any:
    r"""Fits KMeans once, by a seed from PyTorch's generator.

    Args:
        points (Tensor): ``[n, d]``, floating.
        num_clusters (int): Number of clusters, at most :math:`n`.

    Returns:
        sklearn.cluster.KMeans: With labels and centres.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # Comes with sklearn.

    seed = int(torch.randint(2**31 - 1, (1,)))
    model = KMeans(num_clusters, n_init=1, random_state=seed)
    # More threads add up in the order in which they come: the last bits of
    # the centres would be others every time.
    with threadpool_limits(1), iterations(model, 'KMeans'):
        return model.fit(points.numpy())


def gaussian_mixture(points: Tensor, num_clusters: int) -> Any:
    r"""Fits a Gaussian mixture by EM, equation (4.5) of the thesis.

    Each component has a full covariance matrix; weights start equal, and
    means and covariances at the clusters of KMeans.

    Args:
        points (Tensor): ``[n, d]``, float64.
        num_clusters (int): Number of components, at most :math:`n`.

    Returns:
        sklearn.mixture.GaussianMixture: The mixture.
    """
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    start = kmeans(points, num_clusters)
    # By the same seed it finds these clusters again, and from them
    # takes its first covariances.
    model = GaussianMixture(
        num_clusters,
        covariance_type='full',
        weights_init=[1.0 / num_clusters] * num_clusters,
        means_init=start.cluster_centers_,
        init_params='kmeans',
        random_state=start.random_state,
    )
    # Its products are tall and thin: more threads wait longer for
    # one another than they compute, up to ten times on a busy machine.
    with threadpool_limits(1), iterations(model, 'mixture'):
        return model.fit(points.numpy())


def check_embedding(
    name: str,
    embedding: Tensor,
    mask: Optional[Tensor],
) -> Tuple[Tensor, Tensor]:
    r"""The arguments of a fit on the CPU, in float32 or better.

    Args:
        name (str): What to name in an error.
        embedding (Tensor): Embedding of each item, ``[num_items, d]``,
            floating.
        mask (Tensor, optional): Items that take part, ``[num_items]``, bool.
    """
    if embedding.dim() != 2 or not embedding.is_floating_point():
        raise ValueError(
            f'{name} got an embedding of shape '
            f'{list(embedding.shape)} and type {embedding.dtype}; pass a '
            f'floating-point matrix [num_items, channels]'
        )
    embedding = embedding.detach().cpu()
    embedding = embedding.to(torch.promote_types(embedding.dtype, torch.float))
    bad = (~embedding.isfinite().all(dim=1)).nonzero().view(-1)
    if bad.numel() > 0:
        raise ValueError(
            f'{name} got an embedding with NaN or infinite '
            f'values for {bad.numel()} item(s), {bad[:5].tolist()} first; '
            f'train the base model again'
        )
    if mask is None:
        return embedding, torch.ones(embedding.size(0), dtype=torch.bool)
    right = mask.dtype == torch.bool and mask.size() == embedding.size()[:1]
    if not right or not mask.any():
        raise ValueError(
            f'{name} got a mask of shape {list(mask.shape)} and type '
            f'{mask.dtype} with {int(mask.sum())} items; pass '
            f'[{embedding.size(0)}] bool, True for items seen in training'
        )
    return embedding, mask.cpu()


def check_num_clusters(name: str, num_clusters: int, mask: Tensor) -> None:
    r"""Raises unless there are as many items as clusters.

    Args:
        name (str): What to name in the error.
        num_clusters (int): Number of clusters.
        mask (Tensor): Items that take part, ``[num_items]``, bool.
    """
    count = int(mask.sum())
    if not 1 <= num_clusters <= count:
        raise ValueError(
            f'{name} got num_clusters={num_clusters} for {count} item(s) to '
            f'fit; pass a number between 1 and {count}'
        )


def nearest(embedding: Tensor, centers: Tensor) -> Tensor:
    r"""Index of the nearest centre of each embedding, ``[n]`` int64.

    Args:
        embedding (Tensor): ``[n, d]``, floating.
        centers (Tensor): ``[k, d]``, floating.
    """
    # In parts: with many centres, all distances at once would be large. In
    # float64, as the difference of large squares may be a small one.
    parts = [
        torch.cdist(part.double(), centers.double()).argmin(dim=1)
        for part in embedding.split(2**14)
    ]
    return torch.cat(parts)
