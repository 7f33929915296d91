"""Which test samples are shown, and of what categories they are."""

from typing import Dict, Tuple

import torch
from torch import Tensor

from pyg_sessaug.comparison import per_session
from pyg_sessaug.datasets import SessionDataset


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


def several_categories(dataset: SessionDataset) -> Dict[str, Tensor]:
    """Whether each sample is of several categories, ``[num_samples]`` bool.

    The thesis does not say which clicks of a session count, so there are
    three readings: those that the model sees, those and the next, or the
    whole session. Clicks of unknown category do not count.

    Args:
        dataset: A data set with categories.
    """
    if dataset.categories is None:
        raise ValueError(
            f'{type(dataset).__name__} has no item categories in '
            f'{dataset.root}; choose a data set that has them'
        )
    sessions = dataset.flat_sessions
    category = dataset.categories[sessions.item]
    click = torch.arange(sessions.num_clicks)
    session, known = sessions.session_of(click), category >= 0
    # The first click of known category of each session:
    first = torch.full((sessions.num_sessions,), sessions.num_clicks)
    first.scatter_reduce_(0, session[known], click[known], 'amin')
    first.clamp_(max=sessions.num_clicks - 1)
    other = known & (category != category[first[session]])
    others = other.long().cumsum(0)
    before = (others - other.long())[sessions.ptr[:-1]]
    target = sessions.target
    session = session[target]
    end = sessions.ptr[1:][session] - 1
    return {
        'clicks seen': others[target - 1] > before[session],
        'with the next click': others[target] > before[session],
        'whole session': others[end] > before[session],
    }
