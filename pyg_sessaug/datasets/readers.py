r"""Readers of logs, a block at a time, with a progress bar."""

import csv
import gzip
import importlib
import io
import os.path as osp
import re
import warnings
from array import array
from contextlib import contextmanager, suppress
from itertools import islice
from typing import (
    IO,
    Any,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import torch
from torch import Tensor
from tqdm import tqdm

NO_EVENTS: Dict[str, Any] = {'session': 0, 'events': ()}
BLOCK = 1 << 22  # Bytes; larger ones are no faster.


def optional_import(name: str) -> Any:
    r"""A module that only reading logs needs.

    Args:
        name (str): The module.

    Raises:
        ImportError: If it is not installed; names the extra to install. If
            it is and cannot be imported, tells its own reason.
    """
    package = name.split('.')[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError(
            f'reading logs needs {package}; pip install pyg_sessaug[logs]'
        ) from error


def read_head(path: str, delimiter: str = ',') -> List[List[str]]:
    r"""The fields of the first two rows of a CSV file, plain or gzipped."""
    with _explain(path), _open(path) as (f, _):
        # Broken characters are told of with their row, by the reader.
        text = io.TextIOWrapper(f, 'utf-8-sig', 'surrogateescape', newline='')
        rows = csv.reader(text, delimiter=delimiter)
        return list(islice(rows, 2)) or [[]]


def read_csv(
    path: str,
    columns: Dict[str, Any],
    delimiter: str = ',',
    names: Optional[Sequence[str]] = None,
    nullable: Sequence[str] = (),
) -> Any:
    r"""Reads columns of a CSV file, plain or gzipped.

    Args:
        path (str): The file.
        columns (dict): Arrow type of each column to read.
        delimiter (str): What stands between fields. (default: :obj:`","`)
        names (list, optional): All columns of a file without a header.
            (default: :obj:`None`, the first line names them)
        nullable (list): Columns that may have empty fields.
            (default: :obj:`()`)

    Returns:
        pyarrow.Table: The columns.

    Raises:
        ValueError: If a column is missing, or a field cannot be read; it
            names the file and the row.
    """
    pa, arrow = optional_import('pyarrow'), optional_import('pyarrow.csv')
    header = read_head(path, delimiter)[0] if names is None else list(names)
    _check_columns(path, columns, header, delimiter)
    batches = []
    with _explain(path, header), _open(path) as (f, bar):
        # One thread keeps memory flat and knows the row of an error.
        reader = arrow.open_csv(
            f,
            read_options=arrow.ReadOptions(
                column_names=header,
                skip_rows=int(names is None),
                block_size=BLOCK,
                use_threads=False,
            ),
            parse_options=arrow.ParseOptions(
                delimiter=delimiter, newlines_in_values=True
            ),
            convert_options=arrow.ConvertOptions(
                column_types=columns,
                include_columns=list(columns),
                null_values=[''],
                strings_can_be_null=True,
            ),
        )
        row = int(names is None)
        for batch in reader:
            _check_nulls(batch, nullable, row)
            row += batch.num_rows
            batches.append(batch)
            bar()
    return pa.Table.from_batches(batches, reader.schema)


def read_parquet(
    path: str,
    columns: Sequence[str],
    nullable: Sequence[str] = (),
) -> Any:
    r"""Reads columns of a Parquet file; see :func:`read_csv`."""
    pa, arrow = optional_import('pyarrow'), optional_import('pyarrow.parquet')
    batches: List[Any] = []
    with _explain(path), arrow.ParquetFile(path) as f:
        _check_columns(path, columns, f.schema_arrow.names)
        row = 0
        for batch in tqdm(
            f.iter_batches(columns=list(columns)),
            desc=f'Reading {osp.basename(path)}',
            disable=None,
        ):
            _check_nulls(batch, nullable, row)
            row += batch.num_rows
            batches.append(batch)
        return pa.Table.from_batches(
            batches,
            None
            if batches
            else pa.schema([f.schema_arrow.field(name) for name in columns]),
        )


def read_events(
    path: str,
    types: Sequence[str],
) -> Tuple[Tensor, Tensor, Tensor]:
    r"""Reads events in OTTO's JSON lines, plain or gzipped.

    Args:
        path (str): The file.
        types (list): Types of the events to read.

    Returns:
        (Tensor, Tensor, Tensor): Session, item and milliseconds of each
        event; all int64.

    Raises:
        ValueError: If a line is not as it should be; it names the line.
    """
    loads = optional_import('orjson').loads
    session, item, time = array('q'), array('q'), array('q')
    with _explain(path), _open(path) as (f, bar):
        for number, line in enumerate(f, 1):
            if number % 10_000 == 0:
                bar()
            try:
                entry = loads(line) if line.strip() else NO_EVENTS
                events = [x for x in entry['events'] if x['type'] in types]
                items = [x['aid'] for x in events]
                times = [x['ts'] for x in events]
                sessions = [entry['session']] * len(events)
                # An array takes them for 1 and 0:
                if (b'true' in line or b'false' in line) and any(
                    isinstance(x, bool) for x in items + times + sessions
                ):
                    raise TypeError('a truth value is no integer')
                item.extend(items)
                time.extend(times)
                session.extend(sessions)
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                raise ValueError(
                    f'line {number} is not {{"session": ..., "events": '
                    f'[{{"aid": ..., "ts": ..., "type": ...}}, ...]}} with '
                    f'64-bit integers ({type(error).__name__}: {error})'
                ) from error
        bar()
    if len(item) == 0:
        raise ValueError(f'{path} has no events of type {list(types)}')
    return (
        torch.frombuffer(session, dtype=torch.int64),
        torch.frombuffer(item, dtype=torch.int64),
        torch.frombuffer(time, dtype=torch.int64),
    )


def to_tensor(column: Any) -> Tensor:
    r"""Values of an Arrow column of numbers, ``[num_rows]``."""
    return torch.tensor(column.to_numpy())


def to_codes(column: Any) -> Tuple[Tensor, List[str]]:
    r"""Distinct strings of an Arrow column, and the place of each row's.

    Args:
        column (pyarrow.ChunkedArray): Strings, maybe dictionary-encoded.

    Returns:
        (Tensor, list): Place of each row's string, ``[num_rows]`` int64, -1
        for an empty field; and the strings.
    """
    pa = optional_import('pyarrow')
    if pa.types.is_floating(column.type):  # Whole ones, if they are ids.
        with suppress(pa.ArrowInvalid):
            column = column.cast(pa.int64())
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    column = column.unify_dictionaries().combine_chunks()
    code = column.indices.cast(pa.int64()).fill_null(-1)
    return to_tensor(code), column.dictionary.to_pylist()


def to_ids(column: Any) -> Tuple[Tensor, Optional[List[str]]]:
    r"""Ids of an Arrow column of integers or strings.

    Args:
        column (pyarrow.ChunkedArray): The ids.

    Returns:
        (Tensor, list): Where all are integers, the ids themselves and
        :obj:`None`; else codes and strings as :func:`to_codes` gives them.
        A string is an integer if it is spelt as Python spells it: "007" is
        not "7".

    Warns:
        UserWarning: If most are integers and some are not.
    """
    pa = optional_import('pyarrow')
    if pa.types.is_integer(column.type):
        return to_tensor(column.cast(pa.int64())), None
    code, names = to_codes(column)
    ids = [parse_id(name) for name in names]
    others = [i for i, parsed in enumerate(ids) if isinstance(parsed, str)]
    if not others:
        return torch.tensor(ids, dtype=torch.int64)[code], None
    if 2 * len(others) < len(names):
        row = int((code == others[0]).nonzero()[0]) + 1
        warnings.warn(
            f'{len(names) - len(others)} of {len(names)} ids are integers, '
            f'but {names[others[0]]!r} of click {row} is none, so all become '
            f'strings; correct it if it is a mistake',
            stacklevel=2,
        )
    return code, names


def parse_id(text: str) -> Union[int, str]:
    r"""The 64-bit integer that Python spells so, else the text itself."""
    digits = text.removeprefix('-')
    if digits.isdecimal() and len(digits) < 20:  # Of int64: 19
        value = int(text)
        if str(value) == text and -(2**63) <= value < 2**63:
            return value
    return text


def to_seconds(column: Any, unit: float = 1.0) -> Tensor:
    r"""Seconds of an Arrow column of numbers, timestamps or dates.

    Args:
        column (pyarrow.ChunkedArray): The times.
        unit (float): Seconds per unit of plain numbers.
            (default: :obj:`1.0`)

    Returns:
        Tensor: Seconds since 1970 where the column has dates, ``[num_rows]``
        float64.
    """
    pa = optional_import('pyarrow')
    types, kind = pa.types, column.type
    if types.is_integer(kind) or types.is_floating(kind):
        return to_tensor(column).double() * unit
    if types.is_date(kind) or types.is_timestamp(kind):
        # The zone is dropped: Arrow keeps the time in UTC.
        kind = pa.timestamp('us', getattr(kind, 'tz', None))
        microseconds = column.cast(kind, safe=False).cast(pa.int64())
        return to_tensor(microseconds).double() / 1e6
    raise ValueError(
        f'times must be numbers or timestamps, got {kind}; convert the column '
        f'(pandas.to_datetime), or write the log as CSV, whose texts are read'
    )


@contextmanager
def _open(path: str) -> Iterator[Tuple[IO[bytes], Any]]:
    r"""A file, plain or gzipped, and what updates its progress bar."""
    with (
        open(path, 'rb') as raw,
        tqdm(
            desc=f'Reading {osp.basename(path)}',
            total=osp.getsize(path),
            unit='B',
            unit_scale=True,
            disable=None,
        ) as bar,
    ):
        stream: Any = raw
        if path.endswith('.gz'):
            stream = gzip.GzipFile(fileobj=raw)
        yield stream, lambda: bar.update(raw.tell() - bar.n)


@contextmanager
def _explain(path: str, header: Sequence[str] = ()) -> Iterator[None]:
    try:
        yield
    except (ValueError, EOFError, OSError, csv.Error) as error:
        # Arrow counts the columns from 0.
        message = re.sub(
            r'CSV column #(\d+)',
            lambda match: f'column {header[int(match[1])]!r}',
            str(error),
        )
        raise ValueError(
            f'cannot read {path}: {message}; correct or remove what is wrong '
            f'there, or get the file again'
        ) from error


def _check_columns(
    path: str,
    columns: Any,
    header: Sequence[str],
    delimiter: Optional[str] = None,
) -> None:
    for name in columns:
        if header.count(name) == 1:
            continue
        hint = ''
        if delimiter is not None:
            others = [x for x in ',;\t|' if x in ''.join(header)]
            if len(header) == 1 and others:
                hint = (
                    f'; if {others[0]!r} stands between its fields, pass it '
                    f'as `delimiter` (--delimiter)'
                )
        raise ValueError(
            f'{path} must have one column {name!r}, but its columns are '
            f'{list(header)}{hint or "; correct its header, or name another"}'
        )


def _check_nulls(batch: Any, nullable: Sequence[str], row: int) -> None:
    for name, column in zip(batch.schema.names, batch.columns):
        if column.null_count > 0 and name not in nullable:
            row += 1 + column.is_null().to_pylist().index(True)
            raise ValueError(f'row {row} has no {name}')
