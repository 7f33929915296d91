r"""Models that only count: nothing is trained, and a fit takes seconds."""

from pyg_sessaug.counts.covisits import CoVisits
from pyg_sessaug.counts.vsknn import VSKNN

__all__ = ['CoVisits', 'VSKNN']
