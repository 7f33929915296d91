"""The hypothesis of the thesis' Section 6.1 taken at its word: a session of
several modes asks for items of each.
"""

from typing import Any, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from pyg_sessaug.nn import SRGNNPlus
from pyg_sessaug.nn.loss.catalogue import product


class TwoModes(SRGNNPlus):
    """SRGNNPlus with at most two vectors for a session: one read from the
    clicks on items of the last one's category, one from the rest.

    Each has a softmax over all items; a learned share, of both vectors, mixes
    their probabilities. A session of one category has one vector and is
    scored as by SRGNNPlus. Items of unknown category count to the last mode.

    Args:
        shuffled: The control: as many clicks of each session are the last
            one's mode, but chance says which; those on one item stay as close
            as their number allows.
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        shuffled: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        self.shuffled = shuffled
        self.lin_share = Linear(2 * hidden_channels, 1)
        self.register_buffer('category', torch.full((num_items,), -1))
        self.register_buffer('chance', torch.randperm(num_items))

    def observe(self, dataset: Any) -> None:
        if dataset.categories is None:
            raise ValueError(
                'the data set has no categories, which are the modes'
            )
        self.category = dataset.categories

    def score(self, data: Data) -> Tensor:
        """Log-probabilities of all items, ``[B, num_items]``."""
        data = self.prepare(data)
        x, table = self._rows_and_table(data)
        vector, session, share = self.modes(x, data)
        value = product(vector, table.t()).log_softmax(dim=1)
        return mixed(value, session, share)

    def loss(self, data: Data) -> Tensor:
        data = self.prepare(data)
        x, table = self._lookup(data)
        vector, session, share = self.modes(x, data)
        target = torch.cat([data.y, data.y.index_select(0, session)])
        value = F.cross_entropy(vector @ table.t(), target, reduction='none')
        return -mixed(-value.unsqueeze(1), session, share).mean()

    def modes(self, x: Tensor, data: Data) -> Tuple[Tensor, Tensor, Tensor]:
        """Vectors of the last modes and, behind them, of the rests,
        ``[B + R, d]``; the sessions that have a rest, ``[R]``; and the logits
        of their last modes' shares, ``[R, 1]``.
        """
        h = self.clicks(x, data)
        part = 1 - self.is_last_mode(data).long()
        session = data.batch.index_select(0, data.click_index)
        size = data.ptr.numel() - 1
        # All last modes, then all rests, clicks in their order.
        order = (part * size + session).argsort(stable=True)
        group = (part * size + session).index_select(0, order)
        kept, group, count = group.unique_consecutive(
            return_inverse=True, return_counts=True
        )
        read = self.read(h.index_select(0, order), group, cumsum(count))
        session = kept[size:] - size
        first = read.index_select(0, session)
        share = self.lin_share(torch.cat([first, read[size:]], dim=1))
        return self.unit(read), session, share

    def is_last_mode(self, data: Data) -> Tensor:
        """Whether a click is of the last one's mode, ``[L]``, bool."""
        item = data.x.index_select(0, data.click_index)
        session = data.batch.index_select(0, data.click_index)
        end = data.click_index_ptr[1:] - 1
        category = self.category.index_select(0, item)
        last = category.index_select(0, end).index_select(0, session)
        own = (category == last) | (category < 0) | (last < 0)
        if not self.shuffled:
            return own
        chance = self.chance.index_select(0, item)
        chance[end] = -1  # Before all others.
        # Clicks of each session by chance; so many of them as it has of one
        # mode come first.
        order = chance.argsort(stable=True)
        order = order[session.index_select(0, order).argsort(stable=True)]
        start = data.click_index_ptr[:-1]
        count = start.new_zeros(start.size(0)).index_add_(
            0, session, own.long()
        )
        place = torch.arange(item.numel(), device=item.device)
        place = place - start.index_select(0, session)
        out = torch.empty_like(own)
        out[order] = place < count.index_select(0, session)
        return out


def mixed(value: Tensor, session: Tensor, share: Tensor) -> Tensor:
    """Log-probabilities of sessions, ``[B, N]``, from those of their modes.

    Args:
        value: Log-probabilities of last modes and of rests, ``[B + R, N]``.
        session: The sessions that have a rest, ``[R]``.
        share: Logits of their last modes' shares, ``[R, 1]``.
    """
    size = value.size(0) - session.numel()
    first = value[:size].index_select(0, session) + F.logsigmoid(share)
    both = torch.logaddexp(first, value[size:] + F.logsigmoid(-share))
    return value[:size].index_copy(0, session, both)
