"""How sessions are split and cut, and what is told of them."""

import json

import pytest
import torch

from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import SessionDataset, SessionLog
from pyg_sessaug.datasets.report import format_report
from tests.datasets.log_files import write
from tests.datasets.srgnn_reference import DAY, to_lists

START = 1_700_000_000 // DAY * DAY
#: Session n ends on day n; its items all occur in the first ones.
LISTS = [[(n + k) % 5 for k in range(2 + n % 4)] for n in range(20)]
ROWS = [
    (f's{n}', item, START + n * DAY + k)
    for n, items in enumerate(LISTS)
    for k, item in enumerate(items)
]
OPTIONS = dict(min_item_clicks=1, val_ratio=0)


def text_of(rows):
    lines = [','.join(map(str, x)) for x in rows]
    return '\n'.join(['session_id,item_id,time', *lines])


@pytest.fixture
def root(tmp_path):
    return write(tmp_path, 'clicks.csv', text_of(ROWS))


def sessions_of(root, split, **kwargs):
    data = SessionLog(root, split, **{**OPTIONS, **kwargs})
    ids = data.item_ids.tolist()
    return [[ids[i] for i in x] for x in to_lists(data.flat_sessions)]


@pytest.mark.parametrize(
    'options, count',
    [
        ({'test_days': 3}, 3),
        ({'test_ratio': 0.25}, 5),
        ({'test_from': '2023-11-30'}, 4),
        ({'test_from': '2023-11-30T00:00:03'}, 3),
        ({'test_from': '2023-11-30T01:00:03+01:00'}, 3),
    ],
)
def test_test_period(root, options, count):
    assert sessions_of(root, 'train', **options) == LISTS[:-count]
    assert sessions_of(root, 'test', **options) == LISTS[-count:]
    name = SessionLog(root, **OPTIONS, **options).processed_paths[0]
    assert name != SessionLog(root, **OPTIONS).processed_paths[0]


def test_all_for_training(root):
    assert sessions_of(root, 'train', test_days=0) == LISTS
    with pytest.raises(ValueError, match=r'test split .* no samples'):
        SessionLog(root, 'test', test_days=0, **OPTIONS)


@pytest.mark.parametrize(
    'options, match',
    [
        ({'test_ratio': 1.0}, r'`test_ratio` must be in \(0, 1\)'),
        ({'test_from': 'soon'}, "`test_from` must be a date .*'soon'"),
        ({'test_from': '2023-11-30', 'test_days': 3}, 'different ways'),
        ({'test_from': '2030-01-01'}, '0 test sessions'),
        ({'min_session_length': 1}, '`min_session_length` must be at least'),
        ({'max_length': 1}, '`max_length` must be at least 2'),
        ({'val_split': 'old'}, '`val_split` must be "random" or "time"'),
        ({'on_missing': 'keep'}, '`on_missing` must be'),
        ({'val_file': 'x.csv'}, '`val_file` needs `test_file`'),
    ],
)
def test_bad_options(root, options, match):
    with pytest.raises(ValueError, match=match):
        SessionLog(root, **OPTIONS, **options)


@pytest.mark.parametrize('num_files', [2, 3])
def test_files_that_are_split_already(tmp_path, num_files):
    # Ids of sessions may come again in another file; 9 is never in training.
    parts = [ROWS[:40], [('s0', 1, START), ('s0', 2, START + 1)]]
    parts += [[('s0', 3, 5), ('s0', 9, 6), ('s0', 0, 7), ('s1', 9, 1)]]
    names = ['train.csv', 'val.csv', 'test.csv']
    for name, rows in zip(names, parts):
        write(tmp_path, name, text_of(rows).replace(',5', f',{START}'))
    write(tmp_path, 'test.csv', text_of([(*x[:2], START) for x in parts[2]]))
    files = dict(file='train.csv', test_file='test.csv')
    if num_files == 3:
        files['val_file'] = 'val.csv'
    options = dict(files, val_ratio=0)
    train, test = (
        SessionLog(tmp_path, x, **options) for x in ('train', 'test')
    )
    assert train.clicks == 40
    assert [train.item_ids[i] for i in test.flat_sessions.item] == [3, 0]
    assert test.report['dropped'] == {
        'in sessions of fewer than 2 clicks': 1,
        'of val or test on items unknown to training': 1,
    }
    if num_files == 3:
        val = SessionLog(tmp_path, 'val', **options)
        assert [val.item_ids[i] for i in val.flat_sessions.item] == [1, 2]


