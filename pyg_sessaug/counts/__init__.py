r"""Models that only count: nothing is trained, and a fit takes seconds."""

from pyg_sessaug.counts.covisits import CoVisits
from pyg_sessaug.counts.neighbor_items import NeighborItems
from pyg_sessaug.counts.vsknn import VSKNN

__all__ = ['CoVisits', 'NeighborItems', 'VSKNN']
