r"""Augmentations by name, made for a data set."""

import os.path as osp
import zlib
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, TypeVar, cast

import torch
from torch import Tensor
from torch_geometric.transforms import BaseTransform, Compose

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.clusters.item_clusters import METHODS
from pyg_sessaug.counts import CoVisits, NeighborItems
from pyg_sessaug.registry import AUGMENTATIONS, Augmentation
from pyg_sessaug.training.distributed import from_first
from pyg_sessaug.transforms import (
    ClusterDistance,
    CovisitContext,
    CovisitWeight,
    GaussianBlur,
    ItemDistance,
    NeighborContext,
    NormalizeEdges,
    TimeBuckets,
    VertexInjection,
)

# Of about as many clicks each in YooChoose.
BOUNDS = [15.0, 30.0, 60.0, 120.0, 300.0]

T = TypeVar('T')


def derive(seed: int, *names: str) -> int:
    r"""A seed of its own for each purpose.

    Args:
        seed (int): What the user gave.
        *names (str): The purpose.
    """
    return zlib.crc32('/'.join([str(seed), *names]).encode())


@dataclass
class Source:
    r"""What weights of edges and injected items are made from.

    For each name that an :class:`Augmentation` has as its :obj:`weights`
    there is a method that makes the transform.

    Args:
        train (SessionDataset): Training samples; clusters are fitted on the
            items seen there, and items of no known category share one.
        embedding (Tensor, optional): Item embeddings of the base model,
            ``[num_items, d]``. (default: :obj:`None`)
        num_clusters (int): Clusters of :obj:`"gmm"` and :obj:`"kmeans"`.
            (default: :obj:`8`)
        seed (int): All random numbers derive from it. (default: :obj:`0`)
        path (str, optional): File to keep the clusters in, since a fit anew
            may differ in the last bits. (default: :obj:`None`)
        resume (bool): Whether to take them from there.
            (default: :obj:`False`)
        options (dict): Arguments of transforms other than their own:
            ``edge`` of distances, ``inject`` of injected items, and those of
            edges that carry news by the augmentation's name.
    """

    train: Any
    embedding: Optional[Tensor] = None
    num_clusters: int = 8
    seed: int = 0
    path: Optional[str] = None
    resume: bool = False
    options: Dict[str, Dict[str, Any]] = field(default_factory=dict)

    def weights(self, augmentation: Augmentation) -> Optional[BaseTransform]:
        r"""What weighs edges or injects items, if anything does.

        Args:
            augmentation (Augmentation): The augmentation.
        """
        name = augmentation.weights
        if name is None:
            return None
        torch.manual_seed(derive(self.seed, name, 'weights'))
        make: Callable[[], BaseTransform]
        make = getattr(self, name.replace('-', '_'))
        return make()

    def i2i(self) -> BaseTransform:
        return ItemDistance(self.base(), **self.given('edge'))

    def gmm(self) -> BaseTransform:
        return ClusterDistance(self.clusters('gmm'), **self.given('edge'))

    def kmeans(self) -> BaseTransform:
        return ClusterDistance(self.clusters('kmeans'), **self.given('edge'))

    def category(self) -> BaseTransform:
        return ClusterDistance(self.clusters('category'), **self.given('edge'))

    def inject_same(self) -> BaseTransform:
        return self.injection(self.train.categories)

    def injection(
        self, categories: Tensor, same: bool = True
    ) -> BaseTransform:
        r"""Injects items seen in training.

        Args:
            categories (Tensor): Category of each item, ``[num_items]``.
            same (bool): Whether the item is of the session's own.
                (default: :obj:`True`)
        """
        seen, given = self.train.seen_items, self.given('inject')
        return VertexInjection(categories, mask=seen, same=same, **given)

    def covisit_weight(self) -> BaseTransform:
        return CovisitWeight(self.covisits(), **self.given('covisit-weight'))

    def covisit_context(self) -> BaseTransform:
        return CovisitContext(self.covisits(), **self.given('covisit-context'))

    def neighbor_context(self) -> BaseTransform:
        given = self.given('neighbor-context')
        items = NeighborItems(self.train.num_items, **given)
        return NeighborContext(items.fit(self.train, self.train.processed_dir))

    def time_buckets(self) -> BaseTransform:
        return TimeBuckets(**{'bounds': BOUNDS, **self.given('time-buckets')})

    def covisits(self) -> CoVisits:
        r"""Counts of the training sessions."""
        return CoVisits(self.train.num_items).fit(self.train)

    def given(self, part: str) -> Dict[str, Any]:
        r"""Arguments of a part's transforms."""
        return self.options.get(part, {})

    def clusters(self, method: str) -> ItemClusters:
        r"""Clusters of items, fitted or read.

        Args:
            method (str): :obj:`"gmm"`, :obj:`"kmeans"` or
                :obj:`"category"`.
        """
        clusters = kept(
            ItemClusters.load,
            self.path,
            self.resume,
            lambda: self.fit_clusters(method),
        )
        if method in METHODS and clusters.num_clusters != self.num_clusters:
            raise ValueError(
                f'{self.path} was made with num_clusters='
                f'{clusters.num_clusters}, not {self.num_clusters}; use the '
                f'same settings, or delete it to start anew'
            )
        return clusters

    def fit_clusters(self, method: str) -> ItemClusters:
        r"""The same, fitted."""
        embedding, seen = self.base(), self.train.seen_items
        if method != 'category':
            return ItemClusters.fit(embedding, method, self.num_clusters, seen)
        known = self.train.categories
        known = known.where(known >= 0, known.max() + 1)
        return ItemClusters.from_categories(embedding, known, seen)

    def base(self) -> Tensor:
        r"""Item embeddings of the base model.

        Raises:
            ValueError: If there are none.
        """
        if self.embedding is None:
            raise ValueError(
                'distances and clusters of items need an embedding; pass '
                'that of a base model'
            )
        return self.embedding


