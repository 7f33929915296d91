"""Texts of times, whatever way they are spelt."""

import pytest

from pyg_sessaug.datasets import SessionLog
from tests.datasets.log_files import write
from tests.datasets.srgnn_reference import DAY
from tests.datasets.test_reading import ROWS, read, text_of, to_date

SECOND = 1_577_934_245  # 2020-01-02T03:04:05Z
SPELT = {
    '2020-01-02': SECOND - 11_045,
    ' 2020-01-02\t': SECOND - 11_045,
    '2020-01-02 03:04:05': SECOND,
    '2020-01-02T03:04:05': SECOND,
    '2020-01-02 03:04:05 UTC': SECOND,
    '2020-01-02 03:04:05UTC': SECOND,
    '2020-01-02 03:04:05 GMT': SECOND,
    '2020-01-02T03:04:05Z ': SECOND,
    '\u00a02020-01-02T03:04:05.5Z': SECOND + 0.5,
    '2020-01-02T03:04:05.25Z': SECOND + 0.25,
    '2020-01-02T03:04:05.250Z': SECOND + 0.25,
    '2020-01-02T03:04:05.000001 UTC': SECOND + 1e-6,
    '2020-01-02T03:04:05.500000999Z': SECOND + 0.5,
    '2020-01-02T03:04Z': SECOND - 5,
    '2020-01-02t05:04 +02': SECOND - 5,
    '2020-01-02T05:34:05+02:30': SECOND,
    '2020-01-02 05:34:05 +0230': SECOND,
    '2020-01-01T22:04:05.125-05': SECOND + 0.125,
}


def test_spelt_times(tmp_path):
    """Each in a log of its own, between others of the usual spelling."""
    for spelt, seconds in SPELT.items():
        rows = [
            (s, s % 3 + j, f'{to_date(t):%Y-%m-%dT%H:%M:%S}Z')
            for s in range(40)
            for j in range(2)
            for t in [SECOND - 9000 + DAY * (s - 20) + j]
        ]
        rows.insert(7, (99, 2, spelt))
        rows.insert(8, (99, 1, f'{to_date(SECOND):%Y-%m-%d} 23:00:00'))
        write(tmp_path, 'clicks.csv', text_of(rows))
        data = SessionLog(tmp_path, force_reload=True, val_ratio=0)
        times = {float(session[0]) for session in split_times(data)}
        assert seconds in times, spelt


def split_times(data):
    return data.flat_sessions.time.split(data.flat_sessions.length.tolist())


@pytest.mark.parametrize(
    'bad',
    [
        '2020-1-02',
        '2020-01-2T03:04:05Z',
        '2020-01-02 3:04:05',
        '2020-01-02 03:4:05',
        '2020-01-02 03:04:5',
        '020-01-02 03:04:05',
        '2020-02-30',
        '2020-01-02 25:00:00',
        '2020-01-02 03:04:05.',
        '2020-01-02 03:04:05 Mars/Base',
        '2020-01-02 03:04:05Z Z',
        'x2020-01-02',
        '2020-01-02\u2003x',
    ],
)
def test_times_that_lost_a_letter(tmp_path, bad):
    rows = [(s, i, f'{to_date(t):%Y-%m-%d %H:%M:%S}') for s, i, t in ROWS]
    rows[3] = (*rows[3][:2], bad)
    with pytest.raises(ValueError, match=r'row 5 of .* is neither a'):
        read(tmp_path, text_of(rows))
