r"""A mixture of models."""

from typing import Any, Optional, Sequence

import torch
from torch import Tensor
from torch.nn import Module, ModuleList
from torch_geometric.data import Data

from pyg_sessaug.transforms.at_test import graphs_of_member

# EM stops once no weight changes by more, or after so many rounds.
TOLERANCE, ROUNDS = 1e-6, 2000


class Blend(Module):
    r"""Mixes the probabilities that its members give each item.

    .. math::
        \textrm{score}_v = \log \sum_m w_m \, p_m(v), \quad
        w_m \geq 0, \quad \sum_m w_m = 1

    Networks know what sessions are like, neighbours what this one is like:
    they err on different samples. A member's probabilities are the softmax
    of its scores; counts are divided by their sum, and a session that they
    know nothing of is left to the other members. Members do not train here;
    :func:`~pyg_sessaug.training.fit_blend` finds the weights.

    Args:
        members (list of torch.nn.Module): Models of the same items: networks,
            seeds of one network, counts, or other blends.
        weights (list of float, optional): Weight of each member, scaled to
            sum to one. (default: :obj:`None`, all alike)

    Raises:
        ValueError: If there is no member, members have unequal numbers of
            items, or weights are negative, not as many or all zero.

    Example:
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> from pyg_sessaug.counts import VSKNN
        >>> from pyg_sessaug.nn import Blend, SRGNN
        >>> train = MultimodalSessions('data', num_sessions=100, num_items=30)
        >>> neighbors = VSKNN(train.num_items).fit(train)
        >>> model = Blend([SRGNN(train.num_items, 8), neighbors], [0.7, 0.3])
        >>> model.weight
        tensor([0.7000, 0.3000])
    """

    weight: Tensor

    def __init__(
        self,
        members: Sequence[Module],
        weights: Optional[Sequence[float]] = None,
    ) -> None:
        super().__init__()
        self.members = ModuleList(members)
        sizes = [member.num_items for member in members]
        if len(set(sizes)) != 1:
            raise ValueError(
                f'Blend got members of {sizes} items; pass at least one, and '
                f'models of the same items'
            )
        if weights is None:
            weights = [1.0] * len(members)
        weight = torch.tensor(weights)
        if (
            weight.size() != (len(members),)
            or not bool((weight >= 0).all())
            or not 0 < float(weight.sum()) < torch.inf
        ):
            raise ValueError(
                f'Blend got weights {weights} for {len(members)} members; '
                f'pass one for each, none negative'
            )
        self.register_buffer('weight', weight / weight.sum())

    @property
    def num_items(self) -> int:
        r"""Size of the vocabulary."""
        model: Any = self.members[0]
        return model.num_items

    def score(self, data: Data) -> Tensor:
        r"""Logarithms of the mixed probabilities, ``[B, num_items]``,
        float32; minus infinity where all members say zero.
        """
        out = None
        for weight, member in zip(self.weight.log().tolist(), self.members):
            if weight == -torch.inf:
                continue
            graphs = graphs_of_member(member, data)
            part = log_probability(member, graphs) + weight
            out = part if out is None else torch.logaddexp(out, part)
        assert out is not None  # Weights sum to one.
        # What a silent member left over is the others'; of a session that
        # none knows there is nothing to share.
        total = out.logsumexp(dim=1, keepdim=True)
        return out - total.clamp(min=torch.finfo(out.dtype).min)

    log_probability = score

    def fit_weights(self, log_probability: Tensor) -> None:
        r"""Sets the weights of the highest likelihood, by expectation
        maximisation from equal ones.

        The likelihood is concave in the weights, so its maximum is unique
        but for members that are alike.

        Args:
            log_probability (Tensor): Logarithm of the probability that each
                member gives the target of each sample, ``[n, M]``.

        Raises:
            ValueError: If no member knows any target, or the shape is
                another.
        """
        known = log_probability.cpu().double()
        if known.dim() != 2 or known.size(1) != len(self.members):
            raise ValueError(
                f'Blend got log_probability of shape {list(known.size())}; '
                f'pass [n, {len(self.members)}]'
            )
        known = known[known.amax(dim=1) > -torch.inf]
        if known.size(0) == 0:
            raise ValueError(
                'no member of the Blend gives any target a probability; pass '
                'samples of the items that they know'
            )
        weight = known.new_full([known.size(1)], 1 / known.size(1))
        for _ in range(ROUNDS):
            share = torch.softmax(known + weight.log(), dim=1).mean(dim=0)
            change = (share - weight).abs().max()
            weight = share
            if change < TOLERANCE:
                break
        self.weight.copy_(weight)

    def extra_repr(self) -> str:
        return f'weights={[round(x, 3) for x in self.weight.tolist()]}'


def log_probability(model: Any, data: Data) -> Tensor:
    r"""Logarithms of the probabilities that a model gives all items,
    ``[B, num_items]``: those that it tells itself, or by a softmax; minus
    infinity for a session of which it knows nothing.

    Args:
        model (torch.nn.Module): The model.
        data (Batch): The session graphs.
    """
    if hasattr(model, 'log_probability'):
        return model.log_probability(data)
    score = model.score(data)
    none = score.amax(dim=1, keepdim=True) == -torch.inf
    return score.log_softmax(dim=1).masked_fill(none, -torch.inf)
