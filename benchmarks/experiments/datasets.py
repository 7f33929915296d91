"""The data sets that experiments run on, by name."""

import os.path as osp
from typing import Any

from pyg_sessaug.datasets import (
    Diginetica,
    LogDataset,
    MultimodalSessions,
    Otto,
    SessionDataset,
    YooChoose,
)
from pyg_sessaug.datasets.clicks import Clicks
from pyg_sessaug.datasets.columns import read_log
from pyg_sessaug.datasets.text_files import Text
from pyg_sessaug.datasets.values import Column, Options


class YooChoose100k(LogDataset):
    """100,000 clicks of YooChoose with times, as session-rec publishes them.

    The two files are one log of a week, whose last day is the test set.
    """

    log_names = ('train_full.txt', 'test.txt')
    log_defaults = {**LogDataset.log_defaults, 'test_days': 1}
    log_address = (
        'https://github.com/rn5l/session-rec (data/rsc15/prepared, at commit '
        '5dcd583cbd8d44703a5248b9a308945f24b91390)'
    )

    def __init__(self, root: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(root, *args, **{'source': 'log', **kwargs})

    @property
    def raw_dir(self) -> str:
        # The published folder as it is, or PyG's layout:
        folder = osp.join(self.root, 'raw')
        return folder if osp.isdir(folder) else self.root

    def read_clicks(self) -> Clicks:
        columns = {'session': Column('SessionId', 'int')}
        columns['item'] = Column('ItemId', 'int')
        columns['time'] = Column('Time', 'time')
        return read_log([self.raw_paths], columns, Options(Text('\t')))


DATASETS = {
    'multimodal': MultimodalSessions,
    'diginetica': Diginetica,
    'yoochoose': YooChoose,
    'yoochoose_100k': YooChoose100k,
    'otto': Otto,
}
SPLITS = ('train', 'val', 'test')


def load(
    dataset: str,
    root: str,
    split: str,
    fraction: float = 1.0,
    processed_root: str = '.',
    **kwargs: Any,
) -> SessionDataset:
    """A split of a data set.

    Args:
        dataset: One of :obj:`DATASETS`.
        root: Folder of its raw files, only read if they are there.
        split: One of :obj:`SPLITS`.
        fraction: Newest share of the training sessions to keep.
        processed_root: Folder for prepared data.
        **kwargs: Further arguments of the data set.
    """
    kwargs.update(fraction=fraction, processed_root=processed_root)
    return DATASETS[dataset](root, split, **kwargs)
