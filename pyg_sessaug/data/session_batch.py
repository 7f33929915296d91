r"""Graphs of sessions that are still going on."""

import torch
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.utils import cumsum

from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions


def session_batch(item: Tensor, length: Tensor) -> Batch:
    r"""The graphs of whole sessions, which have no target.

    Args:
        item (Tensor): Item of each click, sessions one after another,
            ``[num_clicks]``, int64.
        length (Tensor): Clicks of each session, ``[B]``, int64, at least 1.

    Returns:
        Batch: What :meth:`~pyg_sessaug.data.graphs.SessionGraphs.batch`
        returns, without :obj:`y`.
    """
    # Any click may stand in for the target: a prefix knows nothing of it.
    ptr = cumsum(length + 1)
    target = ptr[1:] - 1
    is_click = torch.ones(item.numel() + length.numel(), dtype=torch.bool)
    is_click[target] = False
    clicks = torch.zeros(is_click.numel(), dtype=torch.long)
    clicks[is_click] = item
    graphs = SessionGraphs(Sessions(clicks, ptr, target))
    batch = graphs.batch(torch.arange(length.numel()))
    del batch['y'], batch._slice_dict['y'], batch._inc_dict['y']
    return batch
