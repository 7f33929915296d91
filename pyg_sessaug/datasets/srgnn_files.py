r"""The files of SR-GNN's preprocessing, the field's exchange format."""

import os.path as osp
import pickle
import reprlib
from itertools import chain
from typing import Any, ClassVar, Dict, List, NoReturn, Sequence, Tuple

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
        remedy = ''
        if module.split('.')[0] in ('numpy', 'torch'):
            remedy = (
                '; write plain ints, [[int(i) for i in s] for s in sessions], '
                'and for a dict {int(i): int(c) for i, c in pairs.items()}'
            )
        raise pickle.UnpicklingError(
            f'it refers to {module}.{name}, but only lists, tuples, dicts '
            f'and ints are read; loading it would run code{remedy}'
        )

    def load_bytearray8(self) -> NoReturn:
        # Makes room for as many bytes as it claims to have.
        raise pickle.UnpicklingError('it holds bytes')

    dispatch: ClassVar[Dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


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
    of the files, or from 0 where sessions have an item 0.

    Args:
        raw_dir (str): Folder of ``all_train_seq.txt`` (sessions) or
            ``train.txt`` (prefixes, targets), ``test.txt`` (prefixes,
            targets) and optionally ``category.txt`` (category of each item).

    Returns:
        dict: :obj:`train` and :obj:`test` (:class:`Sessions`),
        :obj:`item_ids` [num_items] int64 and :obj:`categories` [num_items]
        int64, -1 for an item without one, or :obj:`None`.

    Raises:
        ValueError: If a file holds anything but what is listed above; it
            names the file and the place.
    """
    names = [osp.join(raw_dir, name) for name in TRAIN_NAMES]
    train = _read_train(next(filter(osp.exists, names), names[0]))
    test = _read_pairs(osp.join(raw_dir, REQUIRED[1]))
    first = min(1, int(train.item.min()), int(test.item.min()))
    last = max(int(train.item.max()), int(test.item.max()))
    categories = None
    path = osp.join(raw_dir, CATEGORY)
    if osp.exists(path):
        item, category = _read_categories(path)
        if int(item.min()) < first:
            raise ValueError(
                f'{path}: list of items holds 0, but ids of the sessions go '
                f'from 1; remove it'
            )
        last = max(last, int(item.max()))
        categories = torch.full((last - first + 1,), -1)
        categories[item - first] = category
    return dict(
        train=Sessions(train.kept - first, train.ptr, train.listed),
        test=Sessions(test.kept - first, test.ptr, test.listed),
        categories=categories,
        item_ids=torch.arange(first, last + 1),
    )


def _read_train(path: str) -> Sessions:
    sessions = read_pickle(path)
    if _is_pair(sessions):
        return _read_pairs(path, sessions)
    item, length = _flatten(sessions, path, 'session')
    short = (length < 2).nonzero().view(-1)
    if short.numel() > 0:
        raise ValueError(
            f'{path}: session {int(short[0])} has {int(length[short[0]])} '
            f'click(s), but a sample needs a click and a target; remove '
            f'sessions with fewer than 2 clicks'
        )
    return Sessions.from_lengths(item, length)


def _is_pair(value: Any) -> bool:
    r"""Whether it looks like prefixes and targets, not like sessions."""
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(x, (tuple, list)) and len(x) > 0 for x in value)
        and isinstance(value[0][0], (tuple, list))
    )


def _read_pairs(path: str, pairs: Any = None) -> Sessions:
    pairs = read_pickle(path) if pairs is None else pairs
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
    r"""Items and list lengths of lists of ids from 0."""
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
    if item is None or (item < 0).any() or (item > MAX_ID).any():
        at = _first(lists, lambda x: any(not 0 <= i <= MAX_ID for i in x))
        value = next(i for i in lists[at] if not 0 <= i <= MAX_ID)
        raise ValueError(
            f'{path}: {name} {at} holds {_describe(value)}, but ids go from '
            f'0 to {MAX_ID}'
        )
    return item, length


def _first(values: Sequence[Any], is_bad: Any) -> int:
    return next(i for i, value in enumerate(values) if is_bad(value))


def _describe(value: Any) -> str:
    try:
        text = reprlib.repr(value)  # Of the first values and levels alone.
    except ValueError:  # Python prints no int of thousands of digits.
        text = 'a huge number'
    return f'{text} ({type(value).__name__})'
