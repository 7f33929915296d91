r"""A log of one's own."""

import math
import os
import os.path as osp
from typing import Any, Dict, Optional, Union

import torch

from pyg_sessaug.datasets.log import LogDataset
from pyg_sessaug.datasets.preprocess import Clicks
from pyg_sessaug.datasets.readers import (
    optional_import,
    read_csv,
    read_head,
    read_parquet,
    to_codes,
    to_ids,
    to_seconds,
)


class SessionLog(LogDataset):
    r"""Sessions from a CSV or Parquet file of one's own.

    A table in memory is first written to such a file, for instance by
    ``frame.to_parquet('shop/raw/clicks.parquet')``; then
    ``SessionLog('shop', file='clicks.parquet')`` prepares it. Rows may
    stand in any order. Ids may be integers or strings; :attr:`item_ids` is
    an int64 tensor where all are integers, and a list of strings otherwise.

    Args:
        root (str): Folder with the file in :obj:`root/raw`.
        split (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"train"`)
        file (str): Name of the file, or its whole path; one that ends in
            ``.parquet`` is read as Parquet and any other as CSV, with
            ``.gz`` gzipped.
            (default: :obj:`"clicks.csv"`)
        session (str): Column of the session. (default: :obj:`"session_id"`)
        item (str): Column of the item. (default: :obj:`"item_id"`)
        time (str): Column of the time: a number, a date, or a timestamp (UTC
            if it has no zone), in CSV as in ISO 8601.
            (default: :obj:`"time"`)
        category (str, optional): Column of the category; an item has the
            most frequent one over its training clicks.
            (default: :obj:`None`)
        delimiter (str): What stands between the fields of a CSV file.
            (default: :obj:`","`)
        time_unit (float): Seconds per unit of a time that is a number:
            :obj:`0.001` for milliseconds. (default: :obj:`1.0`)
        **kwargs (optional): Further arguments of
            :class:`~pyg_sessaug.datasets.LogDataset`.
    """

    def __init__(
        self,
        root: str,
        split: str = 'train',
        *args: Any,
        file: Union[str, 'os.PathLike[str]'] = 'clicks.csv',
        session: str = 'session_id',
        item: str = 'item_id',
        time: str = 'time',
        category: Optional[str] = None,
        delimiter: str = ',',
        time_unit: float = 1.0,
        **kwargs: Any,
    ) -> None:
        self.columns: Dict[str, Any] = dict(
            file=os.fspath(file),
            session=session,
            item=item,
            time=time,
            category=category,
            delimiter=delimiter,
            time_unit=time_unit,
        )
        if len(delimiter) != 1 or not delimiter.isascii():
            raise ValueError(
                f'SessionLog: `delimiter` must be one ASCII character, got '
                f'{delimiter!r}'
            )
        if not 0 < time_unit < math.inf:
            raise ValueError(
                f'SessionLog: `time_unit` must be positive, got {time_unit}'
            )
        self.log_names = (self.columns['file'],)
        super().__init__(root, split, *args, **{'source': 'log', **kwargs})

    @property
    def settings(self) -> Dict[str, Any]:
        return {**self.columns, **super().settings}

    def download(self) -> None:
        if self.source == 'srgnn':
            return super().download()
        folder, name = osp.split(osp.join(self.raw_dir, self.columns['file']))
        found = sorted(os.listdir(folder)) if osp.isdir(folder) else []
        raise FileNotFoundError(
            f'there is no {name} in {folder}, which holds {found[:10]}; put '
            f'the log there, or pass another name or a whole path as `file`'
        )

    def read_clicks(self) -> Clicks:
        session, item, time, category = (
            self.columns[key]
            for key in ['session', 'item', 'time', 'category']
        )
        pa = optional_import('pyarrow')
        path = osp.join(self.raw_dir, self._present(self.log_names)[0])
        names = [session, item, time] + [category] * (category is not None)
        nullable = [] if category is None else [category]
        if path.endswith('.parquet'):
            table = read_parquet(path, names, nullable)
        else:
            delimiter = self.columns['delimiter']
            kinds = dict.fromkeys(
                names, pa.dictionary(pa.int32(), pa.string())
            )
            kinds[time] = _kind_of_time(path, time, delimiter)
            table = read_csv(path, kinds, delimiter, nullable=nullable)
        try:
            ids, item_names = to_ids(table[item])
            return Clicks(
                session=to_ids(table[session])[0],
                item=ids,
                time=to_seconds(table[time], self.columns['time_unit']),
                item_names=item_names,
                category=None
                if category is None
                else _sorted_codes(table[category]),
            )
        except (ValueError, pa.ArrowException) as error:
            raise ValueError(f'{path}: {error}') from error


def _kind_of_time(path: str, name: str, delimiter: str) -> Any:
    r"""Arrow type of a column of times, judged by its first field."""
    pa = optional_import('pyarrow')
    header, *rows = read_head(path, delimiter)
    field = dict(zip(header, rows[0] if rows else [])).get(name, '')
    try:
        float(field)
        return pa.float64()
    except ValueError:
        has_zone = any(x in field[10:] for x in 'Z+-')
    # Nanoseconds last: they end in the year 2262.
    for unit in ('us', 'ns'):
        kind = pa.timestamp(unit, 'UTC' if has_zone else None)
        try:
            pa.scalar(field or None, pa.string()).cast(kind)
        except pa.ArrowInvalid as error:
            reason = error
        else:
            return kind
    raise ValueError(
        f'{path}: the first {name!r} is {field!r}, neither a number nor a '
        f'time of ISO 8601; name the column of the time'
    ) from reason


def _sorted_codes(column: Any) -> torch.Tensor:
    code, names = to_codes(column)
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = torch.full((len(names) + 1,), -1)  # The last is that of code -1.
    rank[torch.tensor(order, dtype=torch.int64)] = torch.arange(len(names))
    return rank[code]
