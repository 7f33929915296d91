"""Damaged and strange logs, and what must hold whatever they are.

A target is a strategy of cases and a check. The check returns what became of
a case, "read" or "refused", and fails if an error does not say where it comes
from, or if something is read otherwise than by plain code written here.
"""

import csv
import io
import json
import math
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from hypothesis import strategies as st

from pyg_sessaug.datasets import Diginetica, Otto, SessionLog, YooChoose

DAY = 86_400
EDGES = [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(10**30)]


# For what cases share; removed at the end.
SHARED = tempfile.TemporaryDirectory(prefix='fuzz')


class Wrong(AssertionError):
    """Input that was read otherwise than it should be."""


words = st.one_of(
    st.sampled_from(
        ['', ' ', '7', '007', '+7', ' 7', '1.0', '1e3', 'nan', 'NA', 'null',
         '-0', '"', 'a"b', 'a,b', 'a;b', '\u0661', '\ufeff7', 'x\ny', '\0',
         '#', 'é', '日本', *map(str, EDGES)]
    ),
    st.text(max_size=4),
)  # fmt: skip
ids = st.one_of(
    st.lists(st.integers(-3, 9).map(str), min_size=6, max_size=9, unique=True),
    st.lists(
        st.sampled_from(EDGES).map(str), min_size=6, max_size=9, unique=True
    ),
    st.lists(words, min_size=6, max_size=9, unique=True),
)
int64 = st.one_of(st.integers(0, 9), st.sampled_from(EDGES[:7]))


@st.composite
def tables(draw, session, item):
    """Rows (session, item, time): few ids, in any order, with duplicates."""
    session, item = draw(session), draw(item)
    size = draw(st.one_of(st.integers(0, 60), st.integers(20, 60)))
    random = draw(st.randoms(use_true_random=False))
    start = {x: random.randrange(9 * DAY) for x in session}
    rows = []
    for _ in range(size):
        of = random.choice(session)
        time = start[of] + random.randrange(2000)
        rows.append((of, random.choice(item[:4]), time))
    rows += random.choices(rows, k=random.randrange(4)) if rows else []
    return rows


@st.composite
def damage(draw, data):
    """Bytes that were changed, cut, or put in; maybe none of it."""
    data = bytearray(data)
    for kind in draw(st.lists(st.sampled_from('flip cut put'.split()),
                              max_size=2)):  # fmt: skip
        at = draw(st.integers(0, max(0, len(data) - 1)))
        if kind == 'flip' and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == 'cut':
            del data[at:]
        else:
            data[at:at] = draw(
                st.sampled_from(
                    [b'\xff', b'\x00', b'\xc3', b'"', b'\n', b'\r', b',',
                     b';', b'\t', b' ', b'\xef\xbb\xbf', b'\xed\xa0\x80',
                     b'{', b'9', b'-', b'e5', b'true', b'null']
                )
            )  # fmt: skip
    return bytes(data)


def to_csv(header, rows, delimiter, line_end):
    f = io.StringIO()
    rows = ([header] if header else []) + rows
    # Python quotes a carriage return only where it is told to.
    bare = any('\r' in str(x) for row in rows for x in row)
    quoting = csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL
    csv.writer(
        f, delimiter=delimiter, lineterminator=line_end, quoting=quoting
    ).writerows(rows)
    return f.getvalue().encode('utf-8', 'surrogatepass')


def from_csv(data, delimiter, header=None):
    """Rows as dicts of fields; raises ValueError where there is any doubt."""
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
    value = row[name]
    value.encode()  # Whatever was no UTF-8
    if value == '':
        raise ValueError(f'no {name}')
    return value


