r"""Files of a log, read by DuckDB into one table on disk.

Nothing is guessed and nothing is lost silently: columns are read as text
and converted by :mod:`~pyg_sessaug.datasets.columns`, quotes are checked by
lines, and the rows read are compared with the lines there.
"""

import csv
import glob
import gzip
import json
import os
import os.path as osp
import re
import zlib
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence
from urllib.parse import unquote

import duckdb
import torch

from pyg_sessaug.data.progress import watched
from pyg_sessaug.datasets.text_files import (
    ANEW,
    GZIP,
    ZSTD,
    Text,
    check_columns,
    count_spanned,
    magic,
    mend_line_ends,
    open_text,
    refuse_wide,
    scan,
    unique_names,
)

ARCHIVES = {
    b'PK\x03\x04': 'a ZIP archive or an Excel sheet',
    b'7z\xbc\xaf': 'a 7-Zip archive',
    b'Rar!': 'a RAR archive',
    b'\xfd7zXZ': 'compressed by xz',
    b'BZh': 'compressed by bzip2',
}
PARQUET = b'PAR1'
SMALL = 1 << 27  # Bytes of files
MAX_OBJECT = 1 << 24  # Bytes of a line of JSON, DuckDB's own bound
ENDINGS = ('.csv', '.tsv', '.txt', '.dat', '.parquet')
JSON_LINES = ('.jsonl', '.ndjson', '.json')


class Source(NamedTuple):
    r"""What DuckDB selects from, and how its rows are counted."""

    #: Relation of SQL.
    relation: str
    #: Name in SQL of each column, by its name in the file.
    columns: Dict[str, str]
    #: Type of each column that is no text.
    types: Dict[str, str]
    #: Number that people give the first row of data.
    first_row: int
    #: Rows that the file must have, where they are counted.
    rows: Optional[int]
    #: Whether it is read line by line as JSON.
    is_json: bool = False


def find_files(file: Any, folder: str) -> List[str]:
    r"""Paths that a name, a path, a glob, a folder or a list of them mean.

    Args:
        file (str or list): A folder stands for all logs below it.
        folder (str): Where relative names begin.
    """
    entries = [file] if isinstance(file, (str, os.PathLike)) else list(file)
    found: List[str] = []
    for entry in entries:
        path = osp.join(folder, osp.expanduser(os.fspath(entry)))
        if osp.isdir(path):
            below = osp.join(glob.escape(path), '**')
            inside = glob.glob(below, recursive=True)
            found += sorted(filter(_is_log, inside))
        elif not osp.exists(path) and glob.escape(path) != path:
            found += [
                x
                for x in sorted(glob.glob(path, recursive=True))
                if osp.isfile(x)
            ]
        elif osp.exists(path):
            found.append(path)
        elif osp.exists(f'{path}.gz'):
            found.append(f'{path}.gz')
    return list(dict.fromkeys(found))


def _is_log(path: str) -> bool:
    name = osp.basename(path)
    if name.startswith(('.', '_')) or not osp.isfile(path):
        return False
    for packed in ('.gz', '.zst'):
        name = name.removesuffix(packed)
    return name.endswith(ENDINGS + JSON_LINES)


