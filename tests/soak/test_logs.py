"""Logs are read as plain code reads them, or refused with the place."""

import csv
import io
import json
import math
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pyg_sessaug.datasets import Diginetica, Otto, SessionLog, YooChoose
from pyg_sessaug.datasets.columns import PLACEHOLDERS
from tests.datasets.log_files import (
    START,
    diginetica_text,
    otto_text,
    to_date,
    write,
    yoochoose_text,
)
from tests.datasets.srgnn_reference import DAY, preprocess, to_lists
from tests.soak.strange import EDGES, cases, damaged, outcome, randoms, words

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings('ignore:.* ids are integers:UserWarning'),
]

# What is drawn ##############################################################


BLANKS = ' \t\r\n\u00a0'


def is_id(text):
    return text not in ('', *PLACEHOLDERS)


def few(ids):
    return st.lists(ids, min_size=6, max_size=9, unique=True)


texts = st.one_of(
    few(st.sampled_from([*map(str, range(-3, 10))])),
    few(st.sampled_from([*map(str, EDGES)])),
    few(words.map(lambda x: x.strip(BLANKS)).filter(is_id)),
)
integers = few(st.sampled_from([*range(2, 10), *EDGES[:7]]))


@st.composite
def clicks(draw, ids):
    """Rows (session, item, milliseconds) in any order, some of them twice."""
    sessions, items = draw(ids), draw(ids)
    size = draw(st.one_of(st.integers(20, 60), st.integers(0, 60)))
    random = draw(randoms)
    start = {x: START + random.randrange(9 * DAY) for x in sessions}
    rows = []
    for _ in range(size):
        session = random.choice(sessions)
        time = 1000 * (start[session] + random.randrange(2000))
        rows.append((session, random.choice(items[:4]), time))
    rows += random.choices(rows, k=random.randrange(4)) if rows else []
    long = draw(st.integers(0, 19)) == 0
    return rows + rows[-1:] * (draw(st.integers(1, 3000)) if long else 0)


@st.composite
def shop_text(draw, rows):
    """CSV with any delimiter, line end and spelling of times."""
    spell = draw(
        st.sampled_from([lambda t: t / 1000, lambda t: to_date(t).isoformat()])
    )
    note = draw(words)
    table = [['session_id', 'item_id', 'time', 'note']]
    table += [[s, i, spell(t), note] for s, i, t in rows]
    f = io.StringIO()
    # Python quotes a carriage return only where it is told to.
    bare = any('\r' in str(x) for row in table for x in row)
    csv.writer(
        f,
        delimiter=draw(st.sampled_from(',;\t|')),
        lineterminator=draw(st.sampled_from(['\n', '\r\n'])),
        quoting=csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL,
    ).writerows(table)
    return f.getvalue().encode()


# What plain code reads: rows (session, item, order, date) ###################


def from_csv(data, delimiter, header=None):
    """Rows as dicts; raises ValueError wherever there is any doubt."""
    text = data.decode('utf-8', 'surrogateescape').removeprefix('\ufeff')
    try:
        rows = csv.reader(
            io.StringIO(text, newline=''), delimiter=delimiter, strict=True
        )
        rows = [row for row in rows if row]
    except csv.Error as error:
        raise ValueError(str(error)) from error
    header = header or rows.pop(0)
    if any(len(row) != len(header) for row in rows):
        raise ValueError('rows of several lengths')
    return header, [dict(zip(header, row)) for row in rows]


def field(row, name):
    row[name].encode()  # UnicodeEncodeError where it was no UTF-8
    text = row[name].strip(BLANKS)
    if not is_id(text):
        raise ValueError(f'no {name}')
    return text


def to_second(text):
    """A number, or a date as ISO 8601 has it."""
    try:
        value = float(text)
    except ValueError:
        value = datetime.fromisoformat(text.strip())
        value = value.replace(tzinfo=value.tzinfo or timezone.utc).timestamp()
    if not math.isfinite(value):
        raise ValueError(f'time {value}')
    return value


def to_int64(value):
    """An int64, maybe between spaces."""
    digits = str(value).strip().removeprefix('-')
    if not digits.isascii() or '_' in digits:
        raise ValueError(f'{value!r} is no integer')
    if not -(2**63) <= int(value) < 2**63:
        raise ValueError(f'{value!r} is no int64')
    return int(value)