def preprocess(rows, last_row_dates=False):
    """Splits rows (session, item, order, date); the test period is a day.

    The date of a session is that of its last row or of its last click.
    """
    clicks, dates = {}, {}
    for session, item, order, date in rows:
        clicks.setdefault(session, []).append((order, item))
        if last_row_dates or date >= dates.get(session, -math.inf):
            dates[session] = date
    sessions = {
        session: [item for _, item in sorted(pairs, key=lambda x: x[0])]
        for session, pairs in clicks.items()
        if len(pairs) > 1
    }
    if not sessions:
        raise ValueError('nothing is left')
    split = max(dates[x] for x in sessions) - DAY
    order = sorted(sessions, key=dates.__getitem__)
    train = [x for x in order if dates[x] <= split]
    known = {i: None for x in train for i in sessions[x]}
    test = [
        [i for i in sessions[x] if i in known]
        for x in order
        if dates[x] > split
    ]
    test = [x for x in test if len(x) > 1]
    if not train or not test:
        raise ValueError('a split is empty')
    return [sessions[x] for x in train], test


def compare(make, expected, place, clean):
    """Reads a data set; what it holds must be what is expected, if read.

    Args:
        make: Returns the data set of a split.
        expected: Raises ValueError, or returns its sessions of raw ids.
        place: What every error must name.
        clean: Whether it must be read if it can be.
    """
    try:
        train, test = make('train'), make('test')
    except (ValueError, OSError) as error:
        if place not in str(error):
            raise Wrong(f'an error that names no place: {error}') from error
        if clean:
            try:
                expected()
            except ValueError:
                return 'refused'
            raise Wrong(f'refused though it is sound: {error}') from error
        return 'refused'
    try:
        wanted = expected()
    except ValueError as error:
        raise Wrong(f'read though {error!r}') from error
    names = train.item_ids
    names = names if isinstance(names, list) else names.tolist()
    for dataset, sessions in zip((train, test), wanted):
        flat = dataset.flat_sessions
        found = [
            [str(names[i]) for i in x.tolist()]
            for x in flat.item.split(flat.length.tolist())
        ]
        if found != sessions:
            raise Wrong(f'read {found}, expected {sessions}')
    return 'read'


def write_raw(folder, name, data):
    raw = Path(folder) / 'raw'
    raw.mkdir(parents=True)
    (raw / name).write_bytes(data)


OPTIONS = dict(min_item_clicks=1, test_days=1, val_ratio=0)


@st.composite
def session_logs(draw):
    rows = draw(tables(ids, ids))
    time = draw(st.sampled_from(['number', 'iso', 'word']))
    if time == 'iso':
        rows = [(s, i, to_date(t).isoformat()) for s, i, t in rows]
    elif time == 'word' and rows:
        rows[-1] = (*rows[-1][:2], draw(words))
    header = ['session_id', 'item_id', 'time']
    if draw(st.booleans()):
        header = [*header, 'note']
        rows = [[*row, draw(words)] for row in rows]
    delimiter = draw(st.sampled_from(',;\t|'))
    data = to_csv(
        header, rows, delimiter, draw(st.sampled_from(['\n', '\r\n']))
    )
    return delimiter, draw(st.one_of(st.just(data), damage(data)))


def to_date(second):
    return datetime(2014, 4, 7, tzinfo=timezone.utc) + timedelta(0, second)


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


def check_session_log(case, folder):
    delimiter, data = case
    write_raw(folder, 'clicks.csv', data)

    def make(split):
        return SessionLog(folder, split, delimiter=delimiter, **OPTIONS)

    def expected():
        header, rows = from_csv(data, delimiter)
        names = ['session_id', 'item_id', 'time']
        if any(header.count(name) != 1 for name in names):
            raise ValueError('columns')
        rows = [[field(row, name) for name in names] for row in rows]
        rows = [(s, i, to_second(t), to_second(t)) for s, i, t in rows]
        return preprocess(rows)

    return compare(make, expected, str(folder), clean=False)


@st.composite
def clean_logs(draw):
    """Sound tables: any ids, times in any order, sessions of any length."""
    rows = draw(tables(ids, ids))
    if draw(st.integers(0, 9)) == 0 and rows:
        rows += rows[-1:] * draw(st.integers(1, 3000))
    return [row for row in rows if '' not in row[:2]]


