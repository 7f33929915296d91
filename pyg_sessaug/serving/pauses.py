r"""Pauses at which the clicks of a table begin a new session."""

from typing import Optional

import duckdb

from pyg_sessaug.datasets.reading import quote
from pyg_sessaug.datasets.values import DIGITS, unit_of


def are_lists(con: duckdb.DuckDBPyConnection) -> bool:
    r"""Whether each row is a session, and no click."""
    return con.execute(
        "select data_type like '%[]' from duckdb_columns() where table_name "
        "= 'rows' and column_name = 'item'"
    ).fetchall() == [(True,)]


def leave_earlier(
    con: duckdb.DuckDBPyConnection, gap: float, unit: Optional[float]
) -> Optional[int]:
    r"""Takes the items from clicks before the last pause of a session, as a
    training that cuts sessions there does not know them together.

    Args:
        con (DuckDBPyConnection): Has the table :obj:`rows`.
        gap (float): Seconds of a pause: more than these.
        unit (float, optional): Seconds per unit of a time that is a number;
            :obj:`None` for what its size tells.

    Returns:
        int, optional: How many clicks these were; :obj:`None` without times.
    """
    ((times, low, high),) = con.execute(
        'select count(time), min(number), max(number) from rows'
    ).fetchall()
    if times == 0 or are_lists(con):
        return None
    if unit is None:
        unit = 1.0 if low is None else unit_of(low, high)
    seconds = f'number * {unit!r}::DOUBLE'
    if unit == 0:
        digits = 'number::BIGINT::VARCHAR'
        seconds = f'epoch_us(strptime({digits}, {DIGITS})) / 1e6'
    order = 'over (partition by key order by time, n)'
    most = f'{quote(repr(gap))}::DOUBLE'  # Maybe infinite
    pauses = (
        f'select *, coalesce(second - lag(second) {order} > {most}, '
        f'false)::INT as pause from (select *, coalesce({seconds}, time) as '
        f'second from rows where not missing)'
    )
    parts = f'select *, sum(pause) {order} as part from ({pauses})'
    ((count,),) = con.execute(
        f'update rows set item = null where n in (select n from ({parts}) '
        f'qualify part < max(part) over (partition by key))'
    ).fetchall()
    return int(count)
