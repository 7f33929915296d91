r"""Edge weights from the time between clicks."""

import math
from typing import Callable, Dict

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_sessaug.data.graphs import with_edges
from pyg_sessaug.transforms.click_gaps import shortest_gaps
from pyg_sessaug.transforms.utils import check_probability, single_weight

#: Weight of a gap in units of the scale; 1 where there is none.
FORMS: Dict[str, Callable[[Tensor], Tensor]] = {
    'linear': lambda gap: (1 - gap).clamp_(min=0),
    'exponential': lambda gap: (-gap).exp_(),
    'logarithmic': lambda gap: gap.log1p().add_(1).reciprocal_(),
}


@functional_transform('time_decay')
class TimeDecay(BaseTransform):
    r"""Weighs the edges of a session by the time between their clicks, the
    first idea of section 8.1 of the thesis
    (functional name: :obj:`time_decay`).

    With :math:`\Delta t_{i,j}` the seconds from a click on :math:`i` to the
    next click, on :math:`j`, and :math:`\tau` the :obj:`scale`:

    .. math::
        A_{i,j} = \begin{cases}
        \max(0, 1 - \Delta t_{i,j} / \tau) & \textrm{linear} \\
        \exp(-\Delta t_{i,j} / \tau) & \textrm{exponential} \\
        1 / (1 + \ln(1 + \Delta t_{i,j} / \tau)) & \textrm{logarithmic}
        \end{cases}

    All forms fall from 1, the weight in a plain graph, where the clicks are
    at once. The linear one is 0 from :math:`\tau` on: the edge is cut.
    An edge that occurs several times has the weight of its shortest gap,
    which is the largest of its weights. Edges between items that are not
    clicked one after the other, as those that a blur adds, keep their
    weight.
    Every edge is drawn with probability :obj:`p`; one not drawn keeps its
    weight, too.
    Follow it by :class:`~pyg_sessaug.transforms.NormalizeEdges`, and use it
    in training only.

    Args:
        form (str): :obj:`"linear"`, :obj:`"exponential"` or
            :obj:`"logarithmic"`. (default: :obj:`"exponential"`)
        scale (float): :math:`\tau`, in seconds. Half of the gaps between
            clicks of YooChoose are shorter than the default.
            (default: :obj:`60.0`)
        p (float): Probability that an edge gets its weight.
            (default: :obj:`0.5`)

    Raises:
        ValueError: If :obj:`form` is unknown, :obj:`scale` is not positive
            and finite, :obj:`p` is no probability or, when called, if clicks
            have no times, times that are not finite, or times that go back.

    Shapes:
        - **input:** edges :math:`(2, |\mathcal{E}|)` in :obj:`edge_index`,
          the node of each click :math:`(L)` int64 in :obj:`click_index`,
          its seconds :math:`(L)` in :obj:`click_time` and, optionally,
          weights :math:`(|\mathcal{E}|)` in :obj:`edge_weight` (ones
          otherwise)
        - **output:** weights :math:`(|\mathcal{E}|)` in :obj:`edge_weight`

    Example:
        >>> import torch
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.transforms import TimeDecay
        >>> data = list_batch([[0, 1, 2]])
        >>> data.click_time = torch.tensor([0.0, 60.0, 60.0])
        >>> TimeDecay(p=1.0)(data).edge_weight
        tensor([0.3679, 1.0000])
    """

    batchwise = True

    def __init__(
        self,
        form: str = 'exponential',
        scale: float = 60.0,
        p: float = 0.5,
    ) -> None:
        if form not in FORMS:
            raise ValueError(
                f'TimeDecay got form={form!r}; choose one of {list(FORMS)}'
            )
        if not 0 < scale < math.inf:
            raise ValueError(
                f'TimeDecay got scale={scale}; pass a positive number of '
                f'seconds'
            )
        check_probability('TimeDecay', p)
        self.form = form
        self.scale = scale
        self.p = p

    def forward(self, data: Data) -> Data:
        shortest = shortest_gaps('TimeDecay', data)
        old = single_weight(data)
        if old.numel() == 0:
            return data
        weight = FORMS[self.form](shortest / self.scale).to(old.dtype)
        # `rand` is below 1, so `<` draws none for p=0 and all for p=1.
        drawn = torch.rand(old.numel(), device=old.device) < self.p
        drawn &= shortest.isfinite()
        return with_edges(data, edge_weight=torch.where(drawn, weight, old))

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(form={self.form!r}, '
            f'scale={self.scale}, p={self.p})'
        )
