r"""Sessions from a table, and a table of what is recommended to them."""

import os
import os.path as osp
from contextlib import nullcontext
from typing import Any, Callable, Dict, List, Optional

import duckdb

from pyg_sessaug.data.progress import progress_bar
from pyg_sessaug.datasets.reading import (
    Source,
    check_rows,
    connect,
    explain,
    explain_json,
    ident,
    open_source,
    quote,
)
from pyg_sessaug.datasets.text_files import Text, check_columns
from pyg_sessaug.datasets.values import BLANKS, Column, values
from pyg_sessaug.files import save_together
from pyg_sessaug.serving.pauses import are_lists, leave_earlier
from pyg_sessaug.serving.vocabulary import Id

SESSIONS = 4096  # Answered at a time
FORMATS = {
    '.csv': 'format csv',
    '.tsv': "format csv, delimiter '\t'",
    '.parquet': 'format parquet',
    '.jsonl': 'format json',
    '.ndjson': 'format json',
}
PACKED = {'.gz': 'gzip', '.zst': 'zstd'}


def answer_table(
    path: str,
    output: str,
    ask: Callable[..., Any],
    to_id: Callable[[str], Id],
    columns: Dict[str, str],
    needs_time: bool = False,
    where: Optional[str] = None,
    needs_where: bool = False,
    delimiter: str = ',',
    time_format: Optional[str] = None,
    time_unit: Optional[float] = None,
    session_gap: Optional[float] = None,
) -> Dict[str, Any]:
    r"""Recommends to the sessions of a table.

    Rows with one item are clicks, which make a session where their session is
    the same, in the order of their times and else of the rows. Rows with a
    list of items are a session each. Sessions are answered in the order of
    their first row.

    Args:
        path (str): CSV, Parquet or JSON lines.
        output (str): The table to write, whole or not at all, with the
            session, as it is in the input, the rank from 1, the item, its
            score, and :obj:`fallback`, whether it is only popular.
        ask (callable): As
            :meth:`~pyg_sessaug.serving.recommender.Recommender.recommend`.
        to_id (callable): The id that a text is.
        columns (dict): Names of the columns :obj:`session`, :obj:`item` and
            :obj:`time`.
        needs_time (bool): Whether to refuse a table without times.
            (default: :obj:`False`)
        where (str, optional): Condition in SQL that rows must meet.
            (default: :obj:`None`)
        needs_where (bool): Whether to refuse a table without its columns.
            (default: :obj:`False`, it is not applied then)
        delimiter (str): What stands between the fields of a CSV file.
            (default: :obj:`","`)
        time_format (str, optional): How texts spell the time, in the signs of
            ``strptime``. (default: :obj:`None`, as in ISO 8601)
        time_unit (float, optional): Seconds per unit of a time that is a
            number. (default: :obj:`None`, told by its size)
        session_gap (float, optional): Seconds without a click after which a
            new session begins, as in training: the clicks after the last
            such pause are answered. (default: :obj:`None`, all are)

    Returns:
        dict: Numbers of ``sessions``, of those that got popular items
        (``fallback``) or nothing (``unanswered``), of unknown clicks
        (``unknown``) with the first five of their ids (``ids``), of rows
        without an item (``missing``), of those that :obj:`where` leaves
        out (``left_out``), of sessions that have no others (``absent``), of
        clicks taken in the order of the rows for want of a column of times
        (``in_order``) and of clicks before a pause (``earlier``);
        ``left_out`` and ``earlier`` are :obj:`None` if they could not be
        applied.

    Raises:
        ValueError: If the table cannot be read, or a row has no session.
    """
    if osp.isdir(path):
        raise IsADirectoryError(f'{path} is a folder; name a file in it')
    copy, folder = _copy_options(output), osp.dirname(osp.abspath(output))
    if not osp.exists(path):
        raise FileNotFoundError(
            f'there is no file {path}; name a table of sessions (--input)'
        )
    text = Text(delimiter, own=True)
    os.makedirs(folder, exist_ok=True)
    with connect(folder) as con:
        with explain(path):
            source = _open(con, path, columns, needs_time, text)
            condition = _condition(con, path, source, where, needs_where)
            rows = _read(con, path, source, columns, condition, time_format)
            if session_gap is not None:
                rows['earlier'] = leave_earlier(con, session_gap, time_unit)
            _collect(con)
        counts = _answer(con, ask, to_id)
        is_int = isinstance(to_id('1'), int)
        key, item = ident(columns['session']), ident(columns['item'])
        kind = 'BIGINT' if is_int else 'VARCHAR'
        select = (
            f'select key as {key}, rank, answer::{kind} as {item}, score, '
            f'fallback from (select number, fallback, unnest(items) as '
            f'answer, unnest(scores) as score, generate_subscripts(items, 1) '
            f'as rank from answers) join sessions using (number) '
            f'order by number, rank'
        )

        def write(temporary: str) -> None:
            try:
                con.execute(f'copy ({select}) to {quote(temporary)} ({copy})')
            except duckdb.IOException as error:
                raise OSError(
                    f'cannot write {output}: {str(error).splitlines()[0]}; '
                    f'nothing was changed'
                ) from error

        save_together({output: write})
    if where is not None and condition is None:
        rows['left_out'] = None
    return {**counts, **rows}