def test_validation_by_time(root):
    options = dict(test_days=4, val_ratio=0.1, val_split='time')
    assert sessions_of(root, 'train', **options) == LISTS[:-8]
    assert sessions_of(root, 'val', **options) == LISTS[-8:-4]
    assert sessions_of(root, 'test', **options) == LISTS[-4:]
    options['val_ratio'] = 0
    assert sessions_of(root, 'train', **options) == LISTS[:-4]
    options.update(test_days=0, val_ratio=0.1)
    assert sessions_of(root, 'val', **options) == LISTS[-2:]
    options.update(test_days=11)
    with pytest.raises(ValueError, match=r'takes 11 sessions.* of 9'):
        sessions_of(root, 'val', **options)


def test_lengths(root):
    kept = [x for x in LISTS if len(x) > 3]
    found = sessions_of(root, 'train', min_session_length=4, test_days=0)
    assert found == kept
    for split in ('train', 'test'):
        whole = sessions_of(root, split)
        cut = sessions_of(root, split, max_length=3)
        assert cut == [x[-3:] for x in whole]
    train = SessionLog(root, max_length=3, **OPTIONS)
    assert len(train) == train.clicks - train.sessions
    assert train.report['length'][2] == 3


def test_last_clicks_of_listed_samples():
    sessions = Sessions(
        torch.arange(9), torch.tensor([0, 5, 9]), torch.tensor([1, 4, 8])
    )
    cut = sessions.last_clicks(3)
    assert cut.item.tolist() == [2, 3, 4, 6, 7, 8]
    assert cut.ptr.tolist() == [0, 3, 6]
    assert cut.target.tolist() == [2, 5]


def test_report(root):
    rows = [*ROWS, ('long', 0, START), *[('long', 1, START + 1)] * 2]
    write(root, 'clicks.csv', text_of(rows))
    train, val, test = (
        SessionLog(root, x, min_item_clicks=1, test_days=5)
        for x in ('train', 'val', 'test')
    )
    report = train.report
    assert (
        report == val.report == test.report == json.loads(json.dumps(report))
    )
    assert report['read'] == len(rows)
    assert report['dropped'] == {}
    assert report['duplicates'] == 1
    assert report['period'] == [START, START + 19 * DAY + 4]
    assert [report[x] for x in ('sessions', 'items', 'clicks')] == [
        21,
        5,
        len(rows),
    ]
    assert report['length'] == [3, 5, 5]
    repeats = sum(len(x) - len(set(x)) for x in [*LISTS, [0, 1, 1]])
    assert report['repeats'] == pytest.approx(repeats / len(rows))
    assert report['splits']['test'] == {
        'sessions': 5,
        'clicks': test.clicks,
        'samples': len(test),
        'from': test.flat_sessions.time[test.flat_sessions.ptr[1] - 1],
    }
    text = format_report(report)
    assert f'{len(rows)} rows read, {len(rows)} kept' in text
    assert 'clicks from 2023-11-14 00:00:00 to 2023-12-03' in text
    assert 'test: 5 sessions' in text
    assert len(text.splitlines()) <= 10


class Broken(SessionDataset):
    changes = {}

    def prepare(self):
        sessions = Sessions.from_lengths(
            torch.tensor([0, 1, 2, 0]), torch.tensor([2, 2])
        )
        kept = {
            key: getattr(sessions, key)
            for key in ('item', 'ptr', 'target', 'time')
        }
        changed = Sessions(**{**kept, **self.changes})
        return {
            'train': sessions,
            'test': changed,
            'item_ids': ['a', 'b', 'c'],
            'categories': None,
        }


@pytest.mark.parametrize(
    'key, value, match',
    [
        ('item', [0, 1, -1, 2], r"test's click 2 is item -1, .* 0 to 2"),
        ('item', [0, 1, 3, 2], r"test's click 2 is item 3"),
        ('item', [0, 1, 2**62, 2], r"test's click 2 is item 4611"),
        ('ptr', [0, 2, 3], 'lengths add up to 3, but it has 4 clicks'),
        ('ptr', [0, 0, 4], 'session 0 has no clicks'),
        ('target', [1, 2], 'not the first of their session'),
        ('target', [1, 4], 'not the first of their session'),
        ('time', [0, 1], r'times are of shape \[2\]'),
    ],
)
def test_what_a_subclass_prepares_is_checked(tmp_path, key, value, match):
    class Wrong(Broken):
        changes = {key: torch.tensor(value)}

    with pytest.raises(ValueError, match=match):
        Wrong(str(tmp_path), val_ratio=0)
    assert list((tmp_path / 'processed').iterdir()) == []


def test_lengths_that_do_not_add_up():
    with pytest.raises(ValueError, match=r'add up to 8, .* 10 clicks'):
        Sessions.from_lengths(torch.arange(10), torch.tensor([4, 4]))
