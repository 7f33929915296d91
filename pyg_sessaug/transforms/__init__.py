r"""Transforms that augment and normalise session graphs."""

from pyg_sessaug.transforms.cluster_distance import ClusterDistance
from pyg_sessaug.transforms.covisit_context import CovisitContext
from pyg_sessaug.transforms.covisit_weight import CovisitWeight
from pyg_sessaug.transforms.gaussian_blur import GaussianBlur
from pyg_sessaug.transforms.item_distance import ItemDistance
from pyg_sessaug.transforms.neighbor_context import NeighborContext
from pyg_sessaug.transforms.normalize_edges import NormalizeEdges
from pyg_sessaug.transforms.soft_cluster_distance import (
    SoftClusterDistance,
)
from pyg_sessaug.transforms.time_buckets import TimeBuckets, usual_gaps
from pyg_sessaug.transforms.time_decay import TimeDecay
from pyg_sessaug.transforms.vertex_injection import VertexInjection
from pyg_sessaug.transforms.weight_channels import WeightChannels

__all__ = [
    'ItemDistance',
    'ClusterDistance',
    'SoftClusterDistance',
    'TimeDecay',
    'VertexInjection',
    'WeightChannels',
    'CovisitWeight',
    'CovisitContext',
    'NeighborContext',
    'TimeBuckets',
    'usual_gaps',
    'NormalizeEdges',
    'GaussianBlur',
]
