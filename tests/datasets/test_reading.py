"""What is read, what is counted and dropped, and what is refused."""

import gzip
import random
import re
import warnings
from datetime import datetime, timezone

import duckdb
import pandas
import pytest
import torch

from pyg_sessaug.datasets import SessionLog
from tests.datasets.log_files import START, random_clicks, write
from tests.datasets.srgnn_reference import DAY, to_lists

HEADER = 'session_id,item_id,time'
ROWS = [(s, i, t // 1000) for s, i, t in random_clicks(0)]
ROWS = sorted(ROWS, key=lambda row: row[2])


def text_of(rows=ROWS, header=HEADER):
    return '\n'.join([header, *(','.join(map(str, x)) for x in rows)]) + '\n'


def read(root, text=None, name='clicks.csv', **kwargs):
    """Ids, training and test sessions."""
    if text is not None:
        write(root, name, text)
    kwargs.setdefault('file', name)
    train, test = (
        SessionLog(root, x, val_ratio=0, force_reload=x == 'train', **kwargs)
        for x in ('train', 'test')
    )
    ids = train.item_ids
    ids = ids if isinstance(ids, list) else ids.tolist()
    sessions = [to_lists(x.flat_sessions) for x in (train, test)]
    return ids, *sessions, train.report


@pytest.fixture
def expected(tmp_path):
    return read(tmp_path, text_of())[:3]


def spaced(text):
    return text.replace(',', ' , ')


def as_floats(text):
    return text_of([(s, float(i), t) for s, i, t in ROWS])


def quoted(text):
    return text_of([(s, f'"{i}"', f'"{t}"') for s, i, t in ROWS])


def with_notes(text):
    notes = ['"a\nb"', '5" wide', '"say ""no"""', '', '"1,2\n3"']
    rows = [(*x, notes[n % 5]) for n, x in enumerate(ROWS)]
    return text_of(rows, f'{HEADER},note')


def zones(text):
    spell = [
        lambda t: f'{to_date(t):%Y-%m-%d %H:%M:%S} UTC',
        lambda t: f'{to_date(t):%Y-%m-%dT%H:%M:%S}Z',
        lambda t: f'{to_date(t + 7200):%Y-%m-%dT%H:%M:%S}+02:00',
        lambda t: f'{to_date(t - 19_800):%Y-%m-%d %H:%M:%S} -0530',
        lambda t: f'{to_date(t + 3600):%Y-%m-%d %H:%M:%S}+01',
        lambda t: f'{to_date(t):%Y-%m-%d %H:%M:%S}',
    ]
    rows = [(s, i, spell[n % 6](t)) for n, (s, i, t) in enumerate(ROWS)]
    return text_of(rows)


def to_date(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc)


@pytest.mark.parametrize(
    'change',
    [
        spaced,
        as_floats,
        quoted,
        with_notes,
        zones,
        lambda text: '\ufeff' + text,
        lambda text: text.replace('\n', '\r\n'),
        lambda text: text.replace('\n', '\r\r\n'),
        lambda text: text.replace('\n', '\r'),
        lambda text: text.replace('\n', '\r\n', 9),
        lambda text: text.replace('\n', '\n\n'),
        lambda text: text.rstrip('\n'),
    ],
)
def test_read(tmp_path, expected, change):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = read(tmp_path, change(text_of()))
    assert found[:3] == expected
    assert found[3]['read'] == len(ROWS)


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r', '\r\r\n'])
@pytest.mark.parametrize(
    'note', ['x', '"1,2"', '"1\n2"', '5" wide', '5" by 6"', '"say ""no"""']
)
def test_rows_of_too_many_fields(tmp_path, end, note):
    rows = [(*x, note if n == 4 else '') for n, x in enumerate(ROWS)]
    text = text_of(rows, f'{HEADER},note').replace('1\n2', '1\t2')
    good = text.replace('\n', end).replace('\t', '\n')
    assert read(tmp_path, good)[3]['read'] == len(ROWS)
    places = [x + (note == '"1\n2"' and x > 6) for x in (2, 9, 20, 30, 31)]
    match = f'clicks.csv: 7 lines have more than the 4 fields.*{places}; rem'
    for extra in ('', '""', '"" ', ',', 'x', '"a,b"'):
        lines = text.split('\n')
        for line in (2, 9, 20, 30, 31, 32, 33):  # From 1
            lines[line - 1] += f',{extra}'
        bad = end.join(lines).replace('\t', '\n')
        with pytest.raises(ValueError, match=re.sub(r'[\[\]]', '', match)):
            read(tmp_path, bad)


@pytest.mark.parametrize(
    'scale, meaning',
    [(10**3, 'milliseconds'), (10**6, 'micro'), (10**9, 'nanoseconds')],
)
def test_units_are_told_by_size(tmp_path, expected, scale, meaning):
    text = text_of([(s, i, t * scale) for s, i, t in ROWS])
    with pytest.warns(UserWarning, match=f'read as {meaning}.*time-unit'):
        found = read(tmp_path, text)
    assert found[:3] == expected
    assert meaning in found[3]['warnings'][0]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert read(tmp_path, time_unit=1 / scale)[:3] == expected


def test_digits_of_dates(tmp_path, expected):
    rows = [(s, i, f'{to_date(t):%Y%m%d%H%M%S}') for s, i, t in ROWS]
    with pytest.warns(UserWarning, match='read as YYYYMMDDhhmmss'):
        assert read(tmp_path, text_of(rows))[:3] == expected


def test_day_first(tmp_path, expected):
    spelling = '%d.%m.%Y %H:%M:%S'
    rows = [(s, i, f'{to_date(t):{spelling}}') for s, i, t in ROWS]
    with pytest.raises(ValueError, match=r'rows 2, 3, 4, .*--time-format'):
        read(tmp_path, text_of(rows))
    found = read(tmp_path, time_format=spelling)
    assert found[:3] == expected
    rows[3] = (*rows[3][:2], 'soon')
    with pytest.raises(ValueError, match=r"row 5 of .*'soon' is not spelt"):
        read(tmp_path, text_of(rows), time_format=spelling)


def test_without_header(tmp_path, expected):
    columns = HEADER.split(',')
    assert read(tmp_path, text_of(), columns=columns)[:3] == expected
    text = text_of().split('\n', 1)[1]
    assert read(tmp_path, text, columns=columns)[:3] == expected


def test_relative_times_are_no_warning(tmp_path, expected):
    first = ROWS[0][2]
    text = text_of([(s, i, t - first) for s, i, t in ROWS])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert read(tmp_path, text)[:3] == expected


def test_unsigned_ids(tmp_path):
    rows = [(s, 2**63 + i, t) for s, i, t in ROWS]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        ids = read(tmp_path, text_of(rows))[0]
    assert {int(x) - 2**63 for x in ids} <= {i for _, i, _ in ROWS}


def test_packed_and_split_files(tmp_path, expected):
    write(tmp_path, 'a.csv', text_of(ROWS[:100]))
    raw = tmp_path / 'raw'
    write(tmp_path, 'b.csv.gz', text_of(ROWS[100:200]))
    (raw / 'plain').write_text(text_of(ROWS[200:]))
    duckdb.sql(
        f"copy (select * from read_csv('{raw}/plain', all_varchar=true)) to "
        f"'{raw}/c.csv' (compression zstd)"
    )
    (raw / 'plain').unlink()
    (raw / 'clicks.csv').unlink()
    assert read(tmp_path, file='*.csv*')[:3] == expected
    files = [raw / 'a.csv', 'b.csv', raw / 'c.csv']
    assert read(tmp_path, file=files)[:3] == expected
    assert read(tmp_path, file=raw)[:3] == expected
    (raw / 'b.csv.gz').unlink()
    match = 'no b.csv in'
    with pytest.raises(FileNotFoundError, match=match):
        read(tmp_path, file=files)


def test_hive_folders(tmp_path, expected):
    root = tmp_path / 'raw' / 'clicks'
    for kind in ('view', 'buy'):
        folder = root / f'kind={kind}'
        folder.mkdir(parents=True)
        rows = ROWS if kind == 'view' else ROWS[:50]
        frame = pandas.DataFrame(rows, columns=HEADER.split(','))
        half = len(frame) // 2
        frame[:half].to_parquet(folder / '0.parquet')
        frame[half:].to_parquet(folder / '1.parquet')
    found = read(tmp_path, file='clicks', where="kind = 'view'")
    assert found[:3] == expected
    assert found[3]['read'] == len(ROWS) + 50
    assert found[3]['dropped']['by `where`'] == 50


@pytest.mark.parametrize('name', ['a.csv', 'a.jsonl', 'a.parquet'])
def test_where(tmp_path, expected, name):
    frame = pandas.DataFrame(ROWS, columns=HEADER.split(','))
    other = frame.assign(item_id=77)
    frame = pandas.concat([frame.assign(event='view'), other])
    (tmp_path / 'raw').mkdir(exist_ok=True)
    path = tmp_path / 'raw' / name
    if name == 'a.csv':
        frame.to_csv(path, index=False)
    elif name == 'a.jsonl':
        frame.to_json(path, orient='records', lines=True)
    else:
        frame.to_parquet(path)
    where = "event = 'view'"
    assert read(tmp_path, file=name, where=where)[:3] == expected
    match = r'cannot apply `where` \(--where\)'
    with pytest.raises(ValueError, match=match):
        read(tmp_path, file=name, where='events = 1')


@pytest.mark.parametrize('mark', ['', ' ', 'NULL', 'NA', 'nan', 'None', r'\N'])
@pytest.mark.parametrize('place', range(3))
def test_missing(tmp_path, expected, mark, place):
    rows = [list(map(str, x)) for x in ROWS]
    for n in (1, 5):
        rows.insert(n, ['1', '2', '3'])
        rows[n][place] = mark
    name = HEADER.split(',')[place]
    match = rf'2 rows have .* {name} \(rows 3, 7 of .*--on-missing drop'
    with pytest.raises(ValueError, match=match):
        read(tmp_path, text_of(rows))
    with pytest.warns(UserWarning, match='left out: 2 rows'):
        found = read(tmp_path, on_missing='drop')
    assert found[:3] == expected
    assert sum(found[3]['dropped'].values()) >= 2


def test_duplicates(tmp_path):
    rows = [x for row in ROWS for x in (row, row)]
    found = read(tmp_path, text_of(rows))
    unique = set(ROWS)
    assert found[3]['duplicates'] == len(rows) - len(unique)
    found = read(tmp_path, drop_duplicates=True, min_item_clicks=1)
    unique = read(tmp_path, text_of(dict.fromkeys(ROWS)), min_item_clicks=1)
    assert found[:3] == unique[:3]
    assert found[3]['dropped']['as duplicates'] == len(ROWS) * 2 - len(
        set(ROWS)
    )


def note(number, text):
    rows = [[*x, 'x'] for x in ROWS]
    for n in number:
        rows[n][3] = text
    return text_of(rows, f'{HEADER},note')


@pytest.mark.parametrize(
    'text, match',
    [
        (note([5], '"open'), r'in line 7 swallows line 8'),
        (note([5, 90], '"open'), r'in line 7 swallows line 8'),
        (note([5, 6], '"'), r'in line 7 swallows line 8'),
        (note([len(ROWS) - 1], '"open'), r'is never closed'),
        (text_of([*ROWS, (1, 2)]), r'line \d+ is no row .missing columns'),
        (text_of([*ROWS, (1, 2, 3, 4)]), r'is no row .too many columns'),
        (text_of().encode('utf-16'), 'UTF-16 .*save it as UTF-8'),
        (b'PK\x03\x04' + b'0' * 99, 'a ZIP archive or an Excel sheet; unpack'),
        (b'BZh9' + b'0' * 99, 'bzip2'),
        (
            text_of([(s, i, t - 10**9) for s, i, t in ROWS]),
            r'time goes from 1982-.* between 1990 and next year.*time-unit',
        ),
        (
            text_of([(1, 1, 0), *ROWS]),
            r'time goes from 1970-01-01 to 2014-.*--where',
        ),
        (
            text_of().replace(',', ';'),
            r"';' stands between its fields, pass it as `delimiter`",
        ),
    ],
)
def test_refused(tmp_path, text, match):
    with pytest.raises(ValueError, match=match):
        read(tmp_path, text)
    assert list((tmp_path / 'processed').iterdir()) == []


def test_memory_limit(tmp_path, expected):
    assert read(tmp_path, memory_limit='200MB')[:3] == expected
    with pytest.raises(ValueError, match=r'memory_limit.*1GiB'):
        read(tmp_path, memory_limit='much')


def test_endless_line(tmp_path):
    with gzip.open(write(tmp_path, 'a.csv', '') / 'raw/b.csv.gz', 'wb') as f:
        for _ in range(20):
            f.write(b'a' * 2**20)
    with pytest.raises(ValueError, match=r'line 1 on has .* bytes or more'):
        read(tmp_path, file='b.csv.gz')


def test_equal_times_keep_their_order(tmp_path):
    rows = [
        (s, n % 7, START + DAY * (s // 3)) for s in range(60) for n in range(9)
    ]
    shuffled = [x for k in range(3) for x in rows[k::3]]
    position = {}
    for row in shuffled:
        position.setdefault(row[0], []).append(row[1])
    ids, train, _, _ = read(tmp_path, text_of(shuffled), min_item_clicks=1)
    for session in train:
        assert [ids[i] for i in session] in list(position.values())


def test_times_are_exact(tmp_path):
    frame = pandas.DataFrame(ROWS, columns=HEADER.split(','))
    frame['time'] = pandas.to_datetime(frame['time'], unit='s', utc=True)
    (tmp_path / 'raw').mkdir()
    frame.to_parquet(tmp_path / 'raw' / 'a.parquet')
    data = SessionLog(tmp_path, file='a.parquet')
    assert data.flat_sessions.time.dtype == torch.float64
    assert set(data.flat_sessions.time.tolist()) <= {t for _, _, t in ROWS}


@pytest.mark.parametrize('name', ['n', 'N', 'part', 'kept', 'time_date'])
@pytest.mark.parametrize('role', ['session', 'item', 'time'])
def test_columns_of_any_name(tmp_path, expected, role, name):
    """Also of those that reading itself has."""
    spelt = {'session': 'session_id', 'item': 'item_id', 'time': 'time'}[role]
    names = HEADER.replace(spelt, name)
    # Of a column that nobody asks for, too:
    rows = [(*x, 2, 'x') for x in ROWS]
    text = text_of(rows, f'{names},plain,names')
    found = read(tmp_path, text, **{role: name}, where='"names" = \'x\'')
    assert found[:3] == expected


@pytest.mark.parametrize('order', ['sorted', 'by time', 'shuffled'])
@pytest.mark.parametrize('ids', [int, 's{}'.format])
def test_logs_of_several_pieces(tmp_path, monkeypatch, expected, order, ids):
    rows = sorted(ROWS) if order == 'sorted' else list(ROWS)
    if order == 'shuffled':
        random.Random(0).shuffle(rows)
    text = text_of([(ids(s), i, t) for s, i, t in rows])
    whole = read(tmp_path, text)[:3]
    if order == 'by time':
        assert whole == expected
    monkeypatch.setattr('pyg_sessaug.datasets.columns.CHUNK', 17)
    monkeypatch.setattr('pyg_sessaug.datasets.columns.PROBE', 11)
    assert read(tmp_path, text)[:3] == whole
    # As large ones are, on disk:
    monkeypatch.setattr('pyg_sessaug.datasets.reading.SMALL', 0)
    assert read(tmp_path, text)[:3] == whole
