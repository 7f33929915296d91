r"""The data set that the arguments of a command name."""

import argparse
import os.path as osp
import re
from typing import Any, Dict, List, Optional, Sequence

from pyg_sessaug.datasets.reading import find_files
from pyg_sessaug.datasets.session_log import SessionLog
from pyg_sessaug.registry import DATASETS, find_class

# Options of one's own log alone ...
COLUMNS = (
    'session',
    'item',
    'time',
    'category',
    'delimiter',
    'time_unit',
    'time_format',
    'columns',
    'where',
    'on_missing',
    'drop_duplicates',
    'val_file',
    'test_file',
)
# ... and of any data. What was not given is left to the data set: SR-GNN's
# files know only some of them.
OPTIONS = (
    'min_item_clicks',
    'min_session_length',
    'max_length',
    'session_gap',
    'test_days',
    'test_from',
    'test_ratio',
    'fraction',
    'part',
    'val_ratio',
    'val_split',
    'memory_limit',
)
FILES = ('file', 'val_file', 'test_file')


def load_data(
    args: argparse.Namespace,
    splits: Sequence[str],
    about: Optional[Dict[str, Any]] = None,
) -> List[Any]:
    r"""The data set that the arguments name, prepared if need be.

    Args:
        args (argparse.Namespace): Arguments of a command with data.
        splits (list): Splits to load.
        about (dict, optional): What a recommender tells of the data that it
            was trained on; its options are taken where the arguments give
            none. (default: :obj:`None`)
    """
    given = {
        key: getattr(args, key)
        for key in (*OPTIONS, *COLUMNS)
        if getattr(args, key) is not None
    }
    if 'part' in given and args.dataset != 'yoochoose':
        raise ValueError('--part is for --dataset yoochoose')
    if args.dataset is None:
        cls: Any = SessionLog
        path = osp.abspath(osp.expanduser(args.log))
        given.update(file=path, **_spelt_out(given))
        found = find_files(path, '')
        if not found:
            raise FileNotFoundError(f'there is no file {args.log}')
        # A pattern's own folder, whatever it finds today.
        named = path if osp.exists(path) else re.split(r'[*?\[]', path)[0]
        root = args.root or (path if osp.isdir(path) else osp.dirname(named))
        defaults: Dict[str, Any] = {'allow_missing_categories': True}
        if re.search(r'\.tsv(\.gz|\.zst)?$', found[0]):
            defaults['delimiter'] = '\t'
    else:
        for key in COLUMNS:
            if key in given:
                raise ValueError(
                    f'--{key.replace("_", "-")} is for --log; {args.dataset} '
                    f'has columns of its own'
                )
        cls, defaults = find_class(args.dataset, DATASETS), {}
        root = args.root or osp.join('data', args.dataset)
    kwargs = {**defaults, **_as_trained(cls, about or {}, given), **given}
    # All splits are prepared with the first.
    again = [args.force_reload, *[False] * (len(splits) - 1)]
    return [
        cls(
            root,
            split,
            force_reload=reload,
            processed_root=args.processed_root,
            **kwargs,
        )
        for split, reload in zip(splits, again)
    ]


def _spelt_out(given: Dict[str, Any]) -> Dict[str, Any]:
    r"""Options whose values the data set takes in another form."""
    out: Dict[str, Any] = {
        key: osp.abspath(osp.expanduser(given[key]))
        for key in ('val_file', 'test_file')
        if key in given
    }
    if given.get('delimiter') == '\\t':  # As shells pass it on.
        out['delimiter'] = '\t'
    if 'columns' in given:
        out['columns'] = given['columns'].split(',')
    return out


def _as_trained(
    cls: type, about: Dict[str, Any], given: Dict[str, Any]
) -> Dict[str, Any]:
    r"""Arguments of the data that a recommender was trained on."""
    if about.get('dataset') != cls.__name__:
        return {}
    kwargs = dict(about['settings'])
    if 'newest' in kwargs:  # The names of YooChoose's settings are older.
        kwargs.update(part=kwargs['fraction'], fraction=kwargs.pop('newest'))
    if kwargs.get('time_unit') == 1.0:  # Also where none was given
        del kwargs['time_unit']
    ways = ('test_days', 'test_from', 'test_ratio')
    if any(x in given for x in ways):  # One of them is to be passed.
        kwargs = {k: v for k, v in kwargs.items() if k not in ways}
    return kwargs


def check_same_split(path: str, about: Dict[str, Any], data: Any) -> None:
    r"""Raises where sessions of a split may have been trained on: another
    log or other options have training sessions in their test split.

    Args:
        path (str): The recommender.
        about (dict): What it tells of the data it was trained on.
        data (SessionDataset): The split.
    """
    now = data.settings
    then = about.get('settings', now)
    changed = [
        f'{key}={then.get(key)!r}, not {now.get(key)!r}'
        for key in {**now, **then}
        if key not in FILES and then.get(key) != now.get(key)
    ]
    raw = about.get('raw_sha256', data.raw_sha256)
    # By contents alone: files may have moved.
    if sorted(raw.values()) != sorted(data.raw_sha256.values()):
        changed.append('a log of other contents')
    if about.get('updates'):
        changed.append(f'{about["updates"]} updates by newer sessions')
    if changed:
        raise ValueError(
            f'{path} was trained with {"; ".join(changed)}: sessions it was '
            f'trained on may be in this {data.split} split; use the same log '
            f'and options'
        )
