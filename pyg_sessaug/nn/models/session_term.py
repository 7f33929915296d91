r"""What a model gives to items that have to do with what was clicked."""

from abc import ABC, abstractmethod
from typing import Any, Tuple

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from pyg_sessaug.nn.models.session_model import as_batch


class SessionTerm(Module, ABC):
    r"""Raises or lowers the scores of groups of items by when, and how often,
    a session has clicked on one of the group.

    Args:
        model (torch.nn.Module): The model, whose scores are logarithms of
            probabilities but for a constant.
        num_clicks (int): Number :math:`K` of values for either; higher ones
            share the last.

    Raises:
        ValueError: If :obj:`num_clicks` is below 1.
    """

    bias: Tensor
    #: What it is for.
    what: str
    #: Number of groups.
    num_groups: int

    def __init__(self, model: Module, num_clicks: int) -> None:
        super().__init__()
        if num_clicks < 1:
            raise ValueError(
                f'{self.__class__.__name__} got num_clicks={num_clicks}; '
                f'pass at least 1'
            )
        self.model: Any = model
        self.num_clicks = num_clicks
        self.register_buffer('bias', torch.zeros(2, num_clicks))

    @property
    def test_transform(self) -> Any:
        r"""What graphs go through before they are scored."""
        return getattr(self.model, 'test_transform', None)

    @property
    def num_items(self) -> int:
        r"""Size of the vocabulary."""
        size: int = self.model.num_items
        return size

    def score(self, data: Data) -> Tensor:
        r"""Scores of all items, ``[B, num_items]``."""
        data = as_batch(data)
        score = self.model.score(data)
        session, group, since, before = self.clicked(data)
        value = self.bias[0][since] + self.bias[1][before]
        return self.add(score, session, group, value.to(score.dtype))

    def clicked(self, data: Data) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        r"""The groups that sessions have clicked on, ``[G]`` each, int64:
        their session, the group, the clicks since the last one on it, and the
        clicks on it before that, both below :obj:`num_clicks`.

        Args:
            data (Batch): The session graphs.
        """
        click, ptr = data.click_index, data.click_index_ptr
        session = data.batch.index_select(0, click)
        place = torch.arange(click.numel(), device=click.device)
        since = ptr[1:].index_select(0, session) - 1 - place
        size = self.num_groups
        group = self.group(data.x.index_select(0, click))
        known = group >= 0
        session, since = session[known], since[known]
        key, inverse, count = (session * size + group[known]).unique(
            return_inverse=True, return_counts=True
        )
        highest = self.num_clicks - 1
        last = torch.full_like(key, highest)
        last = last.scatter_reduce(0, inverse, since, 'amin')
        before = (count - 1).clamp(max=highest)
        return key // size, key % size, last, before

    @abstractmethod
    def group(self, item: Tensor) -> Tensor:
        r"""The group of each item, int64, below 0 for none."""

    @abstractmethod
    def add(
        self, score: Tensor, session: Tensor, group: Tensor, value: Tensor
    ) -> Tensor:
        r"""Scores ``[B, num_items]`` with a value for each of some groups."""

    @abstractmethod
    def share(self, log_p: Tensor, session: Tensor, group: Tensor) -> Tensor:
        r"""Sums over some groups of the probabilities whose logarithms are
        given, ``[B, num_items]``.
        """

    def extra_repr(self) -> str:
        return f'num_clicks={self.num_clicks}'
