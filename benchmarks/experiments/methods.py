"""What can be compared: names, their meaning and their transforms."""

from argparse import ArgumentTypeError
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Optional

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform, Compose

from pyg_sessaug.clusters import ItemClusters, ItemMixture
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.nn import SessionModel
from pyg_sessaug.registry import AUGMENTATIONS, AUGMENTED, CATEGORIES
from pyg_sessaug.registry import Augmentation as Method
from pyg_sessaug.training.augmentations import Source, derive, kept
from pyg_sessaug.transforms import (
    ClusterDistance,
    ItemDistance,
    NormalizeEdges,
    SoftClusterDistance,
    TimeDecay,
    WeightChannels,
)
from pyg_sessaug.transforms.time_decay import FORMS
from pyg_sessaug.transforms.utils import check_probability, weigh_by_distance

THESIS = ('i2i', 'gmm', 'kmeans', 'category')
DEFAULT = ['base', 'blur', *THESIS]
OTHER = 'an item of another category in sessions of one, as the base otherwise'
# Those of the package, and what is tried here alone.
WEIGHTS: Any = {'blur': True, 'augmented': AUGMENTED}
METHODS: Dict[str, Method] = {
    x.name: x
    for x in (
        replace(AUGMENTATIONS['none'], name='base'),
        Method('nograph', 'base without message passing'),
        Method('base-wd', 'base with the weight decay of the augmented runs',
               augmented=('weight_decay',)),
        Method('base-patience', 'base with the patience of the augmented runs',
               augmented=('patience',)),
        Method('base-wd-patience', 'base with both', augmented=AUGMENTED),
        AUGMENTATIONS['blur'],
        Method('inject', OTHER, 'inject', needs=CATEGORIES),
        AUGMENTATIONS['inject-same'],
        Method('inject-cluster',
               'an item of the same cluster of KMeans instead',
               'inject-cluster', from_base=True),
        Method('channels',
               'weights by item, cluster and, if known, time side by side',
               'channels', from_base=True, augmented=AUGMENTED),
        Method('covariance',
               'covariances of a mixture in the session vector (srgnn)',
               from_base=True),
        *(AUGMENTATIONS[name] for name in THESIS),
        replace(AUGMENTATIONS['gmm'], name='soft', weights='soft',
                text='expected distances between clusters of the mixture'),
        Method('live',
               'distances between items in the model that is trained itself',
               'live', **WEIGHTS),
        *(Method(f'time-{x}', f'{x} decay with the time between clicks',
                 f'time-{x}', needs='click times', **WEIGHTS)
          for x in FORMS),
    )
}  # fmt: skip
WEIGHTED = [x.name for x in METHODS.values() if x.weights and x.blur]
GRAMMAR = f"""\
methods:
{chr(10).join(f'  {k:16} {x.text}' for k, x in METHODS.items())}
  The last {len(WEIGHTED)} come with blur and take suffixes, in this order:
  -shuffled (what the weights come from permuted, among the items seen in
  training or the gaps between the clicks of a batch: a control) and -noblur
  (weights alone): gmm, gmm-noblur, gmm-shuffled, gmm-shuffled-noblur."""


def parse_method(name: str) -> Method:
    """Reads a name, see :obj:`GRAMMAR`."""
    root = name.removesuffix('-noblur').removesuffix('-shuffled')
    if name in METHODS:
        return METHODS[name]
    if root not in WEIGHTED:
        raise ArgumentTypeError(
            f'unknown method {name!r}; choose from {", ".join(METHODS)}, the '
            f'last {len(WEIGHTED)} also with -shuffled, -noblur or '
            f'-shuffled-noblur'
        )
    blur = not name.endswith('-noblur')
    return replace(METHODS[root], name=name, blur=blur)


@dataclass
class Sources(Source):
    """What the weights of all methods are made from.

    Args:
        shuffled: Whether to permute it.
        mixture_path: File to keep the mixture in.
        model: The model in training.
    """

    shuffled: bool = False
    mixture_path: Optional[str] = None
    model: Any = None

    def i2i(self) -> BaseTransform:
        embedding = self.base()
        if self.shuffled:
            embedding = embedding[permute(self.train.seen_items)]
        return ItemDistance(embedding, **self.given('edge'))

    def fit_clusters(self, method: str) -> ItemClusters:
        clusters = super().fit_clusters(method)
        if not self.shuffled:
            return clusters
        order = permute(self.train.seen_items)
        return replace(clusters, labels=clusters.labels[order])

    def mixture(self) -> ItemMixture:
        """The mixture whose labels gmm uses."""

        def fit() -> ItemMixture:
            seen = self.train.seen_items
            torch.manual_seed(derive(self.seed, 'gmm', 'weights'))
            mixture = ItemMixture.fit(self.base(), self.num_clusters, seen)
            if not self.shuffled:
                return mixture
            posterior = mixture.posterior[permute(seen)]
            return replace(mixture, posterior=posterior)

        return kept(ItemMixture.load, self.mixture_path, self.resume, fit)

    def soft(self) -> BaseTransform:
        return SoftClusterDistance(self.mixture())

    def live(self) -> BaseTransform:
        order = permute(self.train.seen_items) if self.shuffled else None
        return LiveItemDistance(self.model, order=order, **self.given('edge'))

    def channels(self) -> BaseTransform:
        weights = [
            ItemDistance(self.base()),
            ClusterDistance(self.mixture().clusters),
        ]
        if self.train.flat_sessions.time is not None:
            weights.append(TimeDecay())
        return WeightChannels(weights)

    def time_linear(self) -> BaseTransform:
        return self.time('linear')

    def time_exponential(self) -> BaseTransform:
        return self.time('exponential')

    def time_logarithmic(self) -> BaseTransform:
        return self.time('logarithmic')

    def time(self, form: str) -> BaseTransform:
        decay = TimeDecay(form)
        return Compose([ShuffleGaps(), decay]) if self.shuffled else decay

    def inject(self) -> BaseTransform:
        return self.injection(self.train.categories, same=False)

    def inject_cluster(self) -> BaseTransform:
        torch.manual_seed(derive(self.seed, 'kmeans', 'weights'))
        return self.injection(self.clusters('kmeans').labels)


