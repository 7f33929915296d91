r"""What models share that look at similar sessions."""

import copy
from typing import Any, Optional

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_sessaug.counts.neighbor_items import NeighborItems
from pyg_sessaug.nn.aggr.context_readout import ContextReadout
from pyg_sessaug.nn.models.session_model import (
    SessionModel,
    check_training,
)


class ContextModel(SessionModel):
    r"""Lets a session vector attend to what similar older sessions hold.

    With :obj:`context`, make the model by :meth:`from_dataset`, which takes
    the training sessions and finds neighbours for all of their parts. The
    sessions are part of the model from then on, of its files too, and
    validation, tests and recommendations ask them.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        context (int): Items that
            :class:`~pyg_sessaug.counts.NeighborItems` gives each session,
            read by :class:`~pyg_sessaug.nn.ContextReadout`; 20 is a good
            number. (default: :obj:`0`, none)
        shuffled_context (bool): Whether each session gets the items of a
            session of other items, as a control. (default: :obj:`False`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SessionModel`.
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        context: int = 0,
        shuffled_context: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        if context < 0:
            raise ValueError(f'context must be 0 or more, got {context}')
        self.context = context
        self.shuffled_context = shuffled_context
        self.neighbors: Optional[NeighborItems] = None
        self.context_readout: Optional[ContextReadout] = None
        if context > 0:
            self.neighbors = NeighborItems(
                num_items, context, shuffled_context
            )
            self.context_readout = ContextReadout(hidden_channels)

    def observe(self, dataset: Any) -> None:
        r"""Finds neighbours for all parts of the sessions of a data set, and
        keeps them beside the prepared data.

        Args:
            dataset (SessionDataset): The training samples.

        Raises:
            ValueError: If the data are not those of training.
        """
        if self.neighbors is not None:
            check_training(self, dataset)
            self.neighbors.fit(dataset, dataset.processed_dir)

    def prepare(self, data: Data) -> Data:
        r"""A batch with the items around each session: :obj:`context_item`
        ``[K]``, :obj:`context_weight` ``[K]`` and :obj:`context_ptr`
        ``[B + 1]``.
        """
        data = super().prepare(data)
        if self.neighbors is None:
            return data
        votes, data = self.neighbors(data), copy.copy(data)
        data.context_item, data.context_weight, data.context_ptr = votes
        return data

    def items(self, data: Data) -> Tensor:
        r"""Items of the nodes, then those around the sessions, ``[N + K]``,
        int64.
        """
        item = super().items(data)
        if self.neighbors is None:
            return item
        return torch.cat([item, data.context_item])

    def _vector(self, x: Tensor, data: Data) -> Tensor:
        if self.context_readout is None:
            return super()._vector(x, data)
        size = data.context_item.numel()
        own, around = x.split([x.size(0) - size, size])
        session = self._shape(self.session(own, data))
        return self.unit(
            self.context_readout(
                session, around, data.context_weight, data.context_ptr
            )
        )
