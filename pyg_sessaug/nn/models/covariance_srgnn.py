r"""SR-GNN with the covariances of a mixture."""

from typing import Any, List

from torch import Tensor
from torch.nn import Linear
from torch_geometric.data import Data

from pyg_sessaug.clusters import ItemMixture
from pyg_sessaug.nn.models.session_model import Encoding, session_pointers
from pyg_sessaug.nn.models.srgnn import SRGNN


class CovarianceSRGNN(SRGNN):
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
        *args (optional): See :class:`~pyg_sessaug.nn.SessionModel`, without
            :obj:`num_items`.
        **kwargs (optional): See :class:`~pyg_sessaug.nn.SessionModel`.
    """

    label: Tensor
    covariances: Tensor

    def __init__(self, mixture: ItemMixture, *args: Any, **kwargs: Any):
        super().__init__(mixture.num_items, *args, **kwargs)
        covariances = mixture.covariances.to(self.item_embedding.dtype)
        scale = covariances.diagonal(dim1=1, dim2=2).mean()
        self.register_buffer('label', mixture.labels)
        self.register_buffer('covariances', covariances / scale)
        d, channels = self.hidden_channels, covariances.size(2)
        self.reduce = Linear(channels, 1, bias=False)
        self.lin = Linear(2 * d + channels, d, bias=False)
        self.reset_parameters()

    def parts(self, data: Data, code: Encoding) -> List[Tensor]:
        r"""Last click, readout and reduced covariance."""
        last_click = session_pointers(data)[2]
        item = data.x.index_select(0, data.click_index[last_click])
        reduced = self.reduce(self.covariances).squeeze(2)
        own = reduced.index_select(0, self.label.index_select(0, item))
        return [*super().parts(data, code), own]
