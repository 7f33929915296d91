r"""Channels of edges by the time between their clicks."""

import math
from itertools import pairwise
from typing import Any, Optional, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from pyg_sessaug.data.graphs import with_edges
from pyg_sessaug.transforms.click_gaps import shortest_gaps
from pyg_sessaug.transforms.utils import items_of, sessions_of


@functional_transform('time_buckets')
class TimeBuckets(BaseTransform):
    r"""Gives each edge the channel of the time between its clicks
    (functional name: :obj:`time_buckets`).

    What a quick step tells, and what a slow one, is for a model with
    :obj:`num_channels` to learn (see
    :class:`~pyg_sessaug.nn.ChannelCombination`), one number for each bucket;
    :class:`TimeDecay` fixes a form. Behind :class:`NormalizeEdges` the shares
    of an edge stand in its channel, else ones; all other channels are 0. An
    edge that occurs several times counts its shortest time.

    It is no augmentation: it runs in validation and tests too. Where times
    are not known there, as in recommendations, or an edge joins items that
    are not clicked one after the other, the edge is in all :math:`C` channels
    with :math:`1 / C`, for the mean of what was learnt.

    Args:
        bounds (list of float): Largest time of each bucket but the last,
            ascending, in seconds or, with :obj:`gaps`, in these.
        gaps (Tensor, optional): The usual time after a click on each item,
            ``[num_items]``, in seconds, positive, as :func:`usual_gaps`
            finds it: then times are measured in that of the item that the
            edge comes from. (default: :obj:`None`)
        shuffled (bool): Whether buckets are exchanged among the edges of the
            batch, or of a single graph, as a control: same law, no news.
            (default: :obj:`False`)

    Raises:
        ValueError: If :obj:`bounds` do not ascend from above 0, :obj:`gaps`
            are not positive or, when called, if training sessions have no
            times, or times that go back.

    Shapes:
        - **input:** edges :math:`(2, |\mathcal{E}|)` in :obj:`edge_index`,
          the node of each click :math:`(L)` int64 in :obj:`click_index`, its
          seconds :math:`(L)` in :obj:`click_time` and, optionally, shares
          :math:`(|\mathcal{E}|, 2)` in :obj:`edge_attr`
        - **output:** shares :math:`(|\mathcal{E}|, 2, C)` in
          :obj:`edge_attr`, where :math:`C` is one more than there are bounds

    Example:
        >>> import torch
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.transforms import TimeBuckets
        >>> data = list_batch([[0, 1, 2]])
        >>> data.click_time = torch.tensor([0.0, 5.0, 100.0])
        >>> TimeBuckets([10.0])(data).edge_attr[:, 0].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    batchwise = True

    #: That it belongs to validation and tests too.
    at_test = True

    def __init__(
        self,
        bounds: Sequence[float],
        gaps: Optional[Tensor] = None,
        shuffled: bool = False,
    ) -> None:
        self.bounds = [float(x) for x in bounds]
        steps = [0.0, *self.bounds, math.inf]
        if len(steps) < 3 or not all(x < y for x, y in pairwise(steps)):
            raise ValueError(
                f'TimeBuckets got bounds={self.bounds}; pass finite times '
                f'above 0 that ascend'
            )
        if gaps is not None and not bool(((gaps > 0) & gaps.isfinite()).all()):
            raise ValueError(
                'TimeBuckets got gaps that are not positive and finite; pass '
                'what usual_gaps finds'
            )
        self.gaps = None if gaps is None else gaps.float().cpu()
        self.shuffled = shuffled

    def forward(self, data: Data) -> Data:
        share = data.get('edge_attr')
        device, size = data.edge_index.device, data.edge_index.size(1)
        if share is None:
            share = torch.ones(size, 2, device=device)
        if share.dim() != 2:
            raise ValueError(
                f'TimeBuckets got edge_attr of shape {list(share.size())}; '
                f'pass [num_edges, 2], of one weight for each edge'
            )
        if 'click_time' in data or bool((sessions_of(data) >= 0).any()):
            gap = shortest_gaps('TimeBuckets', data)
        else:
            gap = share.new_full((size,), math.inf)
        if self.gaps is not None:
            item = items_of('TimeBuckets', data, self.gaps.numel(), 'gaps')
            usual = self.gaps.to(device)[item[data.edge_index[0]]]
            gap = gap / usual.to(gap.dtype)
        bounds = torch.tensor(self.bounds, device=device, dtype=gap.dtype)
        bucket, known = torch.bucketize(gap, bounds), gap.isfinite()
        channels = share.new_full((size, len(self.bounds) + 1), 0)
        channels.scatter_(1, bucket.unsqueeze(1), 1)
        channels[~known] = 1 / channels.size(1)
        if self.shuffled:
            timed = known.nonzero().view(-1)
            drawn = torch.randperm(timed.numel(), device=device)
            channels[timed] = channels[timed[drawn]]
        return with_edges(
            data, edge_attr=share.unsqueeze(2) * channels.unsqueeze(1)
        )

    def __repr__(self) -> str:
        scaled = self.gaps is not None
        return (
            f'{self.__class__.__name__}({self.bounds}, scaled={scaled}, '
            f'shuffled={self.shuffled})'
        )


def usual_gaps(dataset: Any) -> Tensor:
    r"""The usual time from a click on each item to the next click, its median
    over training, ``[num_items]``, float32, in seconds, at least 1.

    Args:
        dataset (SessionDataset): The training split. An item after which
            nothing is clicked there has the median of all clicks.

    Raises:
        ValueError: If its clicks have no times.
    """
    sessions = dataset.flat_sessions
    if sessions.time is None:
        raise ValueError(
            "usual_gaps got clicks without times; SR-GNN's files hold none, "
            'so prepare the data set from its log'
        )
    follows = torch.ones_like(sessions.item, dtype=torch.bool)
    follows[sessions.ptr[1:] - 1] = False
    click = follows.nonzero().view(-1)
    gap = (sessions.time[click + 1] - sessions.time[click]).float()
    item = sessions.item[click]
    order = gap.argsort()
    order = order[item[order].argsort(stable=True)]
    count = torch.bincount(item, minlength=dataset.num_items)
    middle = count.cumsum(0) - count + (count - 1).clamp(min=0) // 2
    own = gap[order[middle.clamp(max=order.numel() - 1)]]
    return torch.where(count > 0, own, gap.median()).clamp(min=1.0)
