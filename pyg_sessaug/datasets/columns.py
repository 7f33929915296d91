r"""From the files of a log to clicks, all checked and counted."""

import warnings
from contextlib import nullcontext
from itertools import pairwise
from typing import Any, Dict, List, Optional, Sequence, Tuple

import duckdb
import numpy as np
import torch

from pyg_sessaug.datasets.clicks import Clicks
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
from pyg_sessaug.datasets.text_files import ANEW, check_columns
from pyg_sessaug.datasets.values import (
    BLANKS,
    Column,
    Options,
    fields,
    ids_sql,
    seconds_sql,
    texts_sql,
    values,
)

#: What stands for a missing value where it is a whole field.
PLACEHOLDERS = ('NULL', 'null', 'NA', 'N/A', 'nan', 'NaN', 'None', '\\N')
CHUNK = 1 << 22  # Rows
PROBE = 1 << 16  # Rows that tell most logs which are not sorted


def read_log(
    parts: Sequence[Sequence[str]],
    columns: Dict[str, Column],
    options: Options = Options(),  # noqa: B008 (immutable)
) -> Clicks:
    r"""Reads the clicks of a log, sorted by session and time.

    Args:
        parts (list): Paths of the files; several lists of them where the log
            is split already.
        columns (dict): Columns by role: :obj:`session`, :obj:`item` and,
            where there are such, :obj:`time`, :obj:`order`, :obj:`date` and
            :obj:`category`.
        options (Options): How to read it.

    Raises:
        ValueError: If a file or a value is not as it should be; it names the
            file, the row and what to do.
    """
    every = [path for paths in parts for path in paths]
    with connect(options.folder, options.memory_limit, every) as con:
        table = LogTable(con, columns, options)
        # Of two parts, the second is the test set.
        numbers = (0, 2) if len(parts) == 2 else range(len(parts))
        for part, paths in zip(numbers, parts):
            for path in paths:
                with explain(path):
                    table.load(path, part)
        with explain(', '.join(path for path, *_ in table.files[:3])):
            return table.clicks()