def check_clean_log(rows, folder):
    header = ['session_id', 'item_id', 'time']
    write_raw(folder, 'clicks.csv', to_csv(header, rows, ',', '\n'))

    def make(split):
        return SessionLog(folder, split, **OPTIONS)

    def expected():
        return preprocess([(s, i, t, t) for s, i, t in rows])

    return compare(make, expected, str(folder), clean=True)


@st.composite
def official_logs(draw):
    integers = st.lists(int64, min_size=6, max_size=9, unique=True)
    rows = draw(tables(integers, integers))
    kind = draw(st.sampled_from(['diginetica', 'yoochoose', 'otto']))
    data = {'diginetica': diginetica, 'yoochoose': yoochoose, 'otto': otto}[
        kind
    ](rows)
    damaged = draw(st.booleans())
    return kind, (draw(damage(data)) if damaged else data), not damaged


def diginetica(rows):
    rows = [
        [s, 'NA', i, t % DAY * 1000, to_date(t).date()] for s, i, t in rows
    ]
    header = 'sessionId userId itemId timeframe eventdate'.split()
    return to_csv(header, rows, ';', '\n')


def yoochoose(rows):
    rows = [[s, f'{to_date(t):%Y-%m-%dT%H:%M:%S}.000Z', i, 0]
            for s, i, t in rows]  # fmt: skip
    return to_csv(None, rows, ',', '\n')


def otto(rows):
    sessions = {}
    for s, i, t in rows:
        event = {'aid': i, 'ts': 1000 * t, 'type': 'clicks'}
        sessions.setdefault(s, []).append(event)
    return b''.join(
        json.dumps({'session': s, 'events': events}).encode() + b'\n'
        for s, events in sessions.items()
    )


def integer(text):
    """An int64, maybe between spaces."""
    value = int(text)
    digits = str(text).strip().removeprefix('-')
    if not digits.isascii() or '_' in digits or not -(2**63) <= value < 2**63:
        raise ValueError(f'{text!r} is no int64')
    return value


def read_diginetica(data):
    _, rows = from_csv(data, ';')
    for row in rows:
        session, item, frame = (
            integer(field(row, x))
            for x in ('sessionId', 'itemId', 'timeframe')
        )
        date = to_second(field(row, 'eventdate'))
        yield session, str(item), frame, date


def read_yoochoose(data):
    names = ['session', 'time', 'item', 'category']
    _, rows = from_csv(data, ',', names)
    for row in rows:
        time = to_second(field(row, 'time'))
        session = integer(field(row, 'session'))
        yield session, str(integer(field(row, 'item'))), time, time // 1


def read_otto(data):
    for line in data.split(b'\n'):
        if not line.strip():
            continue
        entry = json.loads(line.decode())
        for event in entry['events']:
            values = entry['session'], event['aid'], event['ts']
            if any(type(x) is not int for x in values):
                raise ValueError('no integers')
            session, item, time = map(integer, values)
            if event['type'] == 'clicks':
                yield session, str(item), float(time), float(time) / 1000


OFFICIAL = {
    'diginetica': (Diginetica, 'train-item-views.csv', read_diginetica),
    'yoochoose': (YooChoose, 'yoochoose-clicks.dat', read_yoochoose),
    'otto': (Otto, 'train.jsonl', read_otto),
}


def check_official_log(case, folder):
    kind, data, clean = case
    cls, name, read = OFFICIAL[kind]
    write_raw(folder, name, data)

    def make(split):
        options = {
            **OPTIONS,
            **({'fraction': 1} if kind == 'yoochoose' else {}),
        }
        return cls(folder, split, source='log', drop_boundary=False, **options)

    def expected():
        try:
            rows = list(read(data))
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(repr(error)) from error
        return preprocess(rows, last_row_dates=kind != 'otto')

    return compare(make, expected, str(folder), clean)


TARGETS = {
    'sound logs': (clean_logs(), check_clean_log),
    "logs of one's own": (session_logs(), check_session_log),
    'official logs': (official_logs(), check_official_log),
}
