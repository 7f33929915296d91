r"""Edge weights normalised as in SR-GNN."""

from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_sessaug.data.graphs import with_edges
from pyg_sessaug.transforms.utils import weights_of


@functional_transform('normalize_edges')
class NormalizeEdges(BaseTransform):
    r"""Turns edge weights into the two halves of the adjacency matrix of the
    `"Session-based Recommendation with Graph Neural Networks"
    <https://arxiv.org/abs/1811.00855>`_ paper
    (functional name: :obj:`normalize_edges`).

    .. math::
        \mathbf{a}_{i \to j} = \left[ \frac{w_{i \to j}}{\sum_{k} w_{k \to j}},
        \frac{w_{i \to j}}{\sum_{k} w_{i \to k}} \right]

    Column 0 is the share of the weight into :math:`j` and serves incoming
    messages, column 1 the share of the weight out of :math:`i` and serves
    outgoing ones. Where all of that weight is zero, so is the share.
    Several weights per edge, see
    :class:`~pyg_sessaug.transforms.WeightChannels`, are normalised each on
    its own.
    Models need it in training, after the weights are set, and in evaluation.

    Raises:
        ValueError: When called, if edges have shares of several channels and
            one weight: :class:`~pyg_sessaug.transforms.TimeBuckets` comes
            behind it.

    Shapes:
        - **input:** edges :math:`(2, |\mathcal{E}|)` in :obj:`edge_index`
          and, optionally, weights :math:`(|\mathcal{E}|)` or
          :math:`(|\mathcal{E}|, C)` in :obj:`edge_weight` (ones otherwise)
        - **output:** shares :math:`(|\mathcal{E}|, 2)` or
          :math:`(|\mathcal{E}|, 2, C)` in :obj:`edge_attr`

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.transforms import NormalizeEdges
        >>> NormalizeEdges()(list_batch([[0, 1, 2, 0, 2]])).edge_attr.tolist()
        [[1.0, 0.5], [0.5, 1.0], [1.0, 1.0], [0.5, 0.5]]
    """

    batchwise = True

    #: That it belongs to validation and tests too.
    at_test = True

    def forward(self, data: Data) -> Data:
        weight, known = weights_of(data), data.get('edge_attr')
        channels = weight.size()[1:]
        if known is not None and known.dim() == 3 and not channels:
            raise ValueError(
                f'NormalizeEdges got edge_attr of {known.size(2)} channels, '
                f'which it would forget; apply it before TimeBuckets'
            )
        weight = weight.unsqueeze(1).expand(-1, 2, *channels)
        # Column 0 sums over the edges of a target, column 1 of a source.
        index = data.edge_index.flip(0).t()
        if channels:
            index = index.unsqueeze(2).expand_as(weight)
        total = weight.new_zeros(data.num_nodes, 2, *channels)
        total = total.scatter_add_(0, index, weight).gather(0, index)
        total.masked_fill_(total == 0, 1.0)
        return with_edges(data, edge_attr=weight / total)

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}()'
