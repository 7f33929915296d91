r"""Edge weights by how often other sessions take the same step."""

from typing import Tuple

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform

from pyg_sessaug.counts import CoVisits
from pyg_sessaug.data.graphs import node_batch, with_edges
from pyg_sessaug.transforms.covisit_transform import CovisitTransform
from pyg_sessaug.transforms.utils import (
    check_probability,
    items_of,
    sessions_of,
    single_weight,
)


@functional_transform('covisit_weight')
class CovisitWeight(CovisitTransform):
    r"""Weighs the edges of a session by what other sessions say of their
    items (functional name: :obj:`covisit_weight`).

    .. math::
        w_{i \to j} \leftarrow w_{i \to j} \Big( 1 + \frac{M_{ij}}{\bar{M}}
        \Big)

    with :math:`M` of :class:`~pyg_sessaug.counts.CoVisits` and
    :math:`\bar{M}` its mean over the pairs that occur. A step that no other
    session takes keeps its weight; one of average strength weighs twice as
    much. By ``CoVisits(num_items, max_gap=1, backward=0.0, item_power=0.0,
    row_power=0.0)`` these are counts of transitions.

    A part of a training session is weighed by the sessions of other folds:
    it would otherwise find each of its own steps at least once, which no new
    session does.

    It is no augmentation: it runs in validation and tests too, before
    :class:`NormalizeEdges`.

    Args:
        covisits (CoVisits): Whom to ask; fit it to the training samples
            before.
        p (float): Probability that an edge of a training session gets its
            weight; all others do. (default: :obj:`1.0`)
        shuffled (bool): Whether each edge gets the weight of a step of other
            items, as a control: same law, no news. It is a step that a
            training session takes from another item of the same tenth of the
            clicked items by clicks; which item that is is drawn here.
            (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`p` is no probability, nothing was counted or,
            when called, a session is none of those counted.

    Shapes:
        - **input:** items :math:`(|\mathcal{V}|)` int64 in :obj:`x`, edges
          :math:`(2, |\mathcal{E}|)` in :obj:`edge_index` and, optionally,
          weights :math:`(|\mathcal{E}|)` in :obj:`edge_weight` (ones
          otherwise) and the number of the training session :math:`(1)` int64
          in :obj:`session` (-1 for none)
        - **output:** weights :math:`(|\mathcal{E}|)` in :obj:`edge_weight`

    Example:
        >>> from pyg_sessaug.counts import CoVisits
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> from pyg_sessaug.transforms import CovisitWeight
        >>> train = MultimodalSessions('data', num_sessions=100, num_items=30)
        >>> weigh = CovisitWeight(CoVisits(train.num_items).fit(train))
        >>> bool((weigh(train[5]).edge_weight >= 1).all())
        True
    """

    def __init__(
        self, covisits: CoVisits, p: float = 1.0, shuffled: bool = False
    ) -> None:
        check_probability('CovisitWeight', p)
        super().__init__(covisits, shuffled)
        self.p = p

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        if self.shuffled:
            self.covisits.steps()

    def forward(self, data: Data) -> Data:
        counts = self.covisits
        old = single_weight(data)
        item = items_of('CovisitWeight', data, counts.num_items, 'covisits')
        graph = node_batch(data)[0].index_select(0, data.edge_index[0])
        session = sessions_of(data).index_select(0, graph)
        pair = item[data.edge_index].to(counts.item.device)
        asked = pair[0], pair[1], session.to(pair.device)
        if self.order is not None:
            asked = self._others(*asked)
        strength = counts.strength(*asked).to(old)
        weight = old * (1 + strength / counts.mean)
        # `rand` is below 1, so `<` draws none for p=0 and all for p=1.
        drawn = torch.rand(old.numel(), device=old.device) < self.p
        drawn |= session < 0
        return with_edges(data, edge_weight=torch.where(drawn, weight, old))

    def _others(
        self, source: Tensor, target: Tensor, session: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor]:
        r"""A step of training from another item for each step, and the
        session that takes it.
        """
        assert self.order is not None
        counts = self.covisits
        step, ptr = counts.steps()
        other = self.order.to(source.device)[source]
        count = ptr[other + 1] - ptr[other]
        # Any rule does that sends equal steps to the same one.
        place = ptr[other] + (31 * source + 7919 * target) % count.clamp(min=1)
        click = step[place.clamp(max=step.numel() - 1)]
        target = torch.where(count > 0, counts.item[click + 1], other)
        session = torch.searchsorted(counts.ptr, click, right=True) - 1
        return other, target, session

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(p={self.p}, shuffled={self.shuffled})'
        )
