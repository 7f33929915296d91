r"""A log of one's own."""

import math
import os
import os.path as osp
from typing import Any, Dict, List, Optional, Sequence, Union

from pyg_sessaug.datasets.clicks import Clicks
from pyg_sessaug.datasets.columns import read_log
from pyg_sessaug.datasets.log import LogDataset
from pyg_sessaug.datasets.reading import find_files
from pyg_sessaug.datasets.text_files import Text
from pyg_sessaug.datasets.values import Column, Options

Path = Union[str, 'os.PathLike[str]']
Files = Union[Path, Sequence[Path]]


class SessionLog(LogDataset):
    r"""Sessions from a table of one's own: CSV, Parquet or JSON lines.

    A table in memory is first written to such a file, for instance by
    ``frame.to_parquet('shop/raw/clicks.parquet')``; then
    ``SessionLog('shop', file='clicks.parquet')`` prepares it. Rows may
    stand in any order; those of equal times keep theirs. Ids may be integers
    or strings; :attr:`item_ids` is an int64 tensor where all are integers,
    and a list of strings otherwise.

    Args:
        root (str): Folder with the files in :obj:`root/raw`.
        split (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"train"`)
        file (str or list): Name or whole path of the file, a pattern with
            ``*``, a folder (whose subfolders ``day=2026-01-31`` are a column
            too), or a list of these. JSON lines end in ``.jsonl``, Parquet is
            seen from within, and any other is CSV; all may be packed by gzip
            or zstd. (default: :obj:`"clicks.csv"`)
        session (str): Column of the session. (default: :obj:`"session_id"`)
        item (str): Column of the item. (default: :obj:`"item_id"`)
        time (str): Column of the time: a number, a date, or a timestamp (UTC
            if it has no zone), in texts as in ISO 8601.
            (default: :obj:`"time"`)
        category (str, optional): Column of the category; an item has the
            most frequent one over its training clicks.
            (default: :obj:`None`)
        delimiter (str): What stands between the fields of a CSV file.
            (default: :obj:`","`)
        time_unit (float, optional): Seconds per unit of a time that is a
            number. (default: :obj:`None`, told by its size, with a warning
            unless these are seconds)
        time_format (str, optional): How texts spell the time, in the signs
            of ``strptime``: :obj:`"%d/%m/%Y %H:%M:%S"`.
            (default: :obj:`None`)
        columns (list, optional): All columns of CSV files without a header.
            (default: :obj:`None`, the first line names them)
        where (str, optional): Condition in SQL that rows must meet, such as
            :obj:`"event = 'view'"`. (default: :obj:`None`)
        on_missing (str): :obj:`"error"`, or :obj:`"drop"` for rows without a
            session, an item or a time, or with a placeholder such as NULL.
            (default: :obj:`"error"`)
        drop_duplicates (bool): Whether of equal rows (in the columns read)
            only the first is kept. (default: :obj:`False`)
        val_file, test_file (str or list, optional): Files of a log that is
            split already; nothing is filtered but items unknown to training,
            :obj:`min_item_clicks` being 1 then. (default: :obj:`None`)
        **kwargs (optional): Further arguments of
            :class:`~pyg_sessaug.datasets.LogDataset`.

    Example:
        >>> from pyg_sessaug.datasets import SessionLog
        >>> options = dict(file='clicks.csv', test_ratio=0.2)
        >>> train = SessionLog('shop', **options)
        >>> test = SessionLog('shop', 'test', **options)
        >>> train.num_items, bool((train.item_ids == test.item_ids).all())
        (7, True)
    """

    def __init__(
        self,
        root: str,
        split: str = 'train',
        *args: Any,
        file: Files = 'clicks.csv',
        session: str = 'session_id',
        item: str = 'item_id',
        time: str = 'time',
        category: Optional[str] = None,
        delimiter: str = ',',
        time_unit: Optional[float] = None,
        time_format: Optional[str] = None,
        columns: Optional[Sequence[str]] = None,
        where: Optional[str] = None,
        on_missing: str = 'error',
        drop_duplicates: bool = False,
        val_file: Optional[Files] = None,
        test_file: Optional[Files] = None,
        **kwargs: Any,
    ) -> None:
        self.columns: Dict[str, Any] = dict(
            file=_plain(file),
            session=session,
            item=item,
            time=time,
            category=category,
            delimiter=delimiter,
            time_unit=time_unit,
        )
        # Younger options do not rename what was prepared without them.
        self.reading: Dict[str, Any] = dict(
            time_format=time_format,
            columns=None if columns is None else list(columns),
            where=where,
            on_missing=on_missing,
            drop_duplicates=drop_duplicates,
            val_file=None if val_file is None else _plain(val_file),
            test_file=None if test_file is None else _plain(test_file),
        )
        if len(delimiter) != 1 or not delimiter.isascii():
            raise ValueError(
                f'SessionLog: `delimiter` must be one ASCII character, got '
                f'{delimiter!r}'
            )
        if time_unit is not None and not 0 < time_unit < math.inf:
            raise ValueError(
                f'SessionLog: `time_unit` must be positive, got {time_unit}'
            )
        if on_missing not in ('error', 'drop'):
            raise ValueError(
                f'SessionLog: `on_missing` must be "error" or "drop", got '
                f'{on_missing!r}'
            )
        if test_file is not None:
            kwargs.setdefault('min_item_clicks', 1)
        elif val_file is not None:
            raise ValueError('SessionLog: `val_file` needs `test_file` too')
        self.log_names = tuple(_listed(self.columns['file']))
        super().__init__(root, split, *args, **{'source': 'log', **kwargs})

    @property
    def settings(self) -> Dict[str, Any]:
        unit = self.columns['time_unit']
        given = {
            key: value
            for key, value in self.reading.items()
            if value not in (None, False, 'error')
        }
        # That times are told by their size had no name.
        columns = {**self.columns, 'time_unit': 1.0 if unit is None else unit}
        return {**columns, **super().settings, **given}

    @property
    def parts(self) -> List[List[str]]:
        r"""Paths of the log; where it is split already, of each part."""
        keys = ('val_file', 'test_file')
        files = [self.columns['file'], *(self.reading[x] for x in keys)]
        if files[2] is None:
            files = files[:1]
        folder = osp.abspath(self.raw_dir)
        return [[] if x is None else find_files(x, folder) for x in files]

    @property
    def raw_file_names(self) -> List[str]:
        if self.source == 'srgnn':
            return super().raw_file_names
        return [path for paths in self.parts for path in paths]

    def _download(self) -> None:
        if self.source == 'srgnn':
            return super()._download()
        prepared = all(map(osp.exists, self.processed_paths))
        if prepared and not self.raw_file_names and not self.force_reload:
            return
        keys = ('file', 'val_file', 'test_file')
        files = {**self.columns, **self.reading}
        for key in keys:
            for entry in _listed(files[key]):
                if not find_files(entry, self.raw_dir):
                    self._lacks(key, entry)

    def _lacks(self, key: str, entry: str) -> None:
        folder, name = osp.split(osp.join(self.raw_dir, entry))
        found = sorted(os.listdir(folder)) if osp.isdir(folder) else []
        raise FileNotFoundError(
            f'there is no {name} in {folder}, which holds {found[:10]}; put '
            f'the log there, or pass another name or a whole path as `{key}`'
        )

    def read_clicks(self) -> Clicks:
        kinds = dict(session='id', item='id', time='time', category='text')
        columns = {
            role: Column(self.columns[role], kind)
            for role, kind in kinds.items()
            if self.columns[role] is not None
        }
        reading = self.reading
        options = Options(
            Text(self.columns['delimiter'], reading['columns'], own=True),
            reading['where'],
            self.columns['time_unit'],
            reading['time_format'],
            reading['on_missing'],
            reading['drop_duplicates'],
            self.memory_limit,
            self.processed_dir,
        )
        return read_log(self.parts, columns, options)


def _plain(files: Files) -> Any:
    if isinstance(files, (str, os.PathLike)):
        return os.fspath(files)
    return [os.fspath(x) for x in files]


def _listed(files: Any) -> List[str]:
    return (
        [] if files is None else [files] if isinstance(files, str) else files
    )