def _copy_options(output: str) -> str:
    name, packed = output, 'none'
    for ending, kind in PACKED.items():
        if output.endswith(ending):
            name, packed = output.removesuffix(ending), kind
    ending = osp.splitext(name)[1]
    if ending not in FORMATS or (ending == '.parquet' and packed != 'none'):
        raise ValueError(
            f'cannot tell what kind of table {output} is to be; let its name '
            f'end in {", ".join(FORMATS)}, all but Parquet maybe with '
            f'{" or ".join(PACKED)}'
        )
    if ending == '.parquet':
        return FORMATS[ending]
    header = ', header' if 'csv' in FORMATS[ending] else ''
    return f"{FORMATS[ending]}{header}, compression '{packed}'"


def _open(
    con: duckdb.DuckDBPyConnection,
    path: str,
    columns: Dict[str, str],
    needs_time: bool,
    text: Text,
) -> Source:
    needed = {k: columns[k] for k in ('session', 'item')}
    if needs_time:
        needed['time'] = columns['time']
    source = open_source(con, path, needed, text, all_keys=True)
    check_columns(path, needed.values(), list(source.columns), text)
    return source


def _condition(
    con: duckdb.DuckDBPyConnection,
    path: str,
    source: Source,
    where: Optional[str],
    needs_where: bool,
) -> Optional[str]:
    r"""The condition, if the table has what it asks for."""
    if where is None:
        return None
    try:
        con.execute(f'describe select ({where}) from {source.relation}')
    except (duckdb.BinderException, duckdb.ParserException) as error:
        if needs_where:
            raise ValueError(
                f'{path}: cannot apply --where {where!r}: '
                f'{str(error).splitlines()[0]}; the columns are '
                f'{list(source.columns)}'
            ) from error
        return None
    return where


def _read(
    con: duckdb.DuckDBPyConnection,
    path: str,
    source: Source,
    columns: Dict[str, str],
    condition: Optional[str],
    time_format: Optional[str],
) -> Dict[str, Any]:
    r"""Makes the table of rows; returns how many had no item, and how many
    the condition leaves out.
    """
    session, item, time = (columns[x] for x in ('session', 'item', 'time'))
    key = ident(source.columns[session])
    items = _items_sql(con, path, item, source)
    when = ['null::DOUBLE', 'null::DOUBLE', 'null::VARCHAR']
    if time in source.columns:
        column = Column(time, 'time')
        source, when = values(path, column, source, time_format)
    with explain_json(path) if source.is_json else nullcontext():
        con.execute(
            f'create table rows as select row_number() over () as n, {key} '
            f'as key, {items} as item, {when[0]} as number, '
            f'coalesce({when[0]}, {when[1]}) as time, {when[2]} as wrong, '
            f'({items}) is null as missing, coalesce('
            f'({condition or "true"}), false) as kept from {source.relation}'
        )
    ((rows, keys),) = con.execute(
        'select count(*), count(distinct key) from rows'
    ).fetchall()
    if source.rows is not None:
        check_rows(con, path, rows, source.rows)
    if rows == 0:
        raise ValueError(f'{path} has no rows; nothing was written')
    con.execute('delete from rows where not kept')
    ((kept, missing, left),) = con.execute(
        'select count(*), count(*) filter (missing), count(distinct key) '
        'from rows'
    ).fetchall()
    counts = {'missing': missing, 'left_out': rows - kept, 'earlier': 0}
    counts.update(absent=keys - left, in_order=0)
    if are_lists(con):
        return counts
    if time not in source.columns:
        counts['in_order'] = kept
    for condition, wrong in (
        ("coalesce(trim(key::VARCHAR), '') = ''", f'no {session}'),
        ('wrong is not null', f'a {time} that is no time'),
        (
            'time is null and (select count(time) > 0 from rows)',
            f'no {time}',
        ),
    ):
        found = con.execute(
            f'select n - 1 + {source.first_row} from rows where {condition} '
            f'order by n limit 5'
        ).fetchall()
        if found:
            numbers = ', '.join(str(n) for (n,) in found)
            raise ValueError(
                f'{path}: row {numbers} has {wrong}; correct it, or name '
                f'another column (--session, --time)'
            )
    return counts


