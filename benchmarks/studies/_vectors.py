"""Session vectors of trained models."""

from typing import Any, Tuple

import torch
from _experiment import per_session
from torch import Tensor
from tqdm import tqdm

from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.nn import SessionModel
from pyg_sessaug.transforms import NormalizeEdges


@torch.no_grad()
def session_vectors(
    model: SessionModel, dataset: Any, batch_size: int = 500
) -> Tensor:
    """The vector of each sample on its plain graph, ``[num_samples, d]``.

    Args:
        model: A model in evaluation mode.
        dataset: A data set or a subset of one.
        batch_size: Samples at once.
    """
    loader = SessionLoader(dataset, batch_size, transform=NormalizeEdges())
    bar = tqdm(loader, 'session vectors', leave=False, delay=5, disable=None)
    return torch.cat([model(batch) for batch in bar])


def draw_samples(dataset: SessionDataset, size: int) -> Tensor:
    """Samples of different sessions, drawn at random, in ascending order.

    Prefixes of one session are so alike that they would be each other's
    nearest points on a map.

    Args:
        dataset: The data set.
        size: How many to draw; all sessions if there are fewer.
    """
    session = per_session(dataset)
    order = torch.randperm(len(dataset))
    # The first sample of each session in a random order of samples:
    first = torch.full((int(session.max()) + 1,), len(dataset))
    first.scatter_reduce_(
        0, session[order], torch.arange(len(dataset)), 'amin'
    )
    chosen = order[first[torch.randperm(first.numel())[:size]]]
    return chosen.sort()[0]


def neighbor_share(
    vectors: Tensor, label: Tensor, k: int = 10
) -> Tuple[float, float]:
    """How often the nearest vectors have the same label.

    Args:
        vectors: ``[N, d]``.
        label: ``[N]``, int64 or bool.
        k: Number of nearest vectors.

    Returns:
        (float, float): The mean share, and what it would be if the labels
        were dealt at random.
    """
    same = []
    for i, part in enumerate(vectors.split(1024)):
        distance = torch.cdist(part, vectors)
        own = torch.arange(len(part))
        distance[own, own + 1024 * i] = torch.inf
        near = distance.topk(k, largest=False)[1]
        own_label = label[1024 * i : 1024 * i + len(part)]
        same.append(label[near] == own_label.unsqueeze(1))
    count = torch.bincount(label.long()).double()
    n = label.numel()
    chance = (count * (count - 1)).sum() / (n * (n - 1))
    return float(torch.cat(same).double().mean()), float(chance)
