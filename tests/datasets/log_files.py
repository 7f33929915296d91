"""Small logs in the official formats."""

import datetime
import gzip
import json
import random

from tests.datasets.srgnn_reference import DAY

START = 1_396_828_800  # 2014-04-07T00:00:00Z


def random_clicks(seed, num_sessions=60, days=12):
    """Rows (session, item, milliseconds) of sessions, in any order inside."""
    rng = random.Random(seed)
    rows = []
    for session in rng.sample(range(1000), num_sessions):
        start = START + rng.randrange(days * DAY)
        for _ in range(rng.randint(1, 8)):
            item = int(rng.paretovariate(0.8)) % 30
            rows.append((session, item, 1000 * start + rng.randrange(10**7)))
    return rows


def to_date(milliseconds):
    return datetime.datetime.fromtimestamp(
        milliseconds / 1000, datetime.timezone.utc
    )


def write(root, name, text):
    path = root / 'raw' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith('.gz') else data)
    return root


def diginetica_text(rows, header='sessionId;userId;itemId;timeframe'):
    lines = [f'{header};eventdate']
    for session, item, time in rows:
        day, timeframe = divmod(time, 1000 * DAY)
        date = to_date(1000 * DAY * day).date()
        lines.append(f'{session};NA;{item};{timeframe};{date}')
    return '\n'.join(lines) + '\n'


def yoochoose_text(rows):
    lines = []
    for session, item, time, *category in rows:
        date = to_date(time).strftime('%Y-%m-%dT%H:%M:%S')
        kind = category[0] if category else '0'
        lines.append(f'{session},{date}.{time % 1000:03}Z,{item},{kind}')
    return '\n'.join(lines) + '\n'


def otto_text(rows):
    lines = {}
    for session, item, time, *kind in rows:
        kind = kind[0] if kind else 'clicks'
        event = {'aid': item, 'ts': time, 'type': kind}
        lines.setdefault(session, []).append(event)
    return '\n'.join(
        json.dumps({'session': session, 'events': events})
        for session, events in lines.items()
    )
