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
from tests.datasets.srgnn_reference import preprocess, to_lists

HEADER = 'session_id,item_id,time'
UNITS = {'s': 1, 'ms': 10**3, 'us': 10**6, 'ns': 10**9}  # A second
ZONES = {' UTC': 0, 'Z': 0, '+02:00': 2, ' -0530': -5.5, '+01': 1, '': 0}


def to_date(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc)


@st.composite
def logs(draw):
    """Rows, and how they are spelt."""
    ids = st.sampled_from(['int', 'text', 'huge'])
    how = st.sampled_from([*UNITS, 'iso', 'zones', 'timestamp'])
    spelling = draw(how)
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
    rows += random.choices(rows, k=draw(st.integers(0, 9)))
    if draw(st.booleans()):
        random.shuffle(rows)
    columns = draw(st.permutations(range(4)))
    return rows, spelling, columns, draw(st.booleans()), draw(st.booleans())


def spell(milliseconds, how, row):
    if how in UNITS:
        return milliseconds // 1000 * UNITS[how]
    date = to_date(milliseconds // 1000)
    if how == 'timestamp':
        return pandas.Timestamp(date)
    if how == 'iso':
        return f'{date:%Y-%m-%d %H:%M:%S}'
    zone = list(ZONES)[row % len(ZONES)]
    return f'{date + timedelta(hours=ZONES[zone]):%Y-%m-%d %H:%M:%S}{zone}'


def plain(rows, drop):
    """Ids, training and test sessions, by plain code."""
    rows = [(str(s), str(i), t / 1000) for s, i, t in rows]
    if drop:
        rows = list(dict.fromkeys(rows))
    last = {s: t for s, _, t in sorted(rows, key=lambda row: row[2])}
    rows = [(*row, last[row[0]]) for row in rows]
    return preprocess(rows, 2, 7, drop_boundary=False)


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


@settings(max_examples=10, deadline=None)
@given(log=logs())
def test_every_writer_gives_the_same_data(tmp_path_factory, log):
    rows, how, order, quote, drop = log
    root = tmp_path_factory.mktemp('log')
    (root / 'raw').mkdir()
    names = [*HEADER.split(','), 'note']
    table = [
        (s, i, spell(t, how, row), 'a, "b"')
        for row, (s, i, t) in enumerate(rows)
    ]
    frame = pandas.DataFrame(table, columns=names)
    frame = frame[[names[x] for x in order]]
    expected = plain(rows, drop)
    for name, writer in WRITERS.items():
        writer(frame, root / 'raw' / name, quote)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)
            train, test = (
                SessionLog(
                    root,
                    split,
                    file=name,
                    min_item_clicks=2,
                    val_ratio=0,
                    drop_duplicates=drop,
                )
                for split in ('train', 'test')
            )
        ids = train.item_ids
        ids = ids if isinstance(ids, list) else ids.tolist()
        sessions = [to_lists(x.flat_sessions) for x in (train, test)]
        assert ([*map(str, ids)], *sessions) == expected, name
        report = train.report
        assert report['read'] == len(rows)
        twice = len(rows) - len(set(rows))
        assert report['duplicates'] == (0 if drop else twice)
        assert report['dropped'].get('as duplicates', 0) == twice * drop
        times = {round(t, 3) for t in train.flat_sessions.time.tolist()}
        assert times <= {t / 1000 for _, _, t in rows}
