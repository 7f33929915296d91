r"""A Gaussian mixture of item embeddings, with all that it knows."""

from dataclasses import dataclass, fields
from typing import Optional

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pyg_sessaug.clusters.item_clusters import (
    ItemClusters,
    check_embedding,
    check_num_clusters,
    gaussian_mixture,
    nearest,
)
from pyg_sessaug.files import load_state, save_atomically

__all__ = ['ItemMixture']


@dataclass(frozen=True, repr=False, eq=False)
class ItemMixture:
    r"""How probable each component of a Gaussian mixture is for each item.

    :class:`~pyg_sessaug.clusters.ItemClusters` keep the most probable
    component of an item and its mean. Section 8.1 of the thesis asks for
    the rest: :class:`~pyg_sessaug.transforms.SoftClusterDistance` uses the
    probabilities, :class:`~pyg_sessaug.nn.CovarianceSRGNN` the covariances.

    Args:
        posterior (Tensor): Probability of each component for each item.
        centers (Tensor): Mean of each component.
        covariances (Tensor): Covariance matrix of each component.

    Raises:
        ValueError: If shapes or types are others than below, if a value is
            not finite, or if the probabilities of an item do not sum to 1.

    Shapes:
        - **posterior:** :math:`(|\mathcal{I}|, k)` float32
        - **centers:** :math:`(k, d)` float32
        - **covariances:** :math:`(k, d, d)` float32

    Example:
        >>> import torch
        >>> from pyg_sessaug.clusters import ItemMixture
        >>> mixture = ItemMixture.fit(torch.randn(50, 2), num_clusters=3)
        >>> mixture.posterior.size()
        torch.Size([50, 3])
    """

    posterior: Tensor
    centers: Tensor
    covariances: Tensor

    def __post_init__(self) -> None:
        if self.centers.dim() != 2 or self.posterior.dim() != 2:
            raise ValueError(
                f'ItemMixture got a posterior of {self.posterior.dim()} and '
                f'centers of {self.centers.dim()} dimensions; pass 2 each'
            )
        k, d = self.centers.size()
        shapes = {
            'posterior': (self.posterior.size(0), k),
            'centers': (k, d),
            'covariances': (k, d, d),
        }
        for name, shape in shapes.items():
            value: Tensor = getattr(self, name)
            if value.size() != shape or value.dtype != torch.float:
                raise ValueError(
                    f'ItemMixture got {name} of shape {list(value.shape)} '
                    f'and type {value.dtype}; pass {list(shape)} float32'
                )
            if not bool(value.isfinite().all()):
                raise ValueError(
                    f'ItemMixture got {name} with NaN or infinite values; '
                    f'fit it to a finite embedding'
                )
        total = self.posterior.sum(dim=1)
        wrong = ((total - 1).abs() > 1e-4).nonzero().view(-1)
        if wrong.numel() > 0 or bool((self.posterior < 0).any()):
            raise ValueError(
                'ItemMixture got a posterior whose rows are no probabilities; '
                'pass values of at least 0 that sum to 1 for each item'
            )

    @classmethod
    def fit(
        cls,
        embedding: Tensor,
        num_clusters: int = 8,
        mask: Optional[Tensor] = None,
    ) -> 'ItemMixture':
        r"""Fits the mixture of :meth:`ItemClusters.fit
        <pyg_sessaug.clusters.ItemClusters.fit>`; under the same seed it is
        the same one.

        Args:
            embedding (Tensor): Embedding of each item, ``[num_items, d]``,
                floating.
            num_clusters (int): Number of components. (default: :obj:`8`)
            mask (Tensor, optional): Items seen in training, ``[num_items]``,
                bool. Only they take part in the fit; the others, whose
                embeddings are noise, belong to the nearest mean alone.
                (default: :obj:`None`, which is all)

        Returns:
            ItemMixture: On the CPU.

        Raises:
            ValueError: If an argument is unusable, or if there are more
                components than items that take part.
        """
        name = 'ItemMixture.fit'
        embedding, mask = check_embedding(name, embedding, mask)
        check_num_clusters(name, num_clusters, mask)
        # Covariances of 100 channels need float64.
        points = embedding[mask].double()
        model = gaussian_mixture(points, num_clusters)
        posterior, centers, covariances = (
            torch.from_numpy(value).float()
            for value in (
                model.predict_proba(points.numpy()),
                model.means_,
                model.covariances_,
            )
        )
        label = nearest(embedding[~mask], centers)
        rows = posterior.new_empty(embedding.size(0), num_clusters)
        rows[mask] = posterior
        rows[~mask] = one_hot(label, num_clusters).float()
        return cls(rows, centers, covariances)

    @property
    def labels(self) -> Tensor:
        r"""Most probable component of each item, ``[num_items]`` int64."""
        return self.posterior.argmax(dim=1)

    @property
    def clusters(self) -> ItemClusters:
        r"""The same without probabilities and covariances."""
        return ItemClusters(self.labels, self.centers)

    @property
    def num_items(self) -> int:
        r"""Number of items."""
        return self.posterior.size(0)

    @property
    def num_clusters(self) -> int:
        r"""Number of components."""
        return self.centers.size(0)

    def save(self, path: str) -> None:
        r"""Writes the mixture to a file, whole or not at all.

        Args:
            path (str): The file; an older one is replaced.
        """
        state = {key: value.cpu() for key, value in vars(self).items()}
        save_atomically(state, path)

    @classmethod
    def load(cls, path: str) -> 'ItemMixture':
        r"""Reads what :meth:`save` wrote, onto the CPU.

        Args:
            path (str): The file.

        Raises:
            ValueError: If the file is damaged or holds something else.
        """
        remedy = 'pass a file that ItemMixture.save wrote'
        state = load_state(path, remedy)
        if set(state) != {field.name for field in fields(cls)}:
            raise ValueError(f'{path} holds no item mixture; {remedy}')
        return cls(**state)

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(num_items={self.num_items}, '
            f'num_clusters={self.num_clusters}, '
            f'channels={self.centers.size(1)})'
        )
