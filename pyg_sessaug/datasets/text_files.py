r"""Text files of a log, looked at line by line before they are read."""

import csv
import gzip
import io
import re
from typing import IO, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

GZIP, ZSTD = b'\x1f\x8b', b'\x28\xb5\x2f\xfd'
BLOCK = 1 << 22  # Bytes
MAX_LINE = 2_000_000  # Bytes, DuckDB's own bound
MAX_SPAN = 1_000  # Lines of one field
ANEW = 'correct or remove what is wrong there, or get the file again'


class Text(NamedTuple):
    r"""How a text file is written.

    Args:
        delimiter (str): What stands between fields. (default: :obj:`","`)
        names (list, optional): All columns of a file without a header.
            (default: :obj:`None`, the first line names them)
        own (bool): Whether the user may choose how to read it.
            (default: :obj:`False`)
    """

    delimiter: str = ','
    names: Optional[Sequence[str]] = None
    own: bool = False


def check_columns(
    path: str, names: Any, header: Sequence[str], text: Optional[Text] = None
) -> None:
    r"""Refuses a file without one column of each name."""
    for name in names:
        if list(header).count(name) == 1:
            continue
        hint = 'correct its header, or name another'
        others = [x for x in ',;\t|' if x in ''.join(header)]
        if text is not None and len(header) == 1 and others:
            hint = (
                f'if {others[0]!r} stands between its fields, pass it as '
                f'`delimiter` (--delimiter)'
            )
        raise ValueError(
            f'{path} must have one column {name!r}, but its columns are '
            f'{list(header)}; {hint}'
        )


def magic(path: str) -> bytes:
    r"""The bytes that tell how a file is packed."""
    with open(path, 'rb') as f:
        head = f.read(4)
    return head if head == ZSTD else head[:2]


def open_text(path: str) -> IO[bytes]:
    r"""Opens a file, plain or gzipped."""
    if magic(path) == GZIP:
        return gzip.open(path)  # type: ignore[return-value]
    return open(path, 'rb')


def scan(path: str) -> Tuple[int, bool, bool]:
    r"""Lines that are not empty, whether a quoted field may go on in the
    next line, and whether line ends are mixed.
    """
    lines, odd, total = 0, False, np.zeros(3, np.int64)
    with open_text(path) as f:
        first = f.read(1 << 16)
        if b'\r' in first and b'\n' not in first:
            return 0, False, True
        f.seek(0)
        while block := f.read(BLOCK):
            if not block.endswith(b'\n'):
                block += f.readline(MAX_LINE)
            if b'\r' in block:
                ends = (b'\n', b'\r', b'\r\n')
                total += [block.count(x) for x in ends]
            else:
                total[0] += block.count(b'\n')
            a = np.frombuffer(block, np.uint8)
            end = np.flatnonzero(a == 10)
            if not block.endswith(b'\n'):
                end = np.append(end, a.size)
            size = np.diff(end, prepend=-1) - 1
            if int(size.max()) >= MAX_LINE:
                raise ValueError(
                    f'{path}: a line from line {lines + 1} on has '
                    f'{int(size.max())} bytes or more; correct its line ends'
                )
            blank = (size == 1) & (a[end - 1] == 13)
            lines += int((size > 0).sum()) - int(blank.sum())
            if not odd and b'"' in block:
                mark = np.flatnonzero(a == 34)
                count = np.diff(np.searchsorted(mark, end), prepend=0)
                odd = bool((count % 2).any())
    lf, cr, both = total.tolist()
    return lines, odd, not (cr == 0 or cr == both == lf)


def mend_line_ends(path: str, out: str) -> None:
    r"""Copies a text; all lines end alike, and quoted fields stay as is."""
    outside = True
    with open_text(path) as f, open(out, 'wb') as g:
        while block := f.read(BLOCK) + f.readline(MAX_LINE):
            parts = block.split(b'"')
            for i in range(0 if outside else 1, len(parts), 2):
                part = re.sub(rb'\r+\n', b'\n', parts[i])
                parts[i] = part.replace(b'\r', b'\n')
            outside ^= len(parts) % 2 == 0
            g.write(b'"'.join(parts))


def read_header(path: str, text: Text) -> Tuple[List[str], int]:
    r"""Names of the columns, and how many lines they take."""
    with open_text(path) as f:
        wrapped = io.TextIOWrapper(f, 'utf-8-sig', 'replace', newline='')
        rows = csv.reader(wrapped, delimiter=text.delimiter)
        row = next((x for x in rows if x), [])
        lines = rows.line_num
    row = [x.strip() for x in row]
    if text.names is None:
        return row, lines
    names = list(text.names)
    return names, lines if row == names else 0


def unique_names(names: Sequence[str]) -> Dict[str, str]:
    r"""Names that DuckDB tells apart; it does not heed capitals."""
    taken: Dict[str, str] = {}
    for place, name in enumerate(names):
        spelt = name or f'column {place}'
        while spelt.lower() in {x.lower() for x in taken.values()}:
            spelt += '_'
        taken[name if name not in taken else spelt] = spelt
    return taken


def count_spanned(
    path: str,
    needed: Dict[str, str],
    names: Sequence[str],
    skip: int,
    delimiter: str,
) -> int:
    r"""Lines that lie within a quoted field begun in an earlier line.

    A quotation mark that someone forgot to close opens such a field too and
    swallows rows. Then a line inside is a row of its own: it has all fields,
    and a time where the time stands.
    """
    d = re.escape(delimiter.encode())
    field = re.compile(
        rb'(?:[ \t]*"(?:[^"]|"")*"(?!")[^%b]*|(?![ \t]*")[^%b]*)(?:%b|$)'
        % (d, d, d)
    )
    close = re.compile(rb'(?:[^"]|"")*"(?!")')
    places = [names.index(name) for name in needed.values()]
    time = names.index(needed['time']) if 'time' in needed else places[0]

    def opens(line: bytes) -> bool:
        at = 0
        while at < len(line):
            match = field.match(line, at)
            if match is None:
                return True
            at = match.end()
        return False

    def is_row(line: bytes) -> bool:
        parts = line.split(delimiter.encode())
        return (
            len(parts) >= len(names)
            and all(parts[i].strip() for i in places)
            and re.match(rb'\s*"?[-+]?\d', parts[time]) is not None
        )

    begin, inside = 0, 0
    with open_text(path) as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip(b'\r\n')
            if number <= skip:
                continue
            if not begin:
                if b'"' in line and opens(line):
                    begin = number
                continue
            inside += bool(line)
            end = close.match(line)
            swallowed = line if end is None else line[: end.end() - 1]
            if is_row(swallowed) or number - begin > MAX_SPAN:
                raise ValueError(
                    f'{path}: the quotation mark that opens a field in line '
                    f'{begin} swallows line {number}; close it, or remove it'
                )
            if end is not None:
                rest = line[end.end() :].partition(delimiter.encode())[2]
                begin = number if opens(rest) else 0
    if begin:
        raise ValueError(
            f'{path}: the quotation mark that opens a field in line {begin} '
            f'is never closed; close it, or remove it'
        )
    return inside
