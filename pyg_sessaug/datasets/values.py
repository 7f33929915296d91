r"""Ids and times of a log: how their texts are read, and what is refused."""

import math
from datetime import datetime, timedelta, timezone
from typing import (
    TYPE_CHECKING,
    Any,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Union,
)

import numpy as np
import torch

from pyg_sessaug.datasets.preprocess import NARROW
from pyg_sessaug.datasets.reading import Source, ident, quote
from pyg_sessaug.datasets.text_files import ANEW, Text

if TYPE_CHECKING:
    from pyg_sessaug.datasets.columns import LogTable

# A date of ISO 8601, maybe a time of day, maybe a zone in any spelling.
BLANKS = ' \t\r\n\u00a0'
CLOCK = r'[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?'
ISO = quote(
    rf'[{BLANKS}]*\d{{4,}}-\d\d-\d\d({CLOCK}( *[A-Za-z+-].*)?)?[{BLANKS}]*'
)
# The most frequent ones, all of UTC, which need a tenth of the time.
PLAIN = quote(r'\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d{1,6})?( UTC|Z)?)?')
BLANKS = quote(BLANKS)
YEAR = 366 * 86_400
#: Seconds per unit of numbers whose size tells it; 0 for digits of a date.
UNITS = {
    1.0: 'seconds',
    1e-3: 'milliseconds',
    1e-6: 'microseconds',
    1e-9: 'nanoseconds',
    0.0: 'YYYYMMDDhhmmss',
}
DIGITS = "'%Y%m%d%H%M%S'"


class Column(NamedTuple):
    r"""A column to read.

    Args:
        name (str): Its name in the file.
        kind (str): :obj:`"id"` for integers or strings, :obj:`"int"` for
            64-bit integers, :obj:`"number"`, :obj:`"time"`, or
            :obj:`"text"`, which may be missing.
    """

    name: str
    kind: str


class Options(NamedTuple):
    r"""How to read a log.

    Args:
        text (Text): How its text files are written.
        where (str, optional): Condition in SQL that rows must meet.
            (default: :obj:`None`)
        time_unit (float, optional): Seconds per unit of a time that is a
            number. (default: :obj:`None`, told by its size)
        time_format (str, optional): How times are spelt, in the signs of
            ``strptime``. (default: :obj:`None`, as in ISO 8601)
        on_missing (str): :obj:`"error"`, or :obj:`"drop"` for rows without
            an id or a time. (default: :obj:`"error"`)
        drop_duplicates (bool): Whether of equal rows only the first is kept.
            (default: :obj:`False`)
        memory_limit (str): What DuckDB may hold in memory.
            (default: :obj:`"1GiB"`)
        folder (str, optional): Where it spills to. (default: :obj:`None`)
    """

    text: Text = Text()
    where: Optional[str] = None
    time_unit: Optional[float] = None
    time_format: Optional[str] = None
    on_missing: str = 'error'
    drop_duplicates: bool = False
    memory_limit: str = '1GiB'
    folder: Optional[str] = None


def fields(role: str, kind: str) -> List[str]:
    r"""Columns of the table that keep a role: values, dates, other texts."""
    number = 'BIGINT' if kind in ('id', 'int') else 'DOUBLE'
    names = [f'{ident(role)} {number}'] if kind != 'text' else []
    names += [f'{role}_date DOUBLE'] if kind == 'time' else []
    return [*names, f'{role}_text VARCHAR']


