r"""A session of several modes has a vector for its last one and another."""

from typing import Any, Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear
from torch.utils.data import Subset
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from pyg_sessaug.data.devices import is_exporting
from pyg_sessaug.nn.loss.catalogue import (
    catalogue_cross_entropy,
    check_target,
    product,
)
from pyg_sessaug.nn.models.srgnn_plus import SRGNNPlus


class SRGNNModes(SRGNNPlus):
    r"""SRGNNPlus with two vectors for a session whose items are of several
    categories: one read from the clicks on items of the last one's category,
    one from the rest.

    All clicks pass messages in one graph. Each vector has a softmax over all
    items, and a learned share mixes their probabilities:

    .. math::
        p(v) = \pi \, \textrm{softmax}_v(\mathbf{s}_1^{\top} \mathbf{e}_v) +
        (1 - \pi) \, \textrm{softmax}_v(\mathbf{s}_2^{\top} \mathbf{e}_v),
        \quad \pi = \sigma(\mathbf{w}^{\top} [\mathbf{s}_1 \,\Vert\,
        \mathbf{s}_2] + b)

    A session of one category has one vector, and the scores of
    :class:`~pyg_sessaug.nn.SRGNNPlus`. Items of unknown category count to
    the last one's. This takes the hypothesis of multimodal sessions at its
    word: they ask for items of their last mode, or of another.

    Make it by :meth:`from_dataset`, which takes the categories of the items.
    They are part of the model from then on, of its files too.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        shuffled_modes (bool): Whether chance says which clicks belong to the
            last one's mode, as many as do by category, as a control.
            (default: :obj:`False`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SRGNNPlus`;
            :obj:`context` is none of them.

    Example:
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> from pyg_sessaug.nn import SRGNNModes
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> train = MultimodalSessions('data', num_sessions=100, num_items=30)
        >>> model = SRGNNModes.from_dataset(train, hidden_channels=8)
        >>> model.score(NormalizeEdges()(train[5])).size()
        torch.Size([1, 30])
    """

    category: Optional[Tensor]
    chance: Tensor

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        shuffled_modes: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        if self.context > 0:
            raise ValueError(
                f'SRGNNModes has no one vector of a session that could read '
                f'a context, got context={self.context}; leave it out, or '
                f'choose SRGNNPlus'
            )
        self.shuffled_modes = shuffled_modes
        self.lin_share = Linear(2 * hidden_channels, 1)
        self.register_buffer('category', None)
        if shuffled_modes:  # By it, clicks are chosen.
            self.register_buffer('chance', torch.randperm(num_items))

    def observe(self, dataset: Any) -> None:
        r"""Takes the categories of a data set's items.

        Args:
            dataset (SessionDataset): The training samples.

        Raises:
            ValueError: If the data set has none, or other items.
        """
        super().observe(dataset)
        while isinstance(dataset, Subset):
            dataset = dataset.dataset
        category = getattr(dataset, 'categories', None)
        if category is None:
            raise ValueError(
                'SRGNNModes tells the modes of a session by the categories '
                'of its items, and the data set has none; name their column '
                '(--category), or train another model anew, such as SRGNNPlus '
                '(--model srgnn-plus)'
            )
        if category.numel() != self.num_items:
            raise ValueError(
                f'SRGNNModes got {category.numel()} categories for '
                f'{self.num_items} items; make it with the num_items of the '
                f'data set'
            )
        self.category = category.to(self.item_embedding.device, copy=True)

    def forward(self, data: Data) -> Tensor:
        r"""Vectors of the last modes, ``[B, d]``; the scores are not theirs
        alone.
        """
        data = self.prepare(data)
        vector, _, _ = self._modes(self._rows(data), data)
        return vector[: data.ptr.numel() - 1]

    def score(self, data: Data) -> Tensor:
        r"""Scores of all items, ``[B, num_items]``, float32; their softmax
        is the mixture.
        """
        data = self.prepare(data)
        x, table = self._rows_and_table(data)
        vector, share, session = self._modes(x, data)
        score = product(vector, table.t())
        own, rest = score.tensor_split([data.ptr.numel() - 1])
        first = own.index_select(0, session)
        # Both laws get the sum of exponentials that the first one has.
        other = first.logsumexp(1, True) - rest.logsumexp(1, True)
        both = torch.logaddexp(
            first + F.logsigmoid(share), rest + (other + F.logsigmoid(-share))
        )
        return own.index_copy(0, session, both)

    def loss(self, data: Data) -> Tensor:
        r"""Mean of the targets' negative log-probabilities."""
        data = self.prepare(data)
        size = data.ptr.numel() - 1
        check_target(data.y, size, self.num_items)
        x, table = self._lookup(data)
        vector, share, session = self._modes(x, data)
        loss = catalogue_cross_entropy(
            vector,
            table,
            torch.cat([data.y, data.y.index_select(0, session)]),
            self.precision,
            reduction='none',
        )
        own, rest = loss.unsqueeze(1).tensor_split([size])
        both = torch.logaddexp(
            F.logsigmoid(share) - own.index_select(0, session),
            F.logsigmoid(-share) - rest,
        )
        return own.index_copy(0, session, -both).mean()

    def _modes(self, x: Tensor, data: Data) -> Tuple[Tensor, Tensor, Tensor]:
        r"""Vectors of the last modes and, behind them, of the rests,
        ``[B + R, d]``; the logits of the last modes' shares, ``[R, 1]``; and
        the sessions that have a rest, ``[R]``.
        """
        h = self.clicks(x, data)
        size = data.ptr.numel() - 1
        # All last modes, then all rests, clicks in their order.
        group = data.batch.index_select(0, data.click_index)
        group = torch.where(self.is_last_mode(data), group, group + size)
        group, order = group.sort(stable=True)
        count = group.new_zeros(2 * size)
        count.index_add_(0, group, torch.ones_like(group))
        vector = self.read(h.index_select(0, order), group, cumsum(count))
        own, rest = vector[:size], vector[size:]
        empty = count[size:] == 0
        if is_exporting():  # A program knows sizes before values.
            session = torch.arange(size, device=x.device)
        else:
            session = (~empty).nonzero().view(-1)
        rest = rest.index_select(0, session)
        first = own.index_select(0, session)
        share = self.lin_share(torch.cat([first, rest], dim=1))
        alone = empty.index_select(0, session).unsqueeze(1)
        share = share.masked_fill(alone, torch.inf)
        return self.unit(torch.cat([own, rest])), share, session

    def is_last_mode(self, data: Data) -> Tensor:
        r"""Whether each click is of the last one's mode, ``[L]``, bool.

        Args:
            data (Batch): The session graphs.

        Raises:
            ValueError: If no categories are known.
        """
        if self.category is None:
            raise ValueError(
                'SRGNNModes knows no categories of items yet; make it by '
                'SRGNNModes.from_dataset(train), or call observe(train)'
            )
        item = data.x.index_select(0, data.click_index)
        session = data.batch.index_select(0, data.click_index)
        ptr = data.click_index_ptr
        last = item.index_select(0, ptr[1:] - 1).index_select(0, session)
        category, wanted = self.category[item], self.category[last]
        own = (category == wanted) | (category < 0) | (wanted < 0)
        if not self.shuffled_modes:
            return own
        # As many clicks of each session as are of one mode: those on its last
        # item, then others by chance, those on one item together as far as
        # their number allows.
        chance = self.chance[item].masked_fill(item == last, -1)
        chance[ptr[1:] - 1] = -2
        order = chance.argsort(stable=True)
        order = order[session.index_select(0, order).argsort(stable=True)]
        count = session.new_zeros(ptr.numel() - 1)
        count.index_add_(0, session, own.long())
        place = torch.arange(item.numel(), device=item.device)
        place = place - ptr.index_select(0, session)
        out = torch.empty_like(own)
        out[order] = place < count.index_select(0, session)
        return out

    def _load_from_state_dict(
        self, state_dict: Dict[str, Any], prefix: str, *args: Any
    ) -> None:
        # A state has the categories that its model had taken.
        known = state_dict.get(f'{prefix}category')
        if known is not None and known.numel() == self.num_items:
            device = self.item_embedding.device
            self.category = torch.empty_like(known, device=device)
        super()._load_from_state_dict(state_dict, prefix, *args)
