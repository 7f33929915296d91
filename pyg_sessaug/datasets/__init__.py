r"""Data sets of click sessions."""

from pyg_sessaug.datasets.base import SessionDataset
from pyg_sessaug.datasets.diginetica import Diginetica
from pyg_sessaug.datasets.log import LogDataset
from pyg_sessaug.datasets.multimodal import MultimodalSessions
from pyg_sessaug.datasets.otto import Otto
from pyg_sessaug.datasets.session_files import SessionFiles
from pyg_sessaug.datasets.session_log import SessionLog
from pyg_sessaug.datasets.yoochoose import YooChoose

__all__ = [
    'Diginetica',
    'YooChoose',
    'Otto',
    'MultimodalSessions',
    'SessionLog',
    'SessionFiles',
    'LogDataset',
    'SessionDataset',
]
