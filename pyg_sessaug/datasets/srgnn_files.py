r"""The files of SR-GNN's preprocessing, the field's exchange format."""

import os.path as osp
import pickle
import reprlib
from itertools import chain
from typing import Any, Dict, List, NoReturn, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import cumsum

from pyg_sessaug.data.sessions import Sessions

TRAIN_NAMES = ('all_train_seq.txt', 'train.txt')
REQUIRED = (TRAIN_NAMES[0], 'test.txt')
CATEGORY = 'category.txt'
# Ids are an index: far more of them than memory holds is a mistake.
MAX_ID = 10**8


class _PlainUnpickler(pickle._Unpickler):
    # Lists, tuples, dicts and ints need no global; code does. The unpickler
    # written in C would make room for as many values as a few bytes claim.
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(
            f'it refers to {module}.{name}, but only lists, tuples, dicts '
            f'and ints are read; loading it would run code'
        )


def read_pickle(path: str) -> Any:
    r"""Reads a pickle of lists, tuples, dicts and ints; runs no code.

    Args:
        path (str): The file.

    Raises:
        ValueError: If the file is no pickle or holds anything else.
    """
    with open(path, 'rb') as f:
        try:
            return _PlainUnpickler(f).load()
        except Exception as error:  # A broken pickle raises nearly anything.
            raise ValueError(
                f'cannot read {path} as a pickle of plain values: {error}'
            ) from error


def read_srgnn_files(raw_dir: str) -> Dict[str, Any]:
    r"""Reads sessions as SR-GNN's preprocessing writes them.

    Nothing is filtered again. The vocabulary is 1 to the largest id in any
    of the files.

    Args:
        raw_dir (str): Folder of ``all_train_seq.txt`` (sessions),
            ``test.txt`` (prefixes, targets) and optionally ``category.txt``
            (category of each item).

    Returns:
        dict: :obj:`train` and :obj:`test` (:class:`Sessions`),
        :obj:`item_ids` [num_items] int64 and :obj:`categories` [num_items]
        int64, -1 for an item without one, or :obj:`None`.

    Raises:
        ValueError: If a file holds anything but what is listed above; it
            names the file and the place.
    """
    train_path, test_path = (osp.join(raw_dir, name) for name in REQUIRED)
    train = _read_train(train_path)
    test = _read_test(test_path)
    num_items = 1 + int(max(train.item.max(), test.item.max()))
    categories = None
    path = osp.join(raw_dir, CATEGORY)
    if osp.exists(path):
        item, category = _read_categories(path)
        num_items = max(num_items, 1 + int(item.max()))
        categories = torch.full((num_items,), -1)
        categories[item] = category
    return dict(
        train=train,
        test=test,
        categories=categories,
        item_ids=torch.arange(1, num_items + 1),
    )


def _read_train(path: str) -> Sessions:
    sessions = read_pickle(path)
    item, length = _flatten(sessions, path, 'session')
    short = (length < 2).nonzero().view(-1)
    if short.numel() > 0:
        raise ValueError(
            f'{path}: session {int(short[0])} has {int(length[short[0]])} '
            f'click(s), but a sample needs a click and a target; remove '
            f'sessions with fewer than 2 clicks'
        )
    return Sessions.from_lengths(item, length)


def _read_test(path: str) -> Sessions:
    pairs = read_pickle(path)
    if not isinstance(pairs, (tuple, list)) or len(pairs) != 2:
        raise ValueError(
            f'{path} must hold a pair (prefixes, targets), got '
            f'{_describe(pairs)}'
        )
    prefixes, targets = pairs
    _, length = _flatten(prefixes, path, 'prefix')
    _flatten([targets], path, 'list of targets')
    if len(prefixes) != len(targets):
        raise ValueError(
            f'{path} holds {len(prefixes)} prefixes but {len(targets)} targets'
        )
    empty = (length < 1).nonzero().view(-1)
    if empty.numel() > 0:
        raise ValueError(f'{path}: prefix {int(empty[0])} is empty')

    # A session's pairs stand together, longest first. A pair that does not
    # continue the one before starts a session of its own, so that any list
    # of pairs gives exactly its samples.
    sessions: List[List[int]] = []
    position: List[int] = []
    start, rest = 0, None
    for prefix, target in zip(prefixes, targets):
        clicks = [*prefix, target]
        if clicks != rest:
            start += len(sessions[-1]) if sessions else 0
            sessions.append(clicks)
        position.append(start + len(prefix))
        rest = clicks[:-1]
    item, length = _flatten(sessions, path, 'session')
    return Sessions(item, cumsum(length), torch.tensor(position).sort()[0])


def _read_categories(path: str) -> Tuple[Tensor, Tensor]:
    category_of = read_pickle(path)
    if not isinstance(category_of, dict) or len(category_of) == 0:
        raise ValueError(
            f'{path} must hold a non-empty dict from item to category, got '
            f'{_describe(category_of)}'
        )
    item, _ = _flatten([list(category_of)], path, 'list of items')
    category, _ = _flatten(
        [list(category_of.values())], path, 'list of categories'
    )
    # Some files number their categories from num_items + 1.
    return item, category.unique(return_inverse=True)[1]


def _flatten(
    lists: Any,
    path: str,
    name: str,
) -> Tuple[Tensor, Tensor]:
    r"""Items from 0 and list lengths of lists of ids from 1."""
    if not isinstance(lists, (list, tuple)) or len(lists) == 0:
        raise ValueError(
            f'{path} must hold a non-empty list with one list of item ids '
            f'per {name}, got {_describe(lists)}'
        )
    if not set(map(type, lists)) <= {list, tuple}:
        at = _first(lists, lambda x: type(x) not in (list, tuple))
        raise ValueError(
            f'{path}: {name} {at} must be a list of item ids, got '
            f'{_describe(lists[at])}'
        )
    if not set(map(type, chain.from_iterable(lists))) <= {int}:
        at = _first(lists, lambda x: any(type(i) is not int for i in x))
        value = next(i for i in lists[at] if type(i) is not int)
        raise ValueError(
            f'{path}: {name} {at} must hold ints, got {_describe(value)}'
        )
    length = torch.tensor([len(x) for x in lists])
    try:
        item = torch.from_numpy(
            np.fromiter(
                chain.from_iterable(lists), np.int64, int(length.sum())
            )
        )
    except OverflowError:
        item = None
    if item is None or (item < 1).any() or (item > MAX_ID).any():
        at = _first(lists, lambda x: any(not 1 <= i <= MAX_ID for i in x))
        value = next(i for i in lists[at] if not 1 <= i <= MAX_ID)
        raise ValueError(
            f'{path}: {name} {at} holds {_describe(value)}, but ids go from '
            f'1 to {MAX_ID}'
        )
    return item - 1, length


def _first(values: Sequence[Any], is_bad: Any) -> int:
    return next(i for i, value in enumerate(values) if is_bad(value))


def _describe(value: Any) -> str:
    try:
        text = reprlib.repr(value)  # Of the first values and levels alone.
    except ValueError:  # Python prints no int of thousands of digits.
        text = 'a huge number'
    return f'{text} ({type(value).__name__})'
