r"""Sessions that others have prepared."""

from typing import Any

from pyg_sessaug.datasets.clicks import Clicks
from pyg_sessaug.datasets.log import LogDataset


class SessionFiles(LogDataset):
    r"""Any data set in the files that SR-GNN's preprocessing writes.

    Many papers publish Tmall, Nowplaying, RetailRocket and others so. The
    files in :obj:`root/raw` are ``all_train_seq.txt`` (a list of sessions,
    each a list of items) or ``train.txt`` (a pair of lists: prefixes,
    targets), ``test.txt`` (such a pair) and optionally ``category.txt`` (a
    dict from item to category), all of them pickles of plain values, which
    are read without running code. Items are numbered from 1, or from 0
    where an item 0 occurs. Nothing is filtered again.

    Args:
        root (str): Folder with the raw files in :obj:`root/raw`.
        split (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"train"`)
        **kwargs (optional): Further arguments of
            :class:`~pyg_sessaug.datasets.LogDataset`.

    Example:
        >>> from pyg_sessaug.datasets import SessionFiles
        >>> train = SessionFiles('data/tmall')
        >>> len(train) > train.sessions
        True
    """

    def __init__(
        self, root: str, split: str = 'train', *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(root, split, *args, **{**kwargs, 'source': 'srgnn'})

    def read_clicks(self) -> Clicks:
        raise TypeError('SessionFiles has no log')  # Its source is fixed.