def dated(rows):
    """Rows (session, item, time), with the latest time of the session."""
    latest = {}
    for session, _, time in rows:
        latest[session] = max(time, latest.get(session, time))
    return [(*row, latest[row[0]]) for row in rows]


def delimiter_of(data):
    return next((x for x in ',;\t|' if x.encode() in data[:20]), ',')


def read_shop(data):
    names = ['session_id', 'item_id', 'time']
    header, rows = from_csv(data, delimiter_of(data))
    if any(header.count(name) != 1 for name in names):
        raise ValueError('columns')
    rows = [[field(row, name) for name in names] for row in rows]
    return dated([(s, i, to_second(t)) for s, i, t in rows])


def read_diginetica(data):
    for row in from_csv(data, ';')[1]:
        session, item, frame = (
            to_int64(field(row, x))
            for x in ('sessionId', 'itemId', 'timeframe')
        )
        yield session, str(item), frame, to_second(field(row, 'eventdate'))


def read_yoochoose(data):
    names = ['session', 'time', 'item', 'category']
    for row in from_csv(data, ',', names)[1]:
        time = to_second(field(row, 'time'))
        session = to_int64(field(row, 'session'))
        yield session, str(to_int64(field(row, 'item'))), time, time // 1


def read_otto(data):
    rows = []
    for line in filter(bytes.strip, data.split(b'\n')):
        entry = json.loads(line.decode())
        for x in entry['events']:
            if x['type'] in ('carts', 'orders'):
                continue  # Whatever else they hold.
            if x['type'] != 'clicks':
                raise ValueError('type')
            values = entry['session'], x['aid'], x['ts']
            if any(type(value) is not int for value in values):
                raise ValueError('no integers')
            session, item, time = map(to_int64, values)
            rows.append((session, str(item), float(time) / 1000))
    return dated(rows)


def plain(read, data):
    """Raw ids, training and test sessions; ValueError if there are none."""
    try:
        rows = list(read(data))
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(repr(error)) from error
    ids, train, test = preprocess(rows, 1, 1, drop_boundary=False)
    if not train or not test:
        raise ValueError('a split is empty')
    return ids, train, test


# What the package reads #####################################################

FORMATS = {
    'shop': (SessionLog, 'clicks.csv', read_shop),
    'diginetica': (Diginetica, 'train-item-views.csv', read_diginetica),
    'yoochoose': (YooChoose, 'yoochoose-clicks.dat', read_yoochoose),
    'otto': (Otto, 'train.jsonl', read_otto),
}
LOGS = {
    'shop': clicks(texts).flatmap(shop_text),
    'diginetica': clicks(integers).map(diginetica_text).map(str.encode),
    'yoochoose': clicks(integers).map(yoochoose_text).map(str.encode),
    'otto': clicks(integers).map(otto_text).map(str.encode),
}


def read(kind, data, folder):
    """Raw ids, training and test sessions."""
    cls, name, _ = FORMATS[kind]
    options = dict(source='log', min_item_clicks=1, test_days=1, val_ratio=0)
    if kind == 'diginetica':
        options['drop_boundary'] = False
    if kind == 'shop':
        options['delimiter'] = delimiter_of(data)
    if kind == 'yoochoose':
        options['part'] = 1
    write(Path(folder), name, data)
    train, test = (cls(folder, x, **options) for x in ('train', 'test'))
    ids = train.item_ids
    ids = ids if isinstance(ids, list) else ids.tolist()
    return (
        [str(x) for x in ids],
        to_lists(train.flat_sessions),
        to_lists(test.flat_sessions),
    )


@pytest.mark.parametrize('kind', FORMATS)
@cases(1 / 4)
@given(data=st.data())
def test_sound_log(kind, data):
    log = data.draw(LOGS[kind])
    try:
        expected = plain(FORMATS[kind][2], log)
    except ValueError:  # Too few clicks to train and test on
        assume(False)
    with TemporaryDirectory() as folder:
        assert read(kind, log, folder) == expected


@pytest.mark.parametrize('kind', FORMATS)
@cases(1 / 4)
@given(data=st.data())
def test_damaged_log(kind, data):
    log = data.draw(damaged(LOGS[kind]))
    with TemporaryDirectory() as folder:
        found, refusal = outcome(ValueError, read, kind, log, folder)
        if refusal is None:
            assert found == plain(FORMATS[kind][2], log)
        else:
            assert folder in refusal
