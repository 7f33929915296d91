"""Sessions of one item category and of several."""

from typing import Dict

import torch
from torch import Tensor

from pyg_sessaug.datasets import SessionDataset


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