def values(
    path: str, column: Column, source: Source, time_format: Optional[str]
) -> Tuple[Source, List[str]]:
    r"""What :func:`fields` hold, in SQL, and what it is selected from.

    What is no value stays a text.
    """
    x = ident(source.columns[column.name])
    kind = source.types.get(column.name, 'VARCHAR')
    if kind.endswith(']') or kind.startswith(('STRUCT', 'MAP', 'BOOL')):
        raise ValueError(
            f'{path}: column {column.name!r} is of type {kind}; name a '
            f'column of numbers, texts or times'
        )
    is_float = kind in ('FLOAT', 'DOUBLE') or kind.startswith('DECIMAL')
    text = x if kind == 'VARCHAR' else f'{x}::VARCHAR'
    if column.kind == 'time':
        return _time_values(source, x, kind, time_format)
    if column.kind == 'number':
        number = f'try_cast({x} as DOUBLE)'
        return source, [
            f'case when isfinite({number}) then {number} end',
            f'case when isfinite({number}) then null else {text} end',
        ]
    if is_float:  # Whole ones, if they are ids.
        text = (
            f'case when {x} = trunc({x}) and abs({x}) <= 9e15 then '
            f'{x}::BIGINT::VARCHAR else {text} end'
        )
    if column.kind == 'text':
        return source, [text]
    number = f'try_cast({text} as BIGINT)'
    return source, [number, f'nullif({text}, {number}::VARCHAR)']


def _time_values(
    source: Source, x: str, kind: str, time_format: Optional[str]
) -> Tuple[Source, List[str]]:
    text, date = x if kind == 'VARCHAR' else f'{x}::VARCHAR', ''
    if kind.startswith(('TIMESTAMP', 'DATE')):
        cast = 'TIMESTAMPTZ' if 'ZONE' in kind else 'TIMESTAMP'
        date = f'epoch_us({x}::{cast}) / 1e6'
    elif time_format is not None:
        spelt = f'try_strptime({text}, {quote(time_format)})'
        date = f'epoch_us({spelt}) / 1e6'
    if date:
        return source, [
            'null',
            date,
            f'case when {date} is null then {text} end',
        ]
    number = f'try_cast({x} as DOUBLE)'
    finite = f'coalesce(isfinite({number}), false)'
    if kind != 'VARCHAR':
        return source, [
            f'case when {finite} then {number} end',
            'null',
            f'case when {finite} then null else {text} end',
        ]
    # In a column of its own, lest DuckDB convert it three times.
    plain = 'plain'
    while plain in {x.lower() for x in source.columns.values()}:
        plain += '_'
    relation = (
        f'(select *, case when regexp_full_match({x}, {PLAIN}) then epoch_us('
        f'try_cast({x} as TIMESTAMP)) / 1e6 end as {plain} from '
        f'{source.relation})'
    )
    # Zones in any spelling; what the cast knows comes first.
    spelt = f'trim({text}, {BLANKS})'
    for pattern, new in [
        (r'[Tt ](\d\d:\d\d) *([A-Za-z+-].*)?$', r' \1:00\2'),
        (r' *(UTC|GMT|Z)$', '+00'),
        (r'(:\d\d(?:\.\d+)?) *([+-]\d\d):?(\d\d)$', r'\1\2:\3'),
    ]:
        spelt = f"regexp_replace({spelt}, '{pattern}', '{new}')"
    # The cast alone reads parts of one digit, as a lost byte leaves them.
    date = (
        f'case when regexp_full_match({text}, {ISO}) then '
        f'coalesce(try_cast({text} as TIMESTAMPTZ), '
        f'try_cast({spelt} as TIMESTAMPTZ)) end'
    )
    done = f'case when {plain} is not null then'
    return source._replace(relation=relation), [
        f'{done} null when {finite} then {number} end',
        f'{done} {plain} when {finite} then null '
        f'else epoch_us({date}) / 1e6 end',
        f'{done} null when {finite} or isfinite({date}) then null '
        f'else {text} end',
    ]