@contextmanager
def connect(
    folder: Optional[str] = None,
    memory_limit: str = '1GiB',
    paths: Optional[Sequence[str]] = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    r"""A database that is gone afterwards.

    Args:
        folder (str, optional): Where to keep it meanwhile.
            (default: :obj:`None`, the system's folder of such files)
        memory_limit (str): What DuckDB may hold in memory.
            (default: :obj:`"1GiB"`)
        paths (list, optional): What is read; if small, it is kept in memory,
            which spares a fifth of the time. (default: :obj:`None`, on disk)
    """
    size = SMALL if paths is None else sum(map(osp.getsize, paths))
    with TemporaryDirectory(prefix='.reading-', dir=folder) as temporary:
        config: Dict[str, Any] = {
            'memory_limit': memory_limit,
            'temp_directory': osp.join(temporary, 'spill'),
            'threads': torch.get_num_threads(),
            'autoinstall_known_extensions': False,
        }
        try:
            name = osp.join(temporary, 'log.db')
            name = ':memory:' if size < SMALL else name
            con = duckdb.connect(name, config=config)
        except (duckdb.Error, TypeError) as error:
            raise ValueError(
                f'cannot read with memory_limit={memory_limit!r}: '
                f'{_first_line(error)}; pass a size such as "1GiB"'
            ) from error
        try:
            con.execute("set timezone = 'UTC'")
            # Counts how far a query is, and prints nothing.
            con.execute('set enable_progress_bar = true')
            con.execute('set enable_progress_bar_print = false')
            with watched(con.query_progress, 'read'):
                yield con
        finally:
            con.close()


@contextmanager
def explain(path: str) -> Iterator[None]:
    r"""Turns what goes wrong with a file into one kind of error."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise ValueError(
            f'cannot read {path}: {_first_line(error)}; raise `memory_limit` '
            f'(--memory-limit)'
        ) from error
    except (duckdb.Error, EOFError, OSError, zlib.error, csv.Error) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f'cannot read {path}: {_first_line(error)}; {ANEW}'
        ) from error


@contextmanager
def explain_json(path: str) -> Iterator[None]:
    r"""Names the line that is no JSON object; DuckDB may miscount it."""
    try:
        yield
    except duckdb.InvalidInputException as error:
        if packing(path) == 'zstd':
            raise
        with open_text(path) as f:
            number = 0
            while line := f.readline(MAX_OBJECT):
                number += 1
                if not line.strip():
                    continue
                reason: object = f'it has {MAX_OBJECT} bytes or more'
                if len(line) < MAX_OBJECT:
                    try:
                        if isinstance(json.loads(line), dict):
                            continue
                        reason = 'it is no object'
                    except ValueError as other:
                        reason = other
                raise ValueError(
                    f'{path}: line {number} is not one JSON object '
                    f'({reason}); {ANEW}'
                ) from error
        raise


def open_source(
    con: duckdb.DuckDBPyConnection,
    path: str,
    needed: Dict[str, str],
    text: Text,
    all_keys: bool = False,
) -> Source:
    r"""Looks at a file and says how to select from it.

    Args:
        con (DuckDBPyConnection): The database.
        path (str): The file.
        needed (dict): Column of each role, :obj:`time` among the roles.
        text (Text): How it is written if it is text.
        all_keys (bool): Whether other keys of JSON lines are asked for.
            (default: :obj:`False`)

    Raises:
        ValueError: If the file is none of CSV, Parquet and JSON lines, or
            a quotation mark swallows rows; it names the line.
    """
    with explain(path):
        head = _head(path)
        if head[:4] == PARQUET:
            source = _parquet(con, path)
        elif (
            path.removesuffix('.gz').removesuffix('.zst').endswith(JSON_LINES)
        ):
            source = _json(con, path, head, list(needed.values()), all_keys)
        else:
            source = _csv(con, path, head, needed, text)
    parts = [x.split('=', 1) for x in path.split(os.sep)[:-1] if '=' in x]
    for name, value in parts:  # Folders as Hive names them
        if name not in source.columns:
            known = value != '__HIVE_DEFAULT_PARTITION__'
            sql = quote(unquote(value)) if known else 'NULL::VARCHAR'
            relation = f'(select *, {sql} as {ident(name)} from '
            source = source._replace(
                relation=f'{relation}{source.relation})',
                columns={**source.columns, name: name},
            )
    return source


def check_rows(
    con: duckdb.DuckDBPyConnection, path: str, rows: int, lines: int
) -> None:
    r"""Raises unless every line of a text file was read as a row.

    Args:
        con (DuckDBPyConnection): The database that read it.
        path (str): The file.
        rows (int): Rows that it gave.
        lines (int): Rows that it must have.
    """
    bad = con.execute(
        'select line, first(error_type), first(error_message) from '
        'reject_errors group by line order by line limit 5'
    ).fetchall()
    con.execute('drop table reject_errors')
    con.execute('drop table reject_scans')
    if bad:
        line, kind, message = bad[0]
        numbers = ', '.join(str(x) for x, *_ in bad)
        raise ValueError(
            f'{path}: line {line} is no row ({str(kind).lower()}: '
            f'{message.splitlines()[0][:200]}); {lines - rows} of {lines} '
            f'lines are none, the first being {numbers}; {ANEW}'
        )
    if rows != lines:
        raise ValueError(
            f'{path}: {lines} lines hold {rows} rows; a quotation mark may '
            f'swallow the others; remove it, or close it'
        )


def ident(name: str) -> str:
    r"""A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote(text: str) -> str:
    r"""A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def file_sql(path: str) -> str:
    r"""A path in SQL, where it is a pattern otherwise."""
    return quote(re.sub(r'([*?\[])', r'[\1]', path))


def packing(path: str) -> str:
    r"""How a file is compressed, whatever its name."""
    return {GZIP: 'gzip', ZSTD: 'zstd'}.get(magic(path), 'uncompressed')


def _first_line(error: BaseException) -> str:
    lines = [x.strip() for x in str(error).splitlines() if x.strip()]
    text = ' '.join(lines[:3]) or type(error).__name__
    return text if len(text) < 400 else f'{text[:400]} ...'


def _head(path: str) -> bytes:
    with open(path, 'rb') as f:
        head = f.read(512)
    kind = next((v for k, v in ARCHIVES.items() if head.startswith(k)), None)
    if head[:2] == GZIP:
        with gzip.open(path) as f:
            head = f.read(512)
    if head[257:262] == b'ustar':
        kind = 'a TAR archive'
    if kind is not None:
        raise ValueError(
            f'{path} is {kind}; unpack it, and save a sheet as CSV'
        )
    if head[:2] in (b'\xff\xfe', b'\xfe\xff') or b'\0' in head[:4]:
        raise ValueError(
            f'{path} is UTF-16 or no text at all; save it as UTF-8'
        )
    return head


def _parquet(con: duckdb.DuckDBPyConnection, path: str) -> Source:
    relation = f'read_parquet({file_sql(path)}, hive_partitioning=false)'
    rows = con.execute(f'describe select * from {relation}').fetchall()
    names = {name: name for name, *_ in rows}
    types = {name: kind for name, kind, *_ in rows if kind != 'VARCHAR'}
    return Source(relation, names, types, 1, None)


def _json(
    con: duckdb.DuckDBPyConnection,
    path: str,
    head: bytes,
    names: Sequence[str],
    all_keys: bool,
) -> Source:
    options = f"format='newline_delimited', compression='{packing(path)}'"
    keys = dict.fromkeys(names)
    if all_keys:
        found = con.execute(
            f'select distinct unnest(json_keys(json)) from '
            f'read_json_objects({file_sql(path)}, {options})'
        ).fetchall()
        keys.update(dict.fromkeys(x for (x,) in found))
    columns = ', '.join(f"{ident(x)}: 'VARCHAR'" for x in keys)
    relation = f'read_json({file_sql(path)}, {options}, columns={{{columns}}})'
    return Source(relation, {x: x for x in keys}, {}, 1, None, True)


def _csv(
    con: duckdb.DuckDBPyConnection,
    path: str,
    head: bytes,
    needed: Dict[str, str],
    text: Text,
) -> Source:
    name = path  # Of the file itself, whatever copy is read
    if head[:4] == ZSTD:  # Which Python itself cannot read.
        packed, path = path, _beside(con, 'plain.csv')
        con.execute(
            f'copy (select * from read_csv({file_sql(packed)}, '
            f"compression='zstd', header=false, auto_detect=false, "
            f"delim=chr(1), quote='', escape='', "
            f"columns={{'line': 'VARCHAR'}})) to {quote(path)} (format csv, "
            f"header false, delimiter '\x01', quote '', escape '')"
        )
    seen = scan(path, text, name)
    if seen.mixed:
        path, other = _beside(con, 'lines.csv'), path
        mend_line_ends(other, path, text.delimiter)
        seen = scan(path, text, name)
    names, skip = seen.names, seen.skip
    columns = unique_names(names)
    check_columns(name, needed.values(), names, text if text.own else None)
    lines = seen.filled
    if seen.spans:
        lines -= count_spanned(path, needed, names, skip, text, name)
    else:
        refuse_wide(name, seen.wide, seen.num_wide, len(names))
    spelt = ', '.join(f"{quote(x)}: 'VARCHAR'" for x in columns.values())
    relation = (
        f'read_csv({file_sql(path)}, header=false, skip={skip}, '
        f"auto_detect=false, delim={quote(text.delimiter)}, quote='\"', "
        f"escape='\"', columns={{{spelt}}}, compression='{packing(path)}', "
        f'store_rejects=true, rejects_limit=100)'
    )
    return Source(
        relation, columns, {}, 1 + (skip > 0), lines - (1 if skip else 0)
    )


def _beside(con: duckdb.DuckDBPyConnection, name: str) -> str:
    (path,) = con.execute(
        "select current_setting('temp_directory')"
    ).fetchall()
    return osp.join(osp.dirname(path[0]), name)
