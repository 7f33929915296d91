"""The same log, by whoever writes it."""

import csv
import io
import warnings
from datetime import datetime, timedelta, timezone

import duckdb
import pandas
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_sessaug.datasets import SessionLog
from tests.datasets.log_files import random_clicks
from tests.datasets.srgnn_reference import to_lists

HEADER = 'session_id,item_id,time'


def to_date(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc)


@st.composite
def logs(draw):
    """Rows, and how they are spelt."""
    ids = st.sampled_from(['int', 'text', 'huge'])
    spelling = draw(st.sampled_from(['s', 'ms', 'us', 'iso', 'zone']))
    random = draw(st.randoms(use_true_random=False))
    kind, seed = draw(ids), draw(st.integers(0, 9))
    make = {
        'int': lambda x: x - 3,
        'text': lambda x: f'no "{x}",\n{x}',
        'huge': lambda x: 2**63 + x,
    }[kind]
    rows = [
        (s, make(i), t // 1000 * 1000) for s, i, t in random_clicks(seed, 30)
    ]
    if draw(st.booleans()):
        random.shuffle(rows)
    columns = draw(st.permutations(range(4)))
    return rows, spelling, columns, draw(st.booleans())


def spell(milliseconds, how):
    if how == 's':
        return milliseconds // 1000
    if how in ('ms', 'us'):
        return milliseconds * (1 if how == 'ms' else 1000)
    date = to_date(milliseconds // 1000)
    if how == 'iso':
        return f'{date:%Y-%m-%d %H:%M:%S}'
    return f'{date + timedelta(hours=2):%Y-%m-%dT%H:%M:%S}+0200'


def write_csv(frame, path, quote):
    f = io.StringIO(newline='')
    quoting = csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL
    writer = csv.writer(f, quoting=quoting)
    writer.writerow(frame.columns)
    writer.writerows(frame.itertuples(index=False))
    path.write_bytes(f.getvalue().encode())


def write_pandas(frame, path, quote):
    quoting = csv.QUOTE_NONNUMERIC if quote else csv.QUOTE_MINIMAL
    frame.to_csv(path, index=False, quoting=quoting)


def write_duckdb(frame, path, quote):
    with duckdb.connect() as con:
        con.register('frame', frame.astype(str))
        force = ', force_quote *' if quote else ''
        con.execute(
            f"copy (select * from frame) to '{path}' (format csv, header"
            f'{force})'
        )


def write_parquet(frame, path, quote):
    frame.to_parquet(path)


def write_lines(frame, path, quote):
    text = frame.astype(str) if quote else frame
    text.to_json(path, orient='records', lines=True)


WRITERS = {
    'python.csv': write_csv,
    'pandas.csv': write_pandas,
    'duckdb.csv': write_duckdb,
    'pandas.parquet': write_parquet,
    'pandas.jsonl': write_lines,
}


@settings(max_examples=12, deadline=None)
@given(log=logs())
def test_every_writer_gives_the_same_data(tmp_path_factory, log):
    rows, how, order, quote = log
    root = tmp_path_factory.mktemp('log')
    (root / 'raw').mkdir()
    names = [*HEADER.split(','), 'note']
    table = [(s, i, spell(t, how), 'a, "b"') for s, i, t in rows]
    frame = pandas.DataFrame(table, columns=names)
    frame = frame[[names[x] for x in order]]
    results = []
    for name, writer in WRITERS.items():
        writer(frame, root / 'raw' / name, quote)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)
            data = SessionLog(root, file=name, min_item_clicks=2)
        ids = data.item_ids
        ids = ids if isinstance(ids, list) else ids.tolist()
        sessions = data.flat_sessions
        results.append((ids, to_lists(sessions), sessions.time.tolist()))
    assert all(x == results[0] for x in results)
    times = {t / 1000 for _, _, t in rows}
    assert set(results[0][2]) <= times
    known = {
        i if isinstance(i, int) and i < 2**63 else str(i) for _, i, _ in rows
    }
    assert set(results[0][0]) <= known
