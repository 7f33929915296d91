r"""Diginetica."""

import os.path as osp
from dataclasses import replace
from typing import Any, Dict, List

import torch
from torch import Tensor

from pyg_sessaug.datasets.clicks import Clicks
from pyg_sessaug.datasets.columns import read_log
from pyg_sessaug.datasets.log import LogDataset
from pyg_sessaug.datasets.reading import explain
from pyg_sessaug.datasets.text_files import Text, read_header
from pyg_sessaug.datasets.values import Column, Options


class Diginetica(LogDataset):
    r"""Product views of an online shop, from CIKM Cup 2016.

    Reads the log ``train-item-views.csv`` with ``product-categories.csv``
    where present, or SR-GNN's files, which are downloaded if
    :obj:`root/raw` has neither. From SR-GNN's files there are 719,470
    training samples (validation included), 60,858 test samples, 982,961
    clicks, 43,097 items and 995 categories, 1.38 of them per session, and
    4.85 clicks per session; the 5.12 of the thesis' Table 4.2 is the
    average over samples, target included.

    In the log, clicks of a session are ordered by ``timeframe``
    (milliseconds into the session), and :obj:`time` is ``eventdate`` and
    ``timeframe`` added. As in SR-GNN's code, a session has the date of its
    last row, the last 7 days are for testing, and sessions of the day at
    which these begin are in neither split (:obj:`drop_boundary`).

    Args:
        root (str): Folder with the raw files in :obj:`root/raw`.
        split (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"train"`)
        **kwargs (optional): Further arguments of
            :class:`~pyg_sessaug.datasets.LogDataset`, with
            :obj:`drop_boundary` (:obj:`True`).

    Example:
        >>> from pyg_sessaug.datasets import Diginetica
        >>> train = Diginetica('data/diginetica')
        >>> len(train) > train.sessions
        True
    """

    log_names = ('train-item-views.csv',)
    optional_log_names = ('product-categories.csv',)
    log_address = (
        'https://competitions.codalab.org/competitions/11161 '
        '(needs an account)'
    )
    log_defaults = {**LogDataset.log_defaults, 'drop_boundary': True}
    srgnn_url = (
        'https://raw.githubusercontent.com/yangbo1973/CM-HGNN/'
        '90aae141b57c493201d83ae32f0ddd22fb51471a/'
        'datasets/diginetica'
    )
    srgnn_sha256 = {
        'all_train_seq.txt': (
            '04d71a36f20d0aa8c01b06c02f845a6006132d5a81d2e1faaae6f19ed192527d'
        ),
        'test.txt': (
            'f71afb1a55e6fc42e04c3ce3ea37a7d785767a877de427ef0b042292bbee34b3'
        ),
        'category.txt': (
            'b070892cd70cbce3e1ca934d52f321bf841f955221cb0c77f6ceb78444db4e7c'
        ),
    }

    def read_clicks(self) -> Clicks:
        paths, text = [self.raw_paths[0]], Text(';')
        session, item = _spelling(paths[0], 'sessionId', 'itemId')
        clicks = read_log(
            [paths],
            {
                'session': Column(session, 'int'),
                'item': Column(item, 'int'),
                'order': Column('timeframe', 'number'),
                'date': Column('eventdate', 'time'),
            },
            Options(
                text,
                memory_limit=self.memory_limit,
                folder=self.processed_dir,
            ),
        )
        assert clicks.order is not None
        assert clicks.date is not None
        return replace(clicks, time=clicks.date + clicks.order / 1000)

    def prepare_log(self) -> Dict[str, Any]:
        raw = super().prepare_log()
        names = self._present(self.optional_log_names)
        if names:
            raw['categories'] = _read_categories(
                osp.join(self.raw_dir, names[0]), raw['item_ids']
            )
        return raw


def _spelling(path: str, *names: str) -> List[str]:
    # The official files say itemId, copies of them item_id.
    with explain(path):
        header, _ = read_header(path, Text(';'))
    return [
        name if name in header else name.replace('Id', '_id') for name in names
    ]


def _read_categories(path: str, item_ids: Tensor) -> Tensor:
    r"""Category of each item from 0, or -1, ``[num_items]`` int64."""
    item, category = _spelling(path, 'itemId', 'categoryId')
    # Items stand for sessions, and categories for items:
    columns = {
        'session': Column(item, 'int'),
        'item': Column(category, 'int'),
    }
    table = read_log([[path]], columns, Options(Text(';')))
    if table.item.numel() == 0:
        raise ValueError(
            f'{path} has no items; replace it, or remove it to do without '
            f'categories'
        )
    ids, order = table.session.long().sort()
    value = table.raw_item[order]
    twice = ids[1:] == ids[:-1]
    twice = (twice & (value[1:] != value[:-1])).nonzero().view(-1)
    if twice.numel() > 0:
        raise ValueError(
            f'{path}: item {int(ids[twice[0]])} has more than one category; '
            f'keep one'
        )
    place = torch.searchsorted(ids, item_ids)
    place.clamp_(max=ids.numel() - 1)
    known = ids[place] == item_ids
    result = torch.full_like(item_ids, -1)
    result[known] = value[place[known]].unique(return_inverse=True)[1]
    return result
