"""Clusters of items, and numbers that describe them."""

from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor

from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.plots import COLORS
from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.clusters.item_clusters import (
    gaussian_mixture,
    kmeans,
    nearest,
)
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.training.augmentations import derive

# How the two are drawn:
STYLE = {
    'gmm': {'color': COLORS[1], 'marker': 'o', 'ls': '-'},
    'kmeans': {'color': COLORS[5], 'marker': 's', 'ls': '--'},
}


def fit(
    runs: Experiment, embedding: Tensor, method: str, num_clusters: int
) -> Tuple[ItemClusters, Any]:
    """The clusters that run.py makes, and the model of scikit-learn.

    Args:
        runs: Tells seed and items seen in training.
        embedding: Item embeddings, ``[num_items, d]``.
        method: ``gmm`` or ``kmeans``.
        num_clusters: Number of clusters.
    """
    seen = runs.data['train'].seen_items
    torch.manual_seed(derive(runs.args.seeds[0], method, 'weights'))
    points = embedding[seen].double()
    if method == 'gmm':
        found = gaussian_mixture(points, num_clusters)
        centers = found.means_
    else:
        found = kmeans(points, num_clusters)
        centers = found.cluster_centers_
    centers = torch.from_numpy(centers).float()
    # As ItemClusters.fit does it; items without training go to the nearest.
    labels = nearest(embedding, centers)
    labels[seen] = torch.from_numpy(found.predict(points.numpy())).long()
    return ItemClusters(labels, centers), found


def sizes(clusters: ItemClusters, seen: Tensor) -> List[int]:
    """Items seen in training of each cluster."""
    count = clusters.labels[seen].bincount(minlength=clusters.num_clusters)
    return count.tolist()


def balance(size: List[int]) -> float:
    """Entropy of the sizes as a share of that of equal ones, in [0, 1]."""
    if len(size) == 1:
        return 1.0
    share = torch.tensor(size).double() / sum(size)
    entropy = -torch.special.xlogy(share, share).sum()
    return float(entropy / torch.tensor(float(len(size))).log())


def spacing(centers: Tensor) -> Dict[str, float]:
    """Smallest, mean and largest distance between two centres, Table 7.2."""
    distance = torch.pdist(centers.double())
    return {x: float(getattr(distance, x)()) for x in ('min', 'mean', 'max')}


def within_share(labels: Tensor, sessions: Sessions) -> float:
    """Share of sessions within one cluster.

    Only sessions of at least two different items count: the others cannot
    but lie in one.

    Args:
        labels: Cluster of each item, ``[num_items]``.
        sessions: The sessions.
    """
    distinct = _count_distinct(sessions.item, sessions)
    several = distinct >= 2
    count = _count_distinct(labels[sessions.item], sessions)
    return float((count[several] == 1).double().mean())


def between_share(labels: Tensor, sessions: Sessions) -> float:
    """Share of steps from item to item that lead to another cluster."""
    pair = steps(sessions)
    pair = labels[pair[:, pair[0] != pair[1]]]
    return float((pair[0] != pair[1]).double().mean())


def steps(sessions: Sessions) -> Tensor:
    """Items that follow each other in a session, ``[2, num_steps]``."""
    head = torch.ones(sessions.num_clicks, dtype=torch.bool)
    head[sessions.ptr[:-1]] = False
    click = head.nonzero().view(-1)
    return torch.stack([sessions.item[click - 1], sessions.item[click]])


def _count_distinct(value: Tensor, sessions: Sessions) -> Tensor:
    """Distinct values of each session, ``[num_sessions]``."""
    session = torch.repeat_interleave(sessions.length)
    key = session * (int(value.max()) + 1) + value
    owner = key.unique() // (int(value.max()) + 1)
    return owner.bincount(minlength=sessions.num_sessions)
