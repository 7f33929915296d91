r"""What transforms that ask co-visits have in common."""

from typing import Optional

import torch
from torch import Tensor
from torch_geometric.transforms import BaseTransform

from pyg_sessaug.counts import CoVisits
from pyg_sessaug.counts.session_counts import exchanged_items


class CovisitTransform(BaseTransform):
    r"""Base of transforms that ask co-visits.

    Args:
        covisits (CoVisits): Whom to ask; fit it to the training samples
            before.
        shuffled (bool): Whether each item stands for another one of the same
            tenth of the clicked items by clicks, as a control; which one is
            drawn here, and kept in :obj:`order`, ``[num_items]``.

    Raises:
        ValueError: If nothing was counted.
    """

    batchwise = True

    #: That it belongs to validation and tests too.
    at_test = True

    def __init__(self, covisits: CoVisits, shuffled: bool) -> None:
        covisits.check(torch.empty(0, dtype=torch.long))
        self.covisits = covisits
        self.shuffled = shuffled
        self.order: Optional[Tensor] = None
        if shuffled:
            self.order = exchanged_items(covisits.item, covisits.num_items)

    def set_epoch(self, epoch: int) -> None:
        r"""Counts what training needs, before other processes take it."""
        self.covisits.cross_fit()