class LogTable:
    r"""The rows of a log in a table of DuckDB, :obj:`log`.

    Args:
        con (DuckDBPyConnection): The database.
        columns (dict): Columns by role.
        options (Options): How to read it.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        columns: Dict[str, Column],
        options: Options,
    ) -> None:
        self.con, self.columns, self.options = con, columns, options
        #: Path, first row in the table, and its number in the file.
        self.files: List[Tuple[str, int, int]] = []
        self.report: Dict[str, Any] = {'read': 0, 'dropped': {}}
        self.notes: List[str] = []
        self.relation, self.fields, self.session = 'log', '*', ''
        kept = ['n BIGINT', 'part TINYINT', 'kept BOOLEAN']
        for role, column in columns.items():
            kept += fields(role, column.kind)
        self.sql(f'create table log ({", ".join(kept)})')

    def sql(self, text: str) -> List[Tuple[Any, ...]]:
        r"""Runs a statement and returns all of its rows."""
        rows: List[Tuple[Any, ...]] = self.con.execute(text).fetchall()
        return rows

    def load(
        self, path: str, part: int, source: Optional[Source] = None
    ) -> None:
        r"""Adds the rows of a file."""
        options, first = self.options, self.report['read']
        needed = {role: column.name for role, column in self.columns.items()}
        if source is None:
            any_key = options.where is not None
            source = open_source(self.con, path, needed, options.text, any_key)
        text = options.text if options.text.own else None
        check_columns(path, needed.values(), list(source.columns), text)
        kept = 'true'
        if options.where is not None:
            kept = f'coalesce(({options.where}), false)'
        exprs = []
        for column in self.columns.values():
            source, more = values(path, column, source, options.time_format)
            exprs += more
        try:
            with explain_json(path) if source.is_json else nullcontext():
                self.sql(
                    f'insert into log select {first - 1} + row_number() '
                    f'over (), {part}, {kept}, {", ".join(exprs)} from '
                    f'{source.relation}'
                )
        except (
            duckdb.BinderException,
            duckdb.ParserException,
            duckdb.ConversionException,
        ) as error:
            if options.where is None:
                raise
            raise ValueError(
                f'{path}: cannot apply `where` (--where) {options.where!r}: '
                f'{str(error).splitlines()[0]}; the columns are '
                f'{list(source.columns)}, and those of text files are texts'
            ) from error
        ((last,),) = self.sql('select max(n) from log')
        rows = 0 if last is None else max(0, last + 1 - first)
        self.files.append((path, first, source.first_row))
        self.report['read'] += rows
        if source.rows is not None:
            check_rows(self.con, path, rows, source.rows)
        for role, column in self.columns.items():
            if column.kind in ('id', 'int'):  # 007 and 2.5 are no integers.
                self.sql(
                    f'update log set {ident(role)} = null where '
                    f'{role}_text is not null and {ident(role)} is not null'
                )

    def clicks(self) -> Clicks:
        r"""Checks what was read, role by role, and fetches it."""
        ((left_out,),) = self.sql('select count(*) from log where not kept')
        if left_out:
            self.report['dropped']['by `where`'] = left_out
            self.sql('delete from log where not kept')
        self._drop_missing()
        select, joins = [], []
        names: Dict[str, Any] = {}
        for role, (_, kind) in self.columns.items():
            join = ''
            if kind in ('id', 'int'):
                value, join, names[role] = ids_sql(self, role)
            elif kind == 'text':
                value, names[role] = texts_sql(self, role)
            else:
                value = seconds_sql(self, role, self.options.time_unit)
            if role == 'session':
                self.session = value
            select.append(f'{value} as {ident(role)}')
            joins.append(join)
        order = [x for x in ('order', 'time') if x in self.columns][:1]
        by, arrays = ['session', *order], None
        self.relation, self.fields = 'log', ', '.join(select)
        ((left, parts),) = self.sql('select count(*), max(part) from log')
        if not (any(joins) or parts or self.options.drop_duplicates):
            # As most logs are: sorted, and with ids that need no look-up.
            if left == self.report['read']:
                arrays = self._fetch(by)
        if arrays is None:
            self.fields += ', log.n, part'
            if any(joins) or parts or self.options.drop_duplicates:
                self._remake(' '.join(joins))
            if self.options.drop_duplicates:
                self._drop_duplicates()
            arrays = self._fetch(['part', *by, 'n'], sort=True)
        assert arrays is not None
        for note in self.notes:
            warnings.warn(note, stacklevel=5)
        self.report['warnings'] = self.notes
        tensors = {k: torch.from_numpy(v) for k, v in arrays.items()}
        part, row = tensors.pop('part', None), tensors.pop('n', None)
        if 'time' not in tensors:
            tensors['time'] = torch.zeros(left, dtype=torch.float64)
        return Clicks(
            **tensors,
            row=row,
            part=part if parts else None,
            item_names=names['item'],
            category_names=names.get('category'),
            report=self.report,
        )

    def _drop_missing(self) -> None:
        lacks = {}
        for role, (_, kind) in self.columns.items():
            dates = f' and {role}_date is null' if kind == 'time' else ''
            if kind != 'text':
                lacks[role] = f'{ident(role)} is null{dates}'
        either = ' or '.join(f'({x})' for x in lacks.values())
        if not self.sql(f'select n from log where {either} limit 1'):
            return
        marks = ', '.join(map(quote, PLACEHOLDERS))
        reasons = {}
        for role, lack in lacks.items():
            name = self.columns[role].name
            text = f'trim({role}_text, {BLANKS})'
            reasons[f'no {name}'] = f"{lack} and coalesce({text}, '') = ''"
            reasons[f'a placeholder as {name}'] = (
                f'{lack} and {text} in ({marks})'
            )
        counts = ', '.join(
            f'count(*) filter ({condition})' for condition in reasons.values()
        )
        (found,) = self.sql(f'select {counts} from log')
        texts = [
            f'{count} {"row has" if count == 1 else "rows have"} {reason} '
            f'({self.rows(reasons[reason])})'
            for reason, count in zip(reasons, found)
            if count
        ]
        if not texts:
            return
        if self.options.on_missing != 'drop':
            remedy = self.remedy(
                'correct them, or pass on_missing="drop" (--on-missing drop) '
                'to leave them out'
            )
            raise ValueError(f'{"; ".join(texts)}; {remedy}')
        self.notes.append(f'left out: {"; ".join(texts)}')
        for (reason, condition), count in zip(reasons.items(), found):
            if count:  # A row that lacks two counts once.
                ((gone,),) = self.sql(f'delete from log where {condition}')
                self.report['dropped'][f'with {reason}'] = gone

    def remedy(self, text: str) -> str:
        r"""What to do, where a user may choose how to read a log."""
        return text if self.options.text.own else ANEW

    def rows(self, condition: str) -> str:
        r"""The first five rows of a condition, as people number them."""
        found = [
            n
            for (n,) in self.sql(
                f'select n from log where {condition} order by n limit 5'
            )
        ]
        texts = []
        for path, first, start in reversed(self.files):
            here = [str(n - first + start) for n in found if n >= first]
            found = [n for n in found if n < first]
            if here:
                word = 'rows' if len(here) > 1 else 'row'
                texts.append(f'{word} {", ".join(here)} of {path}')
        return ' and '.join(reversed(texts))

    def _drop_duplicates(self) -> None:
        keys = ', '.join(['part', *map(ident, self.columns)])
        ((before,),) = self.sql('select count(*) from clicks')
        self._remake(
            f'where n in (select min(n) from clicks group by {keys}) '
            f'order by n'
        )
        ((after,),) = self.sql('select count(*) from clicks')
        if before > after:
            self.report['dropped']['as duplicates'] = before - after

    def _remake(self, clauses: str) -> None:
        self.sql(
            f'create table remade as select {self.fields} from '
            f'{self.relation} {clauses}'
        )
        self.sql(f'drop table {self.relation}')
        self.sql('alter table remade rename to clicks')
        self.relation, self.fields = 'clicks', '*'

    def _fetch(
        self, by: List[str], sort: bool = False
    ) -> Optional[Dict[str, Any]]:
        r"""Arrays of all columns; :obj:`None` if rows should be sorted."""
        ((size,),) = self.sql(f'select count(*) from {self.relation}')
        dtypes = {
            'DOUBLE': np.float64,
            'INTEGER': np.int32,
            'TINYINT': np.int8,
        }
        select = f'select {self.fields} from {self.relation}'
        arrays: Dict[str, Any] = {
            name: np.empty(size, dtypes.get(kind, np.int64))
            for name, kind, *_ in self.sql(f'describe {select}')
        }
        if 'n' in arrays and self.report['read'] < 2**31:
            arrays['n'] = np.empty(size, np.int32)
        end = 0
        for condition in self._pieces(size, sort):
            rows = self.con.execute(f'{select} where {condition}').fetchnumpy()
            rows = {k: np.ma.getdata(v) for k, v in rows.items()}
            start, end = end, end + rows[by[0]].size
            if sort:
                order = np.lexsort([rows[x] for x in reversed(by)])
                rows = {k: v[order] for k, v in rows.items()}
            for name, array in arrays.items():
                array[start:end] = rows[name]
            part = slice(max(0, start - 1), end)
            if not sort and not _is_sorted([arrays[x][part] for x in by]):
                return None
        return arrays

    def _pieces(self, size: int, sort: bool) -> List[str]:
        r"""Conditions of pieces of the table that fit into memory: rows as
        they stand, or sessions as they are sorted.
        """
        if not sort:
            edges = [0, *range(PROBE, size, CHUNK), size]
            return [
                f'rowid >= {start} and rowid < {end}'
                for start, end in pairwise(edges)
            ]
        session = 'session' if self.relation == 'clicks' else self.session
        parts = range(1, -(-size // CHUNK))
        shares = [x / (len(parts) + 1) for x in parts]
        pieces: List[str] = []
        for (part,) in self.sql(
            f'select distinct part from {self.relation} order by part'
        ):
            cuts = []
            if shares:
                ((cuts,),) = self.sql(
                    f'select approx_quantile({session}, {shares}) from '
                    f'{self.relation} where part = {part}'
                )
            cuts = sorted(set(cuts or []))
            lows = ['', *(f' and {session} > {x}' for x in cuts)]
            highs = [*(f' and {session} <= {x}' for x in cuts), '']
            pieces += [
                f'part = {part}{low}{high}' for low, high in zip(lows, highs)
            ]
        return pieces


def _is_sorted(columns: Sequence[Any]) -> bool:
    r"""Whether rows ascend by the columns, the first counting most."""
    equal = np.ones(max(0, columns[0].size - 1), bool)
    for column in columns:
        if (equal & (column[1:] < column[:-1])).any():
            return False
        equal &= column[1:] == column[:-1]
    return True
