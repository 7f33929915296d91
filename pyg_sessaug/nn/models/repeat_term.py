r"""What a model gives to items that a session has clicked before."""

from torch import Tensor
from torch.nn import Module

from pyg_sessaug.nn.models.session_term import SessionTerm


class RepeatTerm(SessionTerm):
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

    what = 'repeats'

    def __init__(self, model: Module, num_clicks: int = 12) -> None:
        super().__init__(model, num_clicks)
        self.num_groups = self.num_items

    def group(self, item: Tensor) -> Tensor:
        return item

    def add(
        self, score: Tensor, session: Tensor, group: Tensor, value: Tensor
    ) -> Tensor:
        return score.index_put((session, group), value, accumulate=True)

    def share(self, log_p: Tensor, session: Tensor, group: Tensor) -> Tensor:
        return log_p[session, group].exp()