def _collect(con: duckdb.DuckDBPyConnection) -> None:
    r"""Makes the table of sessions."""
    if are_lists(con):
        con.execute(
            'create table sessions as select n as number, key, coalesce('
            '[x for x in item if x is not null], []) as items from rows '
            'order by n'
        )
        return
    con.execute(
        'create table sessions as select row_number() over (order by first) '
        'as number, key, items from (select key, min(n) as first, coalesce('
        'list(item order by time, n) filter (item is not null), []) as items '
        'from rows group by key) order by number'
    )


def _items_sql(
    con: duckdb.DuckDBPyConnection, path: str, item: str, source: Source
) -> str:
    r"""Texts of an item, or of a list of them, in SQL."""

    def plain(x: str) -> str:
        text = f'trim({x}::VARCHAR, {BLANKS})'
        whole = rf"regexp_replace({text}, '^(-?\d+)\.0+$', '\1')"
        return f"nullif({whole}, '')"

    x = ident(source.columns[item])
    if source.types.get(item, '').endswith('[]'):
        return f'[{plain("y")} for y in {x}]'
    if source.is_json:
        ((lists, others),) = con.execute(
            f'select count(*) filter (y), count(*) filter (not y) from '
            f"(select case when json_valid({x}) then json_type({x}) = 'ARRAY' "
            f'else false end as y from {source.relation} where {x} is not '
            f'null)'
        ).fetchall()
        if lists and others:
            raise ValueError(
                f'{path}: {item} is a list in {lists} rows, and none in '
                f'{others}; write all alike'
            )
        if lists:
            texts = f"""from_json({x}, '["VARCHAR"]')"""
            return f'[{plain("y")} for y in {texts}]'
    return plain(x)


def _answer(
    con: duckdb.DuckDBPyConnection,
    ask: Callable[..., Any],
    to_id: Callable[[str], Id],
) -> Dict[str, Any]:
    r"""Fills the table of answers."""
    con.execute(
        'create table answers (number BIGINT, items VARCHAR[], '
        'scores DOUBLE[], fallback BOOLEAN)'
    )
    ids: Dict[Any, None] = {}
    counts = dict.fromkeys(('fallback', 'unanswered', 'unknown'), 0)
    ((total,),) = con.execute('select count(*) from sessions').fetchall()
    for start in progress_bar(range(0, total, SESSIONS), 'recommend'):
        rows = con.execute(
            f'select number, items from sessions where number > {start} and '
            f'number <= {start + SESSIONS} order by number'
        ).fetchall()
        sessions = [[to_id(x) for x in items] for _, items in rows]
        answers: List[List[Any]] = [[], [], [], []]
        for (number, _), result in zip(
            rows, ask(sessions, return_scores=True)
        ):
            counts['fallback'] += result.fallback
            counts['unanswered'] += not result.items
            counts['unknown'] += len(result.unknown)
            if len(ids) < 5:
                ids.update(dict.fromkeys(result.unknown[:5]))
            for column, value in zip(
                answers,
                (
                    number,
                    [str(x) for x in result.items],
                    result.scores,
                    result.fallback,
                ),
            ):
                column.append(value)
        con.execute(
            'insert into answers select unnest($1::BIGINT[]), '
            'unnest($2::VARCHAR[][]), unnest($3::DOUBLE[][]), '
            'unnest($4::BOOLEAN[])',
            answers,
        )
    return {'sessions': total, **counts, 'ids': list(ids)[:5]}


def tell(counts: Dict[str, Any]) -> str:
    r"""A line about what :func:`answer_table` did.

    Args:
        counts (dict): What it returned.
    """
    parts = [f'{counts["sessions"]} sessions answered']
    if counts['unknown']:
        ids = ', '.join(map(repr, counts['ids']))
        parts.append(
            f'{counts["unknown"]} clicks left out, on unknown items such as '
            f'{ids}'
        )
    for key, text in (
        ('fallback', 'sessions have no known item: the most popular ones'),
        ('unanswered', 'sessions have no answer'),
        ('missing', 'rows have no item'),
        ('left_out', 'rows are left out by `where`'),
        ('absent', 'sessions have no other rows, and no answer'),
        ('in_order', 'rows have no time: they are taken in their order'),
        ('earlier', 'clicks are of earlier sessions, before a pause'),
    ):
        if counts[key]:
            parts.append(f'{counts[key]} {text}')
    if counts['left_out'] is None:
        parts.append('`where` of the training needs columns that are not here')
    if counts['earlier'] is None:
        parts.append(
            '`session_gap` of the training needs times that are not here'
        )
    return '; '.join(parts)