def ids_sql(table: 'LogTable', role: str) -> Tuple[str, str, Any]:
    r"""Ids of a role: value and join in SQL, and what codes stand for.

    Where all are integers, blanks and ``.0`` aside, they are these; else all
    are texts. Items and texts become codes.
    """
    name, kind = table.columns[role]
    text, texts = f'{role}_text', f'texts_{role}'
    trimmed = f'trim({text}, {BLANKS})'
    whole = rf"regexp_replace({trimmed}, '^(-?\d+)\.0+$', '\1')"
    number = f'try_cast({whole} as BIGINT)'
    table.sql(
        f'create table {texts} as select {text} as text, {trimmed} as '
        f'trimmed, case when {number}::VARCHAR = {whole} then {number} end '
        f'as id, min(n) as n from log where {text} is not null group by all'
    )
    ((count, others),) = table.sql(
        f'select count(*), count(*) filter (id is null) from {texts}'
    )
    value, join = f'log.{ident(role)}', ''
    if count:
        join = f'left join {texts} on log.{text} = {texts}.text '
        other = f'{texts}.trimmed' if others else f'{texts}.id'
        value += '::VARCHAR' if others else ''
        value = f'coalesce({value}, {other})'
    if others:
        first, n = table.sql(
            f'select trimmed, n from {texts} where id is null '
            f'order by n limit 1'
        )[0]
        if kind == 'int':
            raise ValueError(
                f'{table.rows(f"n = {n}")}: {name} {first!r} is no 64-bit '
                f'integer; {ANEW}'
            )
        _warn_of_mixed(table, role, first, n)
    else:
        ((low, high),) = table.sql(
            f'select min({value}), max({value}) from log {join}'
        )
        if role != 'item' or (high or 0) - (low or 0) < NARROW:
            small = -(2**31) <= (low or 0) and (high or 0) < 2**31
            return f'{value}::INTEGER' if small else value, join, None
    names = f'names_{role}'
    table.sql(
        f'create table {names} as select id, (row_number() over (order by n) '
        f'- 1)::INTEGER as code from (select {value} as id, min(log.n) as n '
        f'from log {join} group by 1)'
    )
    join += f'join {names} on {names}.id = {value}'
    if role != 'item':
        return f'{names}.code', join, None
    raw = table.con.execute(
        f'select id from {names} order by code'
    ).fetchnumpy()['id']
    raw = np.ma.getdata(raw)
    return (
        f'{names}.code',
        join,
        raw.tolist() if others else torch.from_numpy(raw.astype(np.int64)),
    )


def _warn_of_mixed(table: 'LogTable', role: str, first: str, n: int) -> None:
    ((ints, others, huge),) = table.sql(
        f'select count(*) filter (id is not null), '
        f'count(*) filter (id is null), count(*) filter '
        rf"(regexp_full_match(trimmed, '\d{{19,20}}')) from texts_{role}"
    )
    ints += table.sql(f'select count(distinct {ident(role)}) from log')[0][0]
    if huge < others < ints:  # Unsigned integers of 64 bits are no mistake.
        table.notes.append(
            f'{ints} of {ints + others} ids are integers, but {first!r} of '
            f'{table.rows(f"n = {n}")} is none, so all become strings; '
            f'correct it if it is a mistake'
        )


def texts_sql(table: 'LogTable', role: str) -> Tuple[str, List[str]]:
    r"""Codes of texts in the texts' order, -1 where there is none."""
    names, text = f'names_{role}', f'{role}_text'
    table.sql(f'create table {names} as select distinct {text} from log')
    trimmed = f"nullif(trim({text}, {BLANKS}), '')"
    # Most logs need no trimming, which takes longer than all the rest.
    differ = f'select 1 from {names} where {trimmed} is distinct from {text}'
    if table.sql(f'{differ} limit 1'):
        text = trimmed
    table.sql(
        f'create type codes_{role} as enum (select name from (select '
        f'distinct {text} as name from {names}) where name is not null '
        f'order by name)'
    )
    ((found,),) = table.sql(f'select enum_range(null::codes_{role})')
    code = f'enum_code({text}::codes_{role})::BIGINT'
    return f'coalesce({code}, -1)', found


