r"""Softmax cross-entropy over a sample of the items."""

from typing import Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor


class Negatives:
    r"""Draws items that all sessions of a batch are compared with.

    Item :math:`v`, a target :math:`c_v` times, is drawn with probability
    :math:`p_v \propto \max(c_v, 1)^{\alpha}`, with replacement. A session is
    compared with :math:`m` such items and with the targets of the other
    :math:`B - 1` sessions of its batch, among which :math:`v` is expected so
    many times:

    .. math::
        n_v = m p_v + (B - 1) \frac{c_v}{\sum_u c_u}

    Args:
        popularity (Tensor): How often each item is a target,
            ``[num_items]``, none below zero.
        num_negatives (int): Number :math:`m` of items to draw.
            (default: :obj:`2048`)
        power (float): :math:`\alpha`, 0 for equal probabilities.
            (default: :obj:`0.75`, that of `word2vec
            <https://arxiv.org/abs/1310.4546>`_)
        device (torch.device or str, optional): Where the items are wanted.
            (default: :obj:`None`, the CPU)

    Example:
        >>> import torch
        >>> from pyg_sessaug.nn import Negatives
        >>> negatives = Negatives(torch.tensor([9, 3, 0]), num_negatives=4)
        >>> negatives.draw().size()
        torch.Size([4])
    """

    def __init__(
        self,
        popularity: Tensor,
        num_negatives: int = 2048,
        power: float = 0.75,
        device: Union[str, torch.device, None] = None,
    ) -> None:
        if num_negatives < 1 or power < 0:
            raise ValueError(
                f'Negatives got num_negatives={num_negatives} and '
                f'power={power}; pass at least 1 item and a power of at '
                f'least 0'
            )
        self.num_negatives, self.device = num_negatives, device
        popularity = popularity.cpu().double()
        weight = popularity.clamp(min=1.0).pow(power)
        # Drawn on the CPU: in double precision, which not all devices have.
        self.total = weight.cumsum(0)
        self.share = (weight / self.total[-1]).float().to(device)
        self.target_share = (popularity / popularity.sum()).float().to(device)

    def draw(self) -> Tensor:
        r"""Items, ``[num_negatives]``, int64."""
        place = torch.rand(self.num_negatives, dtype=torch.double)
        item = torch.searchsorted(
            self.total, place * self.total[-1], right=True
        )
        return item.clamp_(max=self.total.numel() - 1).to(self.device)

    def log_count(self, item: Tensor, num_targets: int) -> Tensor:
        r""":math:`\log n_v` of some items, in their shape, float32.

        Args:
            item (Tensor): The items, int64.
            num_targets (int): Size :math:`B` of the batch.
        """
        count = self.num_negatives * self.share[item]
        return (count + (num_targets - 1) * self.target_share[item]).log()


def sampled_cross_entropy(
    x: Tensor,
    positive: Tensor,
    target: Tensor,
    candidate: Tensor,
    item: Tensor,
    log_count: Optional[Tensor] = None,
) -> Tensor:
    r"""The mean softmax cross-entropy of sessions over some items.

    Candidates :math:`j` with items :math:`v_j` stand for all items but the
    target, each for as many as its expected number :math:`n` among them says;
    those that are the target by accident do not count:

    .. math::
        \mathcal{L} = \frac{1}{B} \sum_{b=1}^B \Big( \log \Big(
        \exp(\mathbf{x}_b^{\top} \mathbf{w}_{y_b}) + \sum_{v_j \neq y_b}
        \frac{\exp(\mathbf{x}_b^{\top} \mathbf{w}_{v_j})}{n_{v_j}} \Big) -
        \mathbf{x}_b^{\top} \mathbf{w}_{y_b} \Big)

    So the sum within the logarithm is on average that over all items,
    `log-q correction
    <https://www.iro.umontreal.ca/~lisa/pointeurs/importance_samplingIEEEtnn.pdf>`_.
    With every item once and no correction it is
    :func:`~pyg_sessaug.nn.catalogue_cross_entropy`.

    Args:
        x (Tensor): The session vectors.
        positive (Tensor): The embedding of each session's target.
        target (Tensor): The targets, int64.
        candidate (Tensor): The embeddings of the candidates.
        item (Tensor): Their items, int64.
        log_count (Tensor, optional): :math:`\log n` of each candidate, see
            :meth:`Negatives.log_count`. (default: :obj:`None`, zeros)

    Shapes:
        - **x, positive:** :math:`(B, d)`
        - **target:** :math:`(B)`
        - **candidate:** :math:`(C, d)`
        - **item, log_count:** :math:`(C)`
        - **output:** a scalar
    """
    score = x @ candidate.t()
    if log_count is not None:
        score = score - log_count
    score = score.masked_fill(item == target.view(-1, 1), -torch.inf)
    own = (x * positive).sum(dim=1, keepdim=True)
    return F.cross_entropy(
        torch.cat([own, score], dim=1), torch.zeros_like(target)
    )
