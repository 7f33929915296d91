r"""Text files of a log, looked at line by line before they are read."""

import csv
import gzip
import io
import re
from functools import lru_cache
from typing import IO, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

GZIP, ZSTD = b'\x1f\x8b', b'\x28\xb5\x2f\xfd'
BLOCK = 1 << 22  # Bytes
MAX_LINE = 2_000_000  # Bytes, DuckDB's own bound
MAX_SPAN = 1_000  # Lines of one field
FIRST = 5  # Places that an error names
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
        hint = 'correct its header'
        if text is not None:
            hint += (
                ', or name the columns by `session`, `item`, `time` and '
                '`category` (--session, --item, --time, --category)'
            )
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


class Lines(NamedTuple):
    r"""What the lines of a text file tell."""

    #: Names of the columns.
    names: List[str]
    #: Lines that they take.
    skip: int
    #: Lines that are not empty.
    filled: int
    #: Whether a quoted field may go on in the next line.
    spans: bool
    #: Whether line ends are mixed.
    mixed: bool
    #: First lines of too many fields, as far as a line alone tells.
    wide: List[int]
    #: Number of such lines.
    num_wide: int


def scan(path: str, text: Text, name: str) -> Lines:
    r"""Looks at all lines of a text file.

    Args:
        path (str): The file.
        text (Text): How it is written.
        name (str): What errors call the file.
    """
    d = text.delimiter.encode()
    names: Optional[List[str]] = None
    lines, number, odd, total = 0, 0, False, np.zeros(3, np.int64)
    wide: List[int] = []
    num_wide = 0
    with open_text(path) as f:
        first = f.read(1 << 16)
        if b'\r' in first and b'\n' not in first:
            return Lines([], 0, 0, False, True, [], 0)
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
                    f'{name}: a line from line {number + 1} on has '
                    f'{int(size.max())} bytes or more; correct its line ends'
                )
            if names is None:  # No line is longer than the bound.
                names, skip = read_header(path, text)
            blank = (size == 1) & (a[end - 1] == 13)
            lines += int((size > 0).sum()) - int(blank.sum())
            quotes = _per_line(a, 34, end) if b'"' in block else None
            odd |= quotes is not None and bool((quotes % 2).any())
            # DuckDB lets empty fields pass that are too many, and no others.
            last = a[end - 1 - (a[end - 1] == 13)]
            if not odd and np.isin(last, [*d, *b'" \t']).any():
                many = _per_line(a, d[0], end) >= len(names)
                if quotes is not None:
                    for i in np.flatnonzero(many & (quotes > 0)).tolist():
                        line = block[end[i] - size[i] : end[i]].rstrip(b'\r')
                        many[i] = split_line(line, d)[0] > len(names)
                num_wide += int(many.sum())
                found = np.flatnonzero(many)[: FIRST - len(wide)]
                wide += (number + 1 + found).tolist()
            number += end.size
    lf, cr, both = total.tolist()
    mixed = not (cr == 0 or cr == both == lf)
    if names is None:
        names, skip = read_header(path, text)
    return Lines(names, skip, lines, odd, mixed, wide, num_wide)


def _per_line(block: Any, byte: int, end: Any) -> Any:
    r"""How often a byte stands in each line of a block."""
    place = np.flatnonzero(block == byte)
    return np.diff(np.searchsorted(place, end), prepend=0)


def _blanks(delimiter: bytes) -> bytes:
    r"""What may stand before a quoted field."""
    return b' \t'.replace(delimiter, b'')


@lru_cache
def _field(delimiter: bytes) -> 're.Pattern[bytes]':
    r"""A whole field, and the delimiter after it."""
    d, blanks = re.escape(delimiter), _blanks(delimiter)
    return re.compile(
        rb'(?:[%b]*"(?:[^"]|"")*"(?!")[^%b]*|(?![%b]*")[^%b]*)(?:%b|$)'
        % (blanks, d, blanks, d, d)
    )