def permute(seen: Tensor) -> Tensor:
    """A permutation of all items that moves only those seen."""
    order = torch.arange(seen.numel())
    items = seen.nonzero().view(-1)
    order[items] = items[torch.randperm(items.numel())]
    return order


class LiveItemDistance(BaseTransform):
    """ItemDistance with what a model in training holds at the time.

    Args:
        model: The model.
        p: Probability that an edge gets its distance.
        order: Whose embedding each item has (default: its own).
    """

    batchwise = True

    def __init__(
        self,
        model: SessionModel,
        p: float = 0.5,
        order: Optional[Tensor] = None,
    ) -> None:
        check_probability('LiveItemDistance', p)
        self.model, self.p, self.order = model, p, order

    def forward(self, data: Data) -> Data:
        item = data.x if self.order is None else self.order[data.x]
        embedding = self.model.item_embedding.detach()
        return weigh_by_distance(data, embedding, item, self.p)

    def __repr__(self) -> str:
        return f'LiveItemDistance(p={self.p})'


class Power(BaseTransform):
    """Raises edge weights to a power: 1 over a temperature."""

    batchwise = True

    def __init__(self, power: float) -> None:
        self.power = power

    def forward(self, data: Data) -> Data:
        data.edge_weight = data.edge_weight**self.power
        return data

    def __repr__(self) -> str:
        return f'Power({self.power})'


class Annealed(Compose):
    """Steps whose probability falls from epoch to epoch, down to zero.

    Args:
        transforms: The steps; those with a ``p``, or of which a part has
            one, are annealed.
        epochs: Epochs until it is zero.
    """

    def __init__(self, transforms: List[Callable], epochs: int) -> None:
        super().__init__(transforms)
        self.epochs = epochs
        self.p = [(x, x.p) for x in parts(self) if hasattr(x, 'p')]
        self.name = f'{super().__repr__()} over {epochs} epochs'

    def __repr__(self) -> str:
        return self.name  # At any epoch, lest a checkpoint be refused.

    def set_epoch(self, epoch: int) -> None:
        share = max(0.0, 1 - epoch / self.epochs)
        for step, p in self.p:
            step.p = p * share


def parts(transform: Callable) -> List[Callable]:
    """The transforms that a transform is made of."""
    if not hasattr(transform, 'transforms'):
        return [transform]
    return [part for step in transform.transforms for part in parts(step)]


class ShuffleGaps(BaseTransform):
    """Permutes the times between clicks among all sessions of a batch."""

    batchwise = True

    def forward(self, data: Data) -> Data:
        time = data.click_time.double()
        gap = torch.zeros_like(time)
        gap[1:] = time.diff()
        first = torch.ones_like(time, dtype=torch.bool)
        first[1:] = data.batch[data.click_index].diff() != 0
        inner = (~first).nonzero().view(-1)
        gap[first] = 0
        gap[inner] = gap[inner[torch.randperm(inner.numel())]]
        data.click_time = gap.cumsum(0)
        return data


def changed_edges(
    dataset: SessionDataset, weights: Callable, num_samples: int = 10_000
) -> Dict[str, float]:
    """Share of training edges that a method's weights change, before blur.

    The only edge into and out of its nodes keeps its normalised shares
    whatever it weighs, so there are two numbers.
    """
    count = torch.zeros(3)
    for index in torch.randperm(len(dataset))[:num_samples].split(500):
        plain = NormalizeEdges()(dataset.get_batch(index))
        batch = NormalizeEdges()(weights(plain))
        shares = (batch.edge_attr - plain.edge_attr).abs().amax(dim=1) > 1e-6
        count[0] += batch.num_edges
        count[1] += (batch.edge_weight != 1).sum()
        count[2] += shares.sum()
    _, weight, shares = (count / count[0]).tolist()
    return {'weights': weight, 'shares': shares}
