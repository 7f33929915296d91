r"""Groups of items, hard and soft."""

from pyg_sessaug.clusters.item_clusters import ItemClusters
from pyg_sessaug.clusters.item_mixture import ItemMixture

__all__ = ['ItemClusters', 'ItemMixture']