def seconds_sql(
    table: 'LogTable', role: str, time_unit: Optional[float]
) -> str:
    r"""Seconds of a role in SQL, once spelling and size are known."""
    name, kind = table.columns[role]
    number = ident(role)
    date = f'{role}_date' if kind == 'time' else 'null::DOUBLE'
    ((numbers, dates, texts, low, high, early, late, is_date),) = table.sql(
        f'select count({number}), count({date}), count({role}_text), '
        f'min({number}), max({number}), min({date}), max({date}), '
        f'arg_min({date} is not null, n) from log'
    )
    if texts or (numbers and dates):
        wrong = f'{role}_text is not null'
        if not texts:
            wrong = f'{number if is_date else date} is not null'
        text = table.sql(
            f'select coalesce({role}_text, {number}::VARCHAR, '
            f'to_timestamp({date})::VARCHAR) from log where {wrong} '
            f'order by n limit 1'
        )[0][0]
        remedy = table.remedy(
            'correct it, leave it out by `where` (--where), name another '
            "column, or pass `time_format` (--time-format), such as '%d/%m/%Y'"
        )
        spelt = 'neither a number nor a time of ISO 8601 like the others'
        if table.options.time_format is not None:
            spelt = f'not spelt as {table.options.time_format!r}'
        raise ValueError(
            f'{table.rows(wrong)}: {name} {text!r} is {spelt}; {remedy}'
        )
    if kind == 'number' or numbers + dates == 0:
        return number
    if dates:
        _check_range(table, name, early, late)
        return date
    if time_unit is None:
        time_unit = _guess_unit(table, name, low, high)
    if time_unit == 0:
        digits = f'{number}::BIGINT::VARCHAR'
        wrong = f'try_strptime({digits}, {DIGITS}) is null'
        rows = table.rows(wrong)
        if rows:
            raise ValueError(
                f'{rows}: {name} is no YYYYMMDDhhmmss; correct it'
            )
        return f'epoch_us(strptime({digits}, {DIGITS})) / 1e6'
    _check_range(table, name, low * time_unit, high * time_unit)
    return f'{number} * {time_unit!r}::DOUBLE'


def parse_id(text: str) -> Union[int, str]:
    r"""The 64-bit integer that Python spells so, else the text itself."""
    digits = text.removeprefix('-')
    if digits.isdecimal() and len(digits) < 20:  # Of int64: 19
        value = int(text)
        if str(value) == text and -(2**63) <= value < 2**63:
            return value
    return text


def unit_of(low: float, high: float) -> float:
    r"""Seconds per unit by the numbers' size; 0 for the digits of a date."""
    begin, end = _plausible()
    last = 10_000_000_000 * (datetime.now().year + 2)
    if 19_900_101_000_000 <= low and high < last:
        return 0.0
    return next((x for x in UNITS if begin <= low * x and high * x < end), 1.0)


def _guess_unit(
    table: 'LogTable', name: str, low: float, high: float
) -> float:
    unit = unit_of(low, high)
    how = f'`time_unit` {unit:g} (--time-unit)'
    if unit == 0:
        how = f'`time_format` {DIGITS} (--time-format)'
    if unit != 1:
        table.notes.append(
            f'{name}: numbers such as {low:.0f} are read as {UNITS[unit]}; '
            f'pass {how} if that is meant'
        )
    return unit


def _check_range(
    table: 'LogTable', name: str, low: float, high: float
) -> None:
    begin, end = _plausible()
    if begin <= low and high < end:
        return
    if abs(low) <= YEAR and high < begin:  # Relative times
        return
    remedy = table.remedy(
        'pass another `time_unit` (--time-unit) or `time_format` '
        '(--time-format), or leave rows out by `where` (--where)'
    )
    places = ', '.join(path for path, *_ in table.files[:3])
    raise ValueError(
        f'{places}: {name} goes from {_spell(low)} to {_spell(high)}, but '
        f'clicks lie between 1990 and next year; {remedy}'
    )


def _plausible() -> Tuple[float, float]:
    years = 1990, datetime.now().year + 2
    low, high = (datetime(x, 1, 1, tzinfo=timezone.utc) for x in years)
    return low.timestamp(), high.timestamp()


def _spell(seconds: float) -> str:
    if math.isfinite(seconds) and abs(seconds) < 6e10:
        return f'{datetime(1970, 1, 1) + timedelta(0, seconds):%Y-%m-%d}'
    return f'the year {1970 + seconds / 31_556_952:,.0f}'