def kept(
    load: Callable[[str], T],
    path: Optional[str],
    resume: bool,
    make: Callable[[], T],
) -> T:
    r"""What a file holds, or what is made and kept there.

    Args:
        load (callable): Reads it.
        path (str, optional): The file.
        resume (bool): Whether to read the file if it is there.
        make (callable): Returns it, with a method :meth:`save`.
    """

    def get() -> T:
        if path is not None and resume and osp.exists(path):
            return load(path)
        value: Any = make()
        if path is not None:
            value.save(path)
        return cast(T, value)

    return from_first(get)


def training_transform(
    augmentation: Augmentation,
    weights: Optional[Callable[..., Any]] = None,
    **kwargs: Any,
) -> Compose:
    r"""What a training batch goes through.

    Args:
        augmentation (Augmentation): Tells whether there is blur.
        weights (callable, optional): What comes before normalising, or
            behind it if it takes shares, see :meth:`Source.weights`.
            (default: :obj:`None`)
        **kwargs (optional): Arguments of
            :class:`~pyg_sessaug.transforms.GaussianBlur`.
    """
    steps: List[Any] = [NormalizeEdges()]
    if weights is not None:
        steps.insert(isinstance(weights, TimeBuckets), weights)
    if augmentation.blur:
        steps.append(GaussianBlur(**kwargs))
    return Compose(steps)


def lacks(augmentation: Augmentation, train: Any) -> Optional[str]:
    r"""What an augmentation needs and a data set has not, if anything.

    Args:
        augmentation (Augmentation): The augmentation.
        train (SessionDataset): Training samples.
    """
    has = {
        None: True,
        'item categories': bool(train.num_categories),
        'click times': train.flat_sessions.time is not None,
    }
    return None if has[augmentation.needs] else augmentation.needs


def check_augmentation(
    augment: str, train: Any, num_clusters: int = 8
) -> Augmentation:
    r"""Finds an augmentation, and refuses what a data set cannot be augmented
    by, before training.

    Args:
        augment (str): One of :obj:`AUGMENTATIONS`.
        train (SessionDataset): Training samples.
        num_clusters (int): Clusters of :obj:`"gmm"` and :obj:`"kmeans"`.
            (default: :obj:`8`)

    Raises:
        ValueError: If it is unknown, needs categories that are not there, or
            more items than were seen in training.
    """
    if augment not in AUGMENTATIONS:
        raise ValueError(
            f'unknown augmentation {augment!r}; choose one of '
            f'{list(AUGMENTATIONS)}'
        )
    augmentation = AUGMENTATIONS[augment]
    if lacks(augmentation, train):
        raise ValueError(
            f'the augmentation {augment!r} needs a data set with '
            f'{augmentation.needs}; name their column, or choose another'
        )
    seen = int(train.seen_items.sum())
    if augmentation.weights in METHODS and not 1 <= num_clusters <= seen:
        raise ValueError(
            f'num_clusters={num_clusters} must be between 1 and the {seen} '
            f'items seen in training'
        )
    return augmentation