def split_line(line: bytes, delimiter: bytes, at: int = 0) -> Tuple[int, bool]:
    r"""Number of fields from there on, and whether the last is left open."""
    if b'"' not in line:
        return 1 + line.count(delimiter, at), False
    count, field = 1, _field(delimiter)
    while at < len(line):
        match = field.match(line, at)
        if match is None:
            return count, True
        at = match.end()
        count += match[0].endswith(delimiter)
    return count, False


def mend_line_ends(path: str, out: str, delimiter: str) -> None:
    r"""Copies a text; all lines end alike, and quoted fields stay as is."""
    d = delimiter.encode()
    blanks, begins = _blanks(d), (d, b'\n', b'\r', b'"')
    outside, before = True, b'\n'
    with open_text(path) as f, open(out, 'wb') as g:
        while block := f.read(BLOCK) + f.readline(MAX_LINE):
            parts = block.split(b'"')
            for i, part in enumerate(parts):
                if i > 0:  # In a field that is not quoted it is a letter.
                    outside = not outside or before[-1:] not in begins
                    before = b'"'
                before = part.rstrip(blanks) or before
                if outside:
                    part = re.sub(rb'\r+\n', b'\n', part)
                    parts[i] = part.replace(b'\r', b'\n')
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


def refuse_wide(
    path: str, lines: Sequence[int], count: int, width: int
) -> None:
    r"""Raises if lines have more fields than there are columns."""
    if count == 0:
        return
    numbers = ', '.join(map(str, lines))
    word = 'line has' if count == 1 else 'lines have'
    raise ValueError(
        f'{path}: {count} {word} more than the {width} fields of its '
        f'columns, the first being {numbers}; remove what is too many, an '
        f'empty field at the end too, or put a field that holds the '
        f'delimiter between quotation marks'
    )


def count_spanned(
    path: str,
    needed: Dict[str, str],
    names: Sequence[str],
    skip: int,
    text: Text,
    name: str,
) -> int:
    r"""Lines that lie within a quoted field begun in an earlier line.

    A quotation mark that someone forgot to close opens such a field too and
    swallows rows. Then a line inside is a row of its own: it has all fields,
    and a time where the time stands. Rows of too many fields are refused.
    """
    d = text.delimiter.encode()
    close = re.compile(rb'(?:[^"]|"")*"(?!")')
    places = [names.index(x) for x in needed.values()]
    time = names.index(needed['time']) if 'time' in needed else places[0]

    def is_row(line: bytes) -> bool:
        parts = line.split(d)
        return (
            len(parts) >= len(names)
            and all(parts[i].strip() for i in places)
            and re.match(rb'\s*"?[-+]?\d', parts[time]) is not None
        )

    begin, inside, row, fields = 0, 0, 0, 0
    wide: List[int] = []
    num_wide = 0
    with open_text(path) as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip(b'\r\n')
            if number <= skip:
                continue
            at: Optional[int] = 0
            if begin:
                inside += bool(line)
                end = close.match(line)
                swallowed = line if end is None else line[: end.end() - 1]
                if is_row(swallowed) or number - begin > MAX_SPAN:
                    raise ValueError(
                        f'{name}: the quotation mark that opens a field in '
                        f'line {begin} swallows line {number}; close it, or '
                        f'remove it'
                    )
                if end is None:
                    continue
                at = line.find(d, end.end()) + 1 or None
            else:
                row, fields = number, 0
            begin = 0
            if at is not None:
                count, is_open = split_line(line, d, at)
                fields += count
                begin = number if is_open else 0
            if fields > len(names) and not begin:
                num_wide += 1
                wide += [row] if len(wide) < FIRST else []
    if begin:
        raise ValueError(
            f'{name}: the quotation mark that opens a field in line {begin} '
            f'is never closed; close it, or remove it'
        )
    refuse_wide(name, wide, num_wide, len(names))
    return inside
