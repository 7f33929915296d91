"""Search queries of Diginetica and what they returned."""

import argparse
import csv
import gzip
import os.path as osp
import re
from itertools import chain
from typing import Any, List, NamedTuple, Tuple

import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from pyg_sessaug.data.sessions import expand_ranges
from pyg_sessaug.datasets import Diginetica
from pyg_sessaug.datasets.preprocess import DAY

LIST = r'^(\d{1,18}(,\d{1,18})*)?$'


class Queries(NamedTuple):
    """One query for each session and the items on its result page.

    Args:
        session: Raw session id, ascending, ``[num_queries]`` int64.
        item: Raw item ids, best first, one query after another, int64.
        ptr: Where the items of each query begin, ``[num_queries + 1]``.
    """

    session: Tensor
    item: Tensor
    ptr: Tensor


def read_queries(path: str) -> Queries:
    """The first query of each session, from ``train-queries.csv``.

    Args:
        path: The file, plain or gzipped. Its columns are
            ``queryId;sessionId;userId;timeframe;duration;eventdate;``
            ``searchstring.tokens;categoryId;items;is.test``, and ``items``
            are ids between commas.
    """
    is_packed = path.endswith('.gz')
    with (gzip.open if is_packed else open)(path, 'rt', newline='') as f:
        reader = csv.DictReader(f, delimiter=';')
        missing = {'sessionId', 'timeframe', 'items'} - {
            *(reader.fieldnames or [])
        }
        if missing:
            raise ValueError(
                f'{path} has no column {min(missing)!r}; get the file again'
            )
        rows = [(x['sessionId'], x['timeframe'], x['items']) for x in reader]
    for number, row in enumerate(rows, 2):
        for name, value in zip(('sessionId', 'timeframe'), row):
            if re.fullmatch(r'-?\d{1,18}', value or '') is None:
                raise ValueError(
                    f'{path}: row {number} has {name} {value!r}, which is no '
                    f'integer; get the file again'
                )
    session, time = (
        torch.tensor([int(row[i]) for row in rows], dtype=torch.int64)
        for i in range(2)
    )
    lists = [row[2] or '' for row in rows]
    if session.numel() == 0:
        raise ValueError(f'{path} has no queries; get the file again')
    order = time.argsort(stable=True)
    order = order[session[order].argsort(stable=True)]
    is_first = torch.ones(order.numel(), dtype=torch.bool)
    is_first[1:] = session[order][1:] != session[order][:-1]
    item, ptr = _parse(path, lists)
    first = order[is_first]
    place, _, new_ptr = expand_ranges(ptr[first], ptr.diff()[first])
    return Queries(session[first], item[place], new_ptr)


def _parse(path: str, lists: List[str]) -> Tuple[Tensor, Tensor]:
    """Item ids of all rows, and where those of each begin."""
    for row, text in enumerate(lists):
        if re.match(LIST, text) is None:
            raise ValueError(
                f'cannot read {path}: row {row + 2} has items '
                f'{text[:60]!r}; correct it to item ids with commas between '
                f'them, or get the file again'
            )
    split = [[int(x) for x in text.split(',') if x] for text in lists]
    count = torch.tensor([len(x) for x in split], dtype=torch.int64)
    return torch.tensor(list(chain(*split)), dtype=torch.int64), cumsum(count)


class Pages(NamedTuple):
    """Sessions of the test period with the page of their query.

    Args:
        item: Items clicked, one session after another.
        ptr: Where the clicks of each session begin.
        page: Items on the page, best first, one after another.
        page_ptr: Where those of each begin.
    """

    item: Tensor
    ptr: Tensor
    page: Tensor
    page_ptr: Tensor


def read_pages(args: argparse.Namespace, test: Any) -> Pages:
    """Items of the test period's sessions and of their queries' pages.

    Only items seen in training count, and sessions that have one, and one on
    their page.
    """
    if not isinstance(test, Diginetica) or test.source != 'log':
        raise ValueError(
            "serp needs Diginetica's official log, train-item-views.csv, in "
            'ROOT/raw: only it has the session ids that queries refer to'
        )
    folder = osp.join(test.root, 'raw')
    path = args.queries or osp.join(folder, 'train-queries.csv')
    if not osp.exists(path):
        raise FileNotFoundError(
            f'{path} does not exist; get train-queries.csv from '
            f'{test.log_address}, or pass its path by --queries'
        )
    queries, clicks = read_queries(path), test.read_clicks()
    begin = clicks.date.max() - test.log_options['test_days'] * DAY
    order = clicks.order.argsort(stable=True)
    order = order[clicks.session[order].argsort(stable=True)]
    session = clicks.session[order]
    raw = clicks.item_names[clicks.item[order].long()]
    number = number_items(raw, test.item_ids)
    keep = (clicks.date[order] > begin) & (number >= 0)
    keep &= test.seen_items[number]
    return match(session[keep], number[keep], queries, test)


def number_items(raw: Tensor, ids: Tensor) -> Tensor:
    """Number of each raw item id, -1 if it is not in the vocabulary."""
    value, order = ids.sort()
    place = torch.searchsorted(value, raw).clamp_(max=value.numel() - 1)
    return torch.where(value[place] == raw, order[place], -1)


def match(session: Tensor, item: Tensor, queries: Queries, test: Any) -> Pages:
    """Sessions (ascending) with a query, and the page of each."""
    page = number_items(queries.item, test.item_ids)
    known = (page >= 0) & test.seen_items[page]
    owner = torch.repeat_interleave(
        torch.arange(queries.session.numel()), queries.ptr.diff()
    )
    count = owner[known].bincount(minlength=queries.session.numel())
    page, start = page[known], count.cumsum(0) - count
    ids, length = session.unique_consecutive(return_counts=True)
    both = torch.isin(ids, queries.session[count > 0])
    if not both.any():
        raise ValueError(
            'no session of the test period has a query with items seen in '
            'training; the two files must be of one log, and --fraction large '
            'enough'
        )
    at = torch.searchsorted(queries.session, ids[both])
    click, _, ptr = expand_ranges(
        (length.cumsum(0) - length)[both], length[both]
    )
    place, _, page_ptr = expand_ranges(start[at], count[at])
    return Pages(item[click], ptr, page[place], page_ptr)
