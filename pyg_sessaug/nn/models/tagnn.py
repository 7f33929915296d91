r"""TAGNN."""

from typing import Any, Tuple

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.data import Data
from torch_geometric.nn.inits import normal

from pyg_sessaug.nn.loss.target_attention import (
    target_attention_cross_entropy,
    target_attention_scores,
)
from pyg_sessaug.nn.models.gated_model import (
    GatedReadoutModel,
    clicks_of_nodes,
)
from pyg_sessaug.nn.models.session_model import as_batch


class TAGNN(GatedReadoutModel):
    r"""The model of `"TAGNN: Target Attentive Graph Neural Networks for
    Session-based Recommendation" <https://arxiv.org/abs/2005.02844>`_.

    The session vector depends on the item :math:`v` that it is to score:

    .. math::
        \mathbf{s}_v = \mathbf{W}_3 [\textstyle\sum_l \beta_{lv}
        \mathbf{x}_l \,\Vert\, \mathbf{s}_g \,\Vert\,
        \mathbf{x}_{\textrm{last}}], \quad \beta_{\cdot v} =
        \textrm{softmax}_l(\mathbf{x}_l^{\top} \mathbf{W} \mathbf{e}_v),
        \quad \textrm{score}_v = \mathbf{s}_v^{\top} \mathbf{e}_v

    With :math:`\mathbf{W}_3 = [\mathbf{A} | \mathbf{B} | \mathbf{C}]` and
    :math:`\sum_l \beta_{lv} = 1` the score is :math:`\sum_l \beta_{lv}
    \mathbf{u}_l^{\top} \mathbf{e}_v` with :math:`\mathbf{u}_l = \mathbf{A}
    \mathbf{x}_l + \mathbf{B} \mathbf{s}_g + \mathbf{C}
    \mathbf{x}_{\textrm{last}}`, so no vector per session and item is built.
    The softmax runs over the clicks of the session alone.

    With :obj:`scale`, items and every :math:`\mathbf{u}_l` get unit length.

    All parameters start from :math:`\mathcal{N}(0, 0.1)`.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        transform_target (bool): Whether :math:`\mathbf{A}` is learned;
            :obj:`False` fixes it to the identity, as the authors' code does.
            (default: :obj:`True`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SRGNN`.

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import TAGNN
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> batch = NormalizeEdges()(list_batch([[1, 2, 1], [5]]))
        >>> TAGNN(num_items=9, hidden_channels=8).score(batch).size()
        torch.Size([2, 9])
    """

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        transform_target: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_items, hidden_channels, **kwargs)
        if self.context > 0:
            raise ValueError(
                f'TAGNN has no one vector of a session that could read a '
                f'context, got context={self.context}; choose another model'
            )
        d = hidden_channels
        self.transform_target = transform_target
        self.lin_key = Linear(d, d, bias=False)
        self.lin_target = (
            Linear(d, d, bias=False)
            if transform_target
            else torch.nn.Identity()
        )
        self.lin = Linear(2 * d, d, bias=False)
        TAGNN.reset_parameters(self)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for layer in (self.lin_key, self.lin_target, self.lin):
            for weight in layer.parameters():
                normal(weight, mean=0.0, std=0.1)

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""The part of the session vectors that depends on no target,
        :math:`\mathbf{B} \mathbf{s}_g + \mathbf{C}
        \mathbf{x}_{\textrm{last}}`, ``[B, d]``.
        """
        return self._static(self.propagate(x, data), data)

    def forward(self, data: Data) -> Tensor:
        r"""What :meth:`session` says, ``[B, d]``."""
        data = as_batch(data)
        return self.session(self._rows(data), data)

    def score(self, data: Data) -> Tensor:
        r"""Scores of all items, ``[B, num_items]``, float32."""
        data = as_batch(data)
        x, table = self._rows_and_table(data)
        return target_attention_scores(*self._attention(x, data), table)

    def loss(self, data: Data) -> Tensor:
        r"""Mean softmax cross-entropy of the targets over all items."""
        data = as_batch(data)
        x, table = self._lookup(data)
        return target_attention_cross_entropy(
            *self._attention(x, data), table, data.y, self.precision
        )

    def _static(self, x: Tensor, data: Data) -> Tensor:
        last, pooled = self.pool(x, data)
        return self.lin(torch.cat([pooled, last], dim=1))

    def _attention(
        self, x: Tensor, data: Data
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        r"""Keys, values, log counts and pointers of the target attention."""
        x = self.propagate(x, data)
        static = torch.repeat_interleave(
            self._static(x, data),
            data.ptr.diff(),
            dim=0,
            output_size=x.size(0),
        )
        value = self.unit(self.lin_target(x) + static)
        key = self.lin_key(x).to(value.dtype)
        return key, value, clicks_of_nodes(x, data).log(), data.ptr
