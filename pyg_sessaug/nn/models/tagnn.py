r"""TAGNN."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.data import Data

from pyg_sessaug.nn.loss.target_attention import (
    target_attention_cross_entropy,
    target_attention_scores,
)
from pyg_sessaug.nn.models.session_model import Encoding, SessionModel


class TAGNN(SessionModel):
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

    Args:
        num_items (int): Size of the vocabulary.
        *args (optional): See :class:`~pyg_sessaug.nn.SessionModel`.
        transform_target (bool): Whether :math:`\mathbf{A}` is learned;
            :obj:`False` fixes it to the identity, as the authors' code does.
            (default: :obj:`True`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SessionModel`.
    """

    def __init__(
        self,
        num_items: int,
        *args: Any,
        transform_target: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_items, *args, **kwargs)
        d = self.hidden_channels
        self.transform_target = transform_target
        self.lin_key = Linear(d, d, bias=False)
        self.lin_target = (
            Linear(d, d, bias=False)
            if transform_target
            else torch.nn.Identity()
        )
        self.lin = Linear(2 * d, d, bias=False)
        self.reset_parameters()

    def forward(self, data: Data) -> Tensor:
        r"""The part of the session vectors that depends on no target,
        :math:`\mathbf{B} \mathbf{s}_g + \mathbf{C}
        \mathbf{x}_{\textrm{last}}`, ``[B, d]``.
        """
        return self._static(self.encode(data))

    def score(self, data: Data) -> Tensor:
        r"""Scores of all items, ``[B, num_items]``, float32."""
        code = self.encode(data)
        return target_attention_scores(*self._attention(code), code.table)

    def loss(self, data: Data) -> Tensor:
        r"""Mean softmax cross-entropy of the targets over all items."""
        code = self.encode(data, share=True)
        return target_attention_cross_entropy(
            *self._attention(code), code.table, data.y, self.precision
        )

    def _static(self, code: Encoding) -> Tensor:
        return self.lin(torch.cat([code.pooled, code.last], dim=1))

    def _attention(
        self, code: Encoding
    ) -> 'tuple[Tensor, Tensor, Tensor, Tensor]':
        r"""Keys, values, log counts and pointers of the target attention."""
        static = torch.repeat_interleave(
            self._static(code),
            code.ptr.diff(),
            dim=0,
            output_size=code.x.size(0),
        )
        value = self.unit(self.lin_target(code.x) + static)
        key = self.lin_key(code.x).to(value.dtype)
        return key, value, code.clicks.log(), code.ptr
