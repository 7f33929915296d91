r"""Items that other sessions join with those of a session, as nodes."""

from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform

from pyg_sessaug.counts import CoVisits
from pyg_sessaug.counts.session_counts import session_nodes
from pyg_sessaug.transforms.context import check_plain, with_context
from pyg_sessaug.transforms.covisit_transform import CovisitTransform
from pyg_sessaug.transforms.utils import items_of


@functional_transform('covisit_context')
class CovisitContext(CovisitTransform):
    r"""Adds the strongest global neighbours of its items to session graphs
    (functional name: :obj:`covisit_context`).

    They are the items that :class:`~pyg_sessaug.counts.CoVisits` scores
    highest, but for those of the session. They become nodes behind those of
    the session, with an edge to each item :math:`i` of the session that
    speaks for them, of weight :math:`M_{ij}` over the largest of the
    session, while :obj:`click_index` stays on the clicks of the session. A
    part of a training session asks the sessions of other folds.

    It is no augmentation: it runs in validation and tests too, before
    :class:`NormalizeEdges`.

    Args:
        covisits (CoVisits): Whom to ask; fit it to the training samples
            before.
        k (int): Items for each session, fewer where there are no more; with
            0 graphs stay as they are. (default: :obj:`5`)
        shuffled (bool): Whether each session gets the neighbours of other
            items, as a control: each stands for another of the same tenth of
            the clicked items by clicks, which is drawn here.
            (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`k` is negative, nothing was counted or, when
            called, a session is none of those counted, has no clicks, or
            graphs have :obj:`edge_attr`.

    Shapes:
        - **input:** a session graph, plain or weighed: items
          :math:`(|\mathcal{V}|)` int64 in :obj:`x`, edges
          :math:`(2, |\mathcal{E}|)` in :obj:`edge_index`, the node of each
          click :math:`(L)` int64 in :obj:`click_index` and, of training
          samples, their session :math:`(1)` int64 in :obj:`session`
        - **output:** the same with :math:`K` more nodes and their edges, the
          new nodes :math:`(K)` int64 in :obj:`context_index` and their
          scores :math:`(K)` float32 in :obj:`context_weight`

    Example:
        >>> from pyg_sessaug.counts import CoVisits
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> from pyg_sessaug.transforms import CovisitContext
        >>> train = MultimodalSessions('data', num_sessions=100, num_items=30)
        >>> covisits = CoVisits(train.num_items).fit(train)
        >>> CovisitContext(covisits, k=2)(train[5]).context_index.numel()
        2
    """

    def __init__(
        self, covisits: CoVisits, k: int = 5, shuffled: bool = False
    ) -> None:
        if k < 0:
            raise ValueError(f'CovisitContext got k={k}; pass 0 or more')
        super().__init__(covisits, shuffled)
        self.k = k

    def forward(self, data: Data) -> Data:
        if self.k == 0:
            return data
        check_plain('CovisitContext', data)
        counts = self.covisits
        items_of('CovisitContext', data, counts.num_items, 'covisits')
        nodes = session_nodes(data)
        nodes = type(nodes)(*(x.to(counts.item.device) for x in nodes))
        if self.order is not None:
            item = self.order.to(nodes.item.device)[nodes.item]
            nodes = nodes._replace(item=item)
        votes, place, node, value = counts.around(nodes, self.k)
        graph = nodes.graph[node]
        top = value.new_zeros(nodes.length.numel())
        top.scatter_reduce_(0, graph, value, 'amax')
        # Nodes without a click were left out.
        clicked = data.click_index.unique().to(node.device)
        weight = value / top[graph]
        return with_context(data, votes, place, clicked[node], weight)

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(k={self.k}, shuffled={self.shuffled})'
        )
