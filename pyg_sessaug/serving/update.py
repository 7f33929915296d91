r"""Newer sessions for a recommender, without training."""

from typing import Any, Dict

import torch

from pyg_sessaug.counts.session_counts import SessionCounts
from pyg_sessaug.data.ids import places
from pyg_sessaug.transforms.at_test import modules_within


def update(recommender: Any, log: Any) -> Dict[str, int]:
    r"""See :meth:`~pyg_sessaug.serving.recommender.Recommender.update`."""
    index = places(log.item_ids, recommender.item_ids)
    clicks = log.flat_sessions
    sessions = clicks.map_items(index)
    if recommender.max_length is not None:
        sessions = sessions.last_clicks(max(2, recommender.max_length))
    model, size = recommender.model, len(recommender.item_ids)
    if recommender.popularity is not None:
        newer = torch.bincount(sessions.item, minlength=size)
        recommender.popularity = recommender.popularity + newer
    if isinstance(model, torch.nn.Module):
        parts = list(model.modules())
        transforms = {getattr(x, 'test_transform', None) for x in parts}
        for transform in transforms:
            parts += modules_within(transform)
        for part in dict.fromkeys(parts):
            if isinstance(part, SessionCounts):
                part.update(sessions)
    about = recommender.about
    # What it was trained on no longer tells what it has seen.
    recommender.about = {**about, 'updates': about.get('updates', 0) + 1}
    return {
        'sessions': sessions.num_sessions,
        'clicks': sessions.num_clicks,
        'unknown': int((index[clicks.item] < 0).sum()),
        'short': clicks.num_sessions - sessions.num_sessions,
    }
