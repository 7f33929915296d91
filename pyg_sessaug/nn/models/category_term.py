r"""What a model gives to items of the categories of a session."""

import torch
from torch import Tensor
from torch.nn import Module

from pyg_sessaug.nn.models.session_term import SessionTerm


class CategoryTerm(SessionTerm):
    r"""Raises or lowers the scores of all items of the categories that a
    session has clicked.

    .. math::
        \textrm{score}'_v = \textrm{score}_v + [c_v \in c_S] \, (a_{k(c_v)} +
        b_{n(c_v)})

    with :math:`k(c)` the clicks since the last one on category :math:`c`, 0
    for that of the last item, and :math:`n(c)` the clicks on it before that.
    A network has to learn item by item what belongs together; this says it of
    the rare ones, too. The model does not train here;
    :func:`~pyg_sessaug.training.fit_categories` finds the :math:`2 K`
    numbers. Items without a category get nothing.

    Args:
        model (torch.nn.Module): The model, whose scores are logarithms of
            probabilities but for a constant: a network, a blend, or one with
            a :class:`~pyg_sessaug.nn.RepeatTerm`.
        category (Tensor): Category of each item, ``[num_items]``, int64, -1
            where it is not known, as in a data set's :obj:`categories`.
        num_clicks (int): Number :math:`K` of values of :math:`k` and
            :math:`n`; higher ones share the last. (default: :obj:`12`)

    Raises:
        ValueError: If there is not one category for each item.

    Example:
        >>> import torch
        >>> from pyg_sessaug.nn import CategoryTerm, SRGNN
        >>> category = torch.tensor([0, 0, 1, -1])
        >>> model = CategoryTerm(SRGNN(num_items=4), category)
        >>> model.bias.size()  # Zero until fit_categories has found it
        torch.Size([2, 12])
    """

    what = 'categories'
    category: Tensor

    def __init__(
        self, model: Module, category: Tensor, num_clicks: int = 12
    ) -> None:
        super().__init__(model, num_clicks)
        size = [self.num_items]
        if list(category.size()) != size or category.is_floating_point():
            raise ValueError(
                f'CategoryTerm got categories of shape '
                f'{list(category.size())} and type {category.dtype} for a '
                f'model of {size[0]} items; pass {size} int64'
            )
        self.num_groups = max(0, int(category.max())) + 1
        self.register_buffer('category', category.long())

    def group(self, item: Tensor) -> Tensor:
        return self.category.index_select(0, item)

    def add(
        self, score: Tensor, session: Tensor, group: Tensor, value: Tensor
    ) -> Tensor:
        table = score.new_zeros(score.size(0), self.num_groups + 1)
        table = table.index_put((session, group), value)
        return score + table.index_select(1, self._places())

    def share(self, log_p: Tensor, session: Tensor, group: Tensor) -> Tensor:
        table = log_p.new_zeros(log_p.size(0), self.num_groups + 1)
        table.index_add_(1, self._places(), log_p.exp())
        return table[session, group]

    def _places(self) -> Tensor:
        r"""The category of each item, behind all others where it has none."""
        return torch.where(self.category < 0, self.num_groups, self.category)
