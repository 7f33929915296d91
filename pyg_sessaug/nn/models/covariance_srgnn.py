r"""SR-GNN with the covariances of a mixture."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.data import Data
from torch_geometric.nn.inits import normal

from pyg_sessaug.clusters import ItemMixture
from pyg_sessaug.nn.models.gated_model import GatedReadoutModel


class CovarianceSRGNN(GatedReadoutModel):
    r"""SR-GNN whose session vector knows how items around the last click
    spread, section 8.1 of the thesis.

    With :math:`\mathbf{\Sigma}` the covariance matrix of the component that
    is the most probable for the last item, a learned vector :math:`\mathbf{r}`
    reduces it to one vector:

    .. math::
        \mathbf{s} = \mathbf{W}_3 [\mathbf{x}_{\textrm{last}} \,\Vert\,
        \mathbf{s}_g \,\Vert\, \mathbf{s}_{\textrm{cov}}], \quad
        \mathbf{s}_{\textrm{cov}} = \frac{1}{v} \mathbf{\Sigma} \mathbf{r}

    where :math:`v` is the mean variance of all components, so that the scale
    of the embeddings does not matter. The mixture does not learn; it is one
    of a base model's embeddings.

    Args:
        mixture (ItemMixture): The mixture, which knows all items.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SRGNN`.

    Example:
        >>> import torch
        >>> from pyg_sessaug.clusters import ItemMixture
        >>> from pyg_sessaug.nn import CovarianceSRGNN
        >>> mixture = ItemMixture.fit(torch.randn(30, 4), num_clusters=2)
        >>> CovarianceSRGNN(mixture, hidden_channels=8).num_items
        30
    """

    label: Tensor
    covariances: Tensor

    def __init__(
        self, mixture: ItemMixture, hidden_channels: int = 100, **kwargs: Any
    ) -> None:
        super().__init__(mixture.num_items, hidden_channels, **kwargs)
        covariances = mixture.covariances.to(self.item_embedding.dtype)
        scale = covariances.diagonal(dim1=1, dim2=2).mean()
        self.register_buffer('label', mixture.labels)
        self.register_buffer('covariances', covariances / scale)
        d, channels = hidden_channels, covariances.size(2)
        self.reduce = Linear(channels, 1, bias=False)
        self.lin = Linear(2 * d + channels, d, bias=False)
        CovarianceSRGNN.reset_parameters(self)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        normal(self.reduce.weight, mean=0.0, std=0.1)
        normal(self.lin.weight, mean=0.0, std=0.1)

    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``."""
        last, pooled = self.pool(self.propagate(x, data), data)
        last_click = data.click_index[data.click_index_ptr[1:] - 1]
        item = data.x.index_select(0, last_click)
        reduced = self.reduce(self.covariances).squeeze(2)
        own = reduced.index_select(0, self.label.index_select(0, item))
        return self.lin(torch.cat([last, pooled, own], dim=1))
