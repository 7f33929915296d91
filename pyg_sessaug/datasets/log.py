r"""What all data sets made of a log of clicks share."""

import os
import os.path as osp
import socket
from abc import abstractmethod
from contextlib import contextmanager
from datetime import datetime, timezone
from inspect import signature
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

from pyg_sessaug.datasets.base import SessionDataset
from pyg_sessaug.datasets.clicks import Clicks
from pyg_sessaug.datasets.preprocess import prepare_clicks
from pyg_sessaug.datasets.srgnn_files import (
    CATEGORY,
    REQUIRED,
    TRAIN_NAMES,
    read_srgnn_files,
)

SOURCES = ('auto', 'log', 'srgnn')
TIMEOUT = 60  # Seconds without a byte


class LogDataset(SessionDataset):
    r"""A data set prepared from a log of clicks or from SR-GNN's files.

    A subclass names the files of its log in :attr:`log_names` and implements
    :meth:`read_clicks`. For a table of one's own there is
    :class:`~pyg_sessaug.datasets.SessionLog`.

    A log is filtered, split and indexed as
    :func:`~pyg_sessaug.datasets.preprocess.prepare_clicks` says. Its rows may
    stand in any order, and equal rows are clicks of their own. SR-GNN's files
    hold the result of that, so nothing is filtered again: their vocabulary is
    1 to the largest id, and the options of logs are errors.

    Args:
        root (str): Folder with the raw files in :obj:`root/raw`.
        split (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"train"`)
        source (str): :obj:`"log"` for the log, :obj:`"srgnn"` for SR-GNN's
            files (``all_train_seq.txt``, ``test.txt`` and optionally
            ``category.txt``), or :obj:`"auto"` for what :obj:`root/raw`
            holds. (default: :obj:`"auto"`)
        url (str, optional): Address of a folder to download from, in place
            of the known one. (default: :obj:`None`)
        allow_missing_categories (bool): Whether items may be without a
            category where others have one; theirs is -1.
            (default: :obj:`False`)
        memory_limit (str): What DuckDB may hold in memory while it reads a
            log; it spills to disk beyond. (default: :obj:`"1GiB"`)
        **kwargs (optional): How to prepare a log, with the arguments of
            :func:`~pyg_sessaug.datasets.preprocess.prepare_clicks`:
            :obj:`min_item_clicks` (5), :obj:`test_days` (7),
            :obj:`drop_boundary` (:obj:`False`), :obj:`session_gap`,
            :obj:`test_from` (a date such as :obj:`"2026-01-31"`),
            :obj:`test_ratio` (both :obj:`None`) and
            :obj:`min_session_length` (2); and further arguments of
            :class:`~pyg_sessaug.datasets.SessionDataset`.

    Example:
        >>> from pyg_sessaug.datasets import Diginetica, LogDataset
        >>> train = Diginetica('data/diginetica', max_length=2)
        >>> isinstance(train, LogDataset), train.average_length
        (True, 2.0)
    """

    #: Files of the log, each plain or ``.gz``; those needed, then the rest.
    log_names: Tuple[str, ...] = ()
    optional_log_names: Tuple[str, ...] = ()
    #: Where a user gets the log.
    log_address: str = 'its publisher'
    #: Options of :meth:`prepare_log`.
    log_defaults: Dict[str, Any] = dict(
        min_item_clicks=5, test_days=7, drop_boundary=False, session_gap=None
    )
    #: Younger options, which name a prepared file only where they are given.
    more_defaults: Dict[str, Any] = dict(
        test_from=None, test_ratio=None, min_session_length=2
    )
    #: Where SR-GNN's files are, and their SHA-256.
    srgnn_url: str = ''
    srgnn_sha256: Dict[str, str] = {}

    def __init__(
        self,
        root: str,
        split: str = 'train',
        *args: Any,
        source: str = 'auto',
        url: Optional[str] = None,
        allow_missing_categories: bool = False,
        memory_limit: str = '1GiB',
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        if source not in SOURCES:
            raise ValueError(
                f'{name}: unknown source {source!r}; choose one of '
                f'{list(SOURCES)}'
            )
        defaults = {**self.log_defaults, **self.more_defaults}
        self.log_options = {
            key: kwargs.pop(key, value) for key, value in defaults.items()
        }
        unknown = kwargs.keys() - signature(SessionDataset).parameters.keys()
        if unknown:
            raise TypeError(
                f'{name} has no argument {sorted(unknown)}; its options for '
                f'logs are {list(defaults)}'
            )
        self._check_options()
        self.root = osp.expanduser(root)
        self.url = url or self.srgnn_url
        self.allow_missing_categories = allow_missing_categories
        self.memory_limit = memory_limit
        self.source = source if source != 'auto' else self._find_source()
        useless = [x for x in defaults if self.log_options[x] != defaults[x]]
        if self.source == 'srgnn' and useless:
            raise ValueError(
                f"{name}: SR-GNN's files in {self.raw_dir} are prepared "
                f'already; {useless} need the log'
            )
        super().__init__(root, split, *args, **kwargs)

    def _check_options(self) -> None:
        options, name = self.log_options, type(self).__name__
        for key, low in [
            ('min_item_clicks', 1),
            ('test_days', 0),
            ('session_gap', 1e-9),
            ('min_session_length', 2),
        ]:
            value = options[key]
            if value is not None and not value >= low:
                kind = f'at least {low}' if low >= 1 else 'positive'
                raise ValueError(
                    f'{name}: `{key}` must be {kind}, got {value}'
                )
        ratio = options['test_ratio']
        if ratio is not None and not 0 < ratio < 1:
            raise ValueError(
                f'{name}: `test_ratio` must be in (0, 1), got {ratio}'
            )
        if options['test_from'] is not None:
            options['test_from'] = str(options['test_from'])
            self._test_from()
        given = [
            key
            for key in ('test_days', 'test_from', 'test_ratio')
            if options[key] != {**self.log_defaults, **self.more_defaults}[key]
        ]
        if len(given) > 1:
            raise ValueError(
                f'{name}: {given} are different ways to choose the test '
                f'sessions; pass one of them'
            )

    def _test_from(self) -> Optional[float]:
        text = self.log_options['test_from']
        if text is None:
            return None
        try:
            date = datetime.fromisoformat(text)
        except ValueError as error:
            raise ValueError(
                f'{type(self).__name__}: `test_from` must be a date such as '
                f'2026-01-31, got {text!r}'
            ) from error
        if date.tzinfo is None:
            date = date.replace(tzinfo=timezone.utc)
        return date.timestamp()

    @property
    def settings(self) -> Dict[str, Any]:
        base = super().settings
        old = ('fraction', 'val_ratio', 'seed')
        settings = dict(
            source=self.source,
            **{key: base.pop(key) for key in old},
            allow_missing_categories=self.allow_missing_categories,
        )
        if self.source == 'log':
            options = self.log_options
            settings.update({x: options[x] for x in self.log_defaults})
            settings.update(
                {
                    key: options[key]
                    for key, default in self.more_defaults.items()
                    if options[key] != default
                }
            )
        return {**settings, **base}

    @abstractmethod
    def read_clicks(self) -> Clicks:
        r"""Reads the log."""

    def prepare_log(self) -> Dict[str, Any]:
        r"""Prepares the log; see :meth:`prepare`."""
        keys = [*LogDataset.log_defaults, *LogDataset.more_defaults]
        options = {key: self.log_options[key] for key in keys}
        options['test_from'] = self._test_from()
        clicks = self.read_clicks()
        try:
            return prepare_clicks(clicks, consume=True, **options)
        except ValueError as error:
            raise ValueError(f'{self.raw_paths[0]}: {error}') from error

    def prepare(self) -> Dict[str, Any]:
        raw = (
            self.prepare_log()
            if self.source == 'log'
            else read_srgnn_files(self.raw_dir)
        )
        categories, ids = raw['categories'], raw['item_ids']
        if categories is not None and not self.allow_missing_categories:
            lacking = (categories < 0).nonzero().view(-1).tolist()
            if lacking:
                ids = ids.tolist() if isinstance(ids, Tensor) else ids
                raise ValueError(
                    f'{self.raw_dir}: {len(lacking)} items have no category, '
                    f'such as {[ids[i] for i in lacking[:5]]}; add them, or '
                    f'pass allow_missing_categories=True to give them -1'
                )
        return raw

    def _present(self, names: Sequence[Union[str, Tuple[str, ...]]]) -> Any:
        found = []
        for choice in names:
            choices = (choice,) if isinstance(choice, str) else choice
            for file_name in [y for x in choices for y in (x, f'{x}.gz')]:
                if osp.exists(osp.join(self.raw_dir, file_name)):
                    found.append(file_name)
                    break
        return found

    def _find_source(self) -> str:
        log = self._present(self.log_names)
        srgnn = self._present((TRAIN_NAMES, *REQUIRED[1:]))
        if log and srgnn:
            raise ValueError(
                f"{self.raw_dir} holds both the log {log} and SR-GNN's "
                f'files {srgnn}; pass source="log" or source="srgnn"'
            )
        return 'log' if log or not (srgnn or self.srgnn_sha256) else 'srgnn'

    @property
    def raw_file_names(self) -> List[str]:
        if self.source == 'srgnn':
            train = self._present([TRAIN_NAMES]) or [REQUIRED[0]]
            return [*train, *REQUIRED[1:], *self._present((CATEGORY,))]
        return self._present(self.log_names + self.optional_log_names)

    def _download(self) -> None:
        needed: Any = self.log_names
        if self.source == 'srgnn':
            needed = (TRAIN_NAMES, *REQUIRED[1:])
        present = self._present(needed)
        prepared = all(map(osp.exists, self.processed_paths))
        if len(present) == len(needed) or (
            prepared and not present and not self.force_reload
        ):
            return
        if present:
            missing = [
                x if isinstance(x, str) else x[0]
                for x in needed
                if not self._present([x])
            ]
            raise FileNotFoundError(
                f'{self.raw_dir} holds {present} but not {missing}'
            )
        self.download()

    def download(self) -> None:
        if self.source == 'log' or not self.srgnn_sha256:
            names = self.log_names if self.source == 'log' else REQUIRED
            raise FileNotFoundError(
                f'{type(self).__name__} cannot download {list(names)}; get '
                f'the files from {self.log_address} and put them into '
                f'{self.raw_dir}'
            )
        for name, digest in self.srgnn_sha256.items():
            path = osp.join(self.raw_dir, name)
            if not osp.exists(path):
                _download(f'{self.url}/{name}', path, digest)


def _download(url: str, path: str, digest: str) -> None:
    r"""Downloads a file that is there only once its SHA-256 is right."""
    missing = [path]
    while not osp.isdir(osp.dirname(missing[-1])):
        missing.append(osp.dirname(missing[-1]))
    os.makedirs(osp.dirname(path), exist_ok=True)
    try:
        with _timeout(TIMEOUT):
            torch.hub.download_url_to_file(url, path, hash_prefix=digest)
    except Exception as error:  # Of urllib, of the socket, or a wrong hash.
        for folder in missing[1:]:  # A misspelt folder is not left behind.
            os.rmdir(folder)
        changed = isinstance(error, RuntimeError)
        raise (ValueError if changed else OSError)(
            f'there is no {path}, and cannot download {url}: {error}; try '
            f'again, pass `url` for another address, or fetch it by hand and '
            f'put it at {path}'
        ) from error


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
