r"""Data sets of click sessions."""

from pyg_sessaug.datasets.base import SessionDataset
from pyg_sessaug.datasets.diginetica import Diginetica
from pyg_sessaug.datasets.log import LogDataset
from pyg_sessaug.datasets.yoochoose import YooChoose

__all__ = ['SessionDataset', 'LogDataset', 'Diginetica', 'YooChoose']
