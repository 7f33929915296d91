r"""A table of clicks, as readers give it to preprocessing."""

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Optional, Union

import torch
from torch import Tensor

from pyg_sessaug.data.sessions import look_up, masked


@dataclass
class Clicks:
    r"""A table of clicks.

    Args:
        session (Tensor): Session of each click, ``[num_clicks]``, integers of
            any value.
        item (Tensor): Raw item id of each click, ``[num_clicks]``, integers;
            a position in :obj:`item_names` where that is given.
        time (Tensor): Seconds of each click, ``[num_clicks]``, float64.
        order (Tensor, optional): What sorts the clicks of a session,
            ``[num_clicks]``. (default: :obj:`None`, which is :obj:`time`)
        date (Tensor, optional): Seconds, ``[num_clicks]``, float64; that of
            its last row in the log dates a session. (default: :obj:`None`,
            a session's date is the time of its last click)
        category (Tensor, optional): Category of each click,
            ``[num_clicks]``, int64 from 0, or -1 for none.
            (default: :obj:`None`)
        item_names (list or Tensor, optional): Raw item ids by position.
            (default: :obj:`None`)
        row (Tensor, optional): Row of each click in the log,
            ``[num_clicks]``, integers. (default: :obj:`None`, in the order
            of the log)
        part (Tensor, optional): Of a log that is split already: 0 for
            training, 1 for validation, 2 for test, ``[num_clicks]``.
            (default: :obj:`None`)
        category_names (list, optional): What categories stand for.
            (default: :obj:`None`)
        report (dict): What the reader has to say.
            (default: an empty one)
    """

    session: Tensor
    item: Tensor
    time: Tensor
    order: Optional[Tensor] = None
    date: Optional[Tensor] = None
    category: Optional[Tensor] = None
    item_names: Union[List[str], Tensor, None] = None
    row: Optional[Tensor] = None
    part: Optional[Tensor] = None
    category_names: Optional[List[str]] = None
    report: Dict[str, Any] = field(default_factory=dict)

    @property
    def raw_item(self) -> Tensor:
        r"""Raw ids that are integers, ``[num_clicks]``, int64."""
        if isinstance(self.item_names, Tensor):
            return self.item_names[self.item.long()]
        return self.item.long()

    def clear(self) -> None:
        r"""Lets go of all clicks."""
        for key, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, key, value[:0].clone())

    def select(self, keep: Tensor) -> 'Clicks':
        r"""The clicks of a mask, ``[num_clicks]`` bool, or of indices."""
        pick = masked if keep.dtype == torch.bool else look_up
        values: Dict[str, Any] = {
            key: pick(value, keep)
            for key, value in vars(self).items()
            if isinstance(value, Tensor) and key != 'item_names'
        }
        return replace(self, **values)
