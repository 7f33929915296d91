"""What can be compared: names, their meaning and their transforms."""

from argparse import ArgumentTypeError
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Optional

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform, Compose

from pyg_sessaug.clusters import ItemClusters, ItemMixture
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.nn import SessionModel
from pyg_sessaug.transforms import (
    GaussianBlur,
    NormalizeEdges,
    TimeDecay,
)
from pyg_sessaug.transforms.time_decay import FORMS
from pyg_sessaug.transforms.utils import (
    check_probability,
    weigh_by_distance,
)

PLAIN = {
    'base': 'plain graphs',
    'nograph': 'base without message passing',
    'base-wd': 'base with the weight decay of the augmented runs',
    'base-patience': 'base with the patience of the augmented runs',
    'base-wd-patience': 'base with both',
    'blur': 'blur alone',
    'inject': 'an item of another category in sessions of one, as the base '
    'otherwise',
    'inject-same': 'an item of the same category instead',
    'inject-cluster': 'an item of the same cluster of KMeans instead',
    'channels': 'weights by item, cluster and, if known, time side by side',
    'covariance': 'covariances of a mixture in the session vector (srgnn)',
}
THESIS = {
    'i2i': 'distances between items',
    'gmm': 'distances between clusters of a Gaussian mixture',
    'kmeans': 'distances between clusters of KMeans',
    'category': 'distances between categories',
}
TIMED = {
    f'time-{form}': f'{form} decay with the time between clicks'
    for form in FORMS
}
WEIGHTED = {
    **THESIS,
    'soft': 'expected distances between clusters of the mixture',
    'live': 'distances between items in the model that is trained itself',
    **TIMED,
}
GRAMMAR = f"""\
methods:
{chr(10).join(f'  {k:16} {v}' for k, v in {**PLAIN, **WEIGHTED}.items())}
  The last {len(WEIGHTED)} come with blur and take suffixes, in this order:
  -shuffled (what the weights come from permuted, among the items seen in
  training or the gaps between the clicks of a batch: a control) and -noblur
  (weights alone): gmm, gmm-noblur, gmm-shuffled, gmm-shuffled-noblur."""
DEFAULT = ['base', 'blur', *THESIS]


@dataclass(frozen=True)
class Method:
    """A method by its parts."""

    name: str
    weights: Optional[str] = None
    blur: bool = False
    shuffled: bool = False

    def option(self, name: str) -> str:
        """The option that holds its weight decay (``wd``) or patience."""
        augmented = self.blur or self.weights or self.name == 'channels'
        controls = self.name.split('-')[1:] if self.name in PLAIN else ()
        full = {'wd': 'weight_decay', 'patience': 'patience'}[name]
        return f'augmented_{full}' if augmented or name in controls else full

    @property
    def clustered(self) -> bool:
        """Whether weights are distances between clusters."""
        return self.weights in ('gmm', 'kmeans', 'category')

    @property
    def from_base(self) -> bool:
        """Whether it needs the embeddings of the seed's base model."""
        others = self.weights in (None, 'live', *TIMED)
        return not others or self.name in (
            'inject-cluster',
            'channels',
            'covariance',
        )

    @property
    def needs(self) -> Optional[str]:
        """What not every data set has."""
        if self.weights in TIMED:
            return 'click times'
        if self.weights == 'category' or self.name in (
            'inject',
            'inject-same',
        ):
            return 'item categories'
        return None


def parse_method(name: str) -> Method:
    """Reads a name, see :obj:`GRAMMAR`."""
    if name in PLAIN:
        return Method(name, blur=name == 'blur')
    weights = next((x for x in WEIGHTED if f'{name}-'.startswith(f'{x}-')), '')
    shuffled, noblur = '-shuffled' in name, '-noblur' in name
    known = weights + '-shuffled' * shuffled + '-noblur' * noblur
    if not weights or name != known:
        raise ArgumentTypeError(
            f'unknown method {name!r}; choose from {", ".join(PLAIN)}, '
            f'{", ".join(WEIGHTED)}, the last {len(WEIGHTED)} also with '
            f'-shuffled, -noblur or -shuffled-noblur'
        )
    return Method(name, weights, not noblur, shuffled)


def shuffled_clusters(clusters: ItemClusters, seen: Tensor) -> ItemClusters:
    """The same clusters, with labels permuted among the items seen."""
    return replace(clusters, labels=clusters.labels[permute(seen)])


def fit_mixture(
    method: Method, embedding: Tensor, seen: Tensor, num_clusters: int
) -> ItemMixture:
    """A Gaussian mixture of items by a trained model."""
    mixture = ItemMixture.fit(embedding, num_clusters, seen)
    if method.shuffled:
        posterior = mixture.posterior[permute(seen)]
        mixture = replace(mixture, posterior=posterior)
    return mixture


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

    def forward(self, data: Data) -> Data:
        time = data.click_time
        gap = torch.zeros_like(time)
        gap[1:] = time.diff()
        first = torch.ones_like(time, dtype=torch.bool)
        first[1:] = data.batch[data.click_index].diff() != 0
        inner = (~first).nonzero().view(-1)
        gap[first] = 0
        gap[inner] = gap[inner[torch.randperm(inner.numel())]]
        data.click_time = gap.cumsum(0)
        return data


def time_weights(method: Method) -> BaseTransform:
    """Weights by the time between clicks."""
    weights = TimeDecay(method.weights.removeprefix('time-'))
    return Compose([ShuffleGaps(), weights]) if method.shuffled else weights


def training_transform(
    method: Method,
    weights: Optional[Callable],
    blur: Optional[Dict[str, float]] = None,
    power: Optional[float] = None,
    anneal: Optional[int] = None,
) -> Compose:
    """What a training batch goes through.

    Args:
        method: The method.
        weights: What sets weights or nodes, if anything.
        blur: Options of the blur.
        power: Of the weights.
        anneal: Epochs until weights, injection and blur are off.
    """
    steps = [] if weights is None else [weights]
    if power is not None and method.weights is not None:
        steps.append(Power(power))
    steps.append(NormalizeEdges())
    if method.blur:
        steps.append(GaussianBlur(**(blur or {})))
    return Compose(steps) if anneal is None else Annealed(steps, anneal)


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
