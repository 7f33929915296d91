r"""Data sets of click sessions."""

from pyg_sessaug.datasets.base import SessionDataset

__all__ = ['SessionDataset']
