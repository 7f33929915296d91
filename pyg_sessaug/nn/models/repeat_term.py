r"""What a model gives to items that a session has clicked before."""

from typing import Any, Tuple

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from pyg_sessaug.nn.models.session_model import as_batch


class RepeatTerm(Module):
    r"""Raises or lowers the scores of the items that a session has clicked.

    .. math::
        \textrm{score}'_v = \textrm{score}_v + [v \in S] \, (a_{k(v)} +
        b_{n(v)})

    with :math:`k(v)` the clicks since the last one on :math:`v`, 0 for the
    last item, and :math:`n(v)` the clicks on it before that. Item vectors
    say what goes with what, but not that people return: cosines leave the
    items of the session close to one another, whatever they mean. The model
    does not train here; :func:`~pyg_sessaug.training.fit_repeats` finds the
    :math:`2 K` numbers.

    Args:
        model (torch.nn.Module): The model, whose scores are logarithms of
            probabilities but for a constant: a network or a blend.
        num_clicks (int): Number :math:`K` of values of :math:`k` and
            :math:`n`; higher ones share the last. (default: :obj:`12`)

    Example:
        >>> from pyg_sessaug.nn import RepeatTerm, SRGNN
        >>> model = RepeatTerm(SRGNN(num_items=9, hidden_channels=8))
        >>> model.bias.size()  # Zero until fit_repeats has found it
        torch.Size([2, 12])
    """

    bias: Tensor

    def __init__(self, model: Module, num_clicks: int = 12) -> None:
        super().__init__()
        if num_clicks < 1:
            raise ValueError(
                f'RepeatTerm got num_clicks={num_clicks}; pass at least 1'
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
        node, since, before = self.clicked(data)
        term = self.bias[0][since] + self.bias[1][before]
        place = data.batch[node], data.x[node]
        return score.index_put(place, term.to(score.dtype), accumulate=True)

    def clicked(self, data: Data) -> Tuple[Tensor, Tensor, Tensor]:
        r"""The nodes that clicks are on, and :math:`k` and :math:`n` of each,
        int64, below :obj:`num_clicks`.

        Args:
            data (Batch): The session graphs.
        """
        click, ptr = data.click_index, data.click_index_ptr
        session = data.batch.index_select(0, click)
        place = torch.arange(click.numel(), device=click.device)
        since = ptr[1:].index_select(0, session) - 1 - place
        node, inverse, count = click.unique(
            return_inverse=True, return_counts=True
        )
        highest = self.num_clicks - 1
        last = torch.full_like(node, highest)
        last = last.scatter_reduce(0, inverse, since, 'amin')
        return node, last, (count - 1).clamp(max=highest)

    def extra_repr(self) -> str:
        return f'num_clicks={self.num_clicks}'
