import csv
import datetime

import pytest

from pyg_sessaug.datasets import Diginetica, Otto, SessionLog, YooChoose
from tests.datasets.srgnn_reference import DAY, preprocess, to_lists

pytestmark = pytest.mark.data
SPLITS = ['train', 'val', 'test']


def total(splits, name):
    return sum(getattr(split, name) for split in splits)


def test_diginetica(shared_data, tmp_path):
    root = shared_data('diginetica')
    splits = [Diginetica(root, x, processed_root=tmp_path) for x in SPLITS]
    train, val, test = splits
    assert [len(train) + len(val), len(test)] == [719_470, 60_858]
    assert train.sessions + val.sessions == 186_670
    assert test.sessions == 15_963
    assert total(splits, 'clicks') == 982_961
    assert test.num_items == 43_097
    assert test.num_categories == 995
    average = 982_961 / total(splits, 'sessions')
    assert round(average, 2) == 4.85
    categories = sum(x.categories_per_session * x.sessions for x in splits)
    assert round(categories / total(splits, 'sessions'), 2) == 1.38
    assert train.raw_sha256 == Diginetica.srgnn_sha256
    assert train.unseen_target_share == 0
    # The newest clicks are last: item numbers grow with time.
    first = train.flat_sessions.item[:10_000].double().mean()
    assert first < train.flat_sessions.item.double().mean() / 2


def test_yoochoose(shared_data, tmp_path):
    root = shared_data('yoochoose1_64')
    splits = [YooChoose(root, x, processed_root=tmp_path) for x in SPLITS]
    train, val, test = splits
    assert [len(train) + len(val), len(test)] == [369_859, 55_898]
    assert test.sessions == 15_324
    assert total(splits, 'clicks') == 557_248
    assert test.num_items == 37_483
    average = 557_248 / total(splits, 'sessions')
    assert round(average, 2) == 4.24
    assert train.raw_sha256 == YooChoose.srgnn_sha256
    whole = YooChoose(root, 'test', processed_root=tmp_path, val_ratio=0)
    assert round(100 * whole.unseen_target_share, 2) == 0.74
    assert int(whole.seen_items.sum()) == 17_376


def test_diginetica_log(shared_data, tmp_path):
    root = shared_data('diginetica_sample')
    path = root / 'raw' / 'train-item-views.csv'
    rows = []
    with open(path, newline='') as f:
        for row in csv.DictReader(f, delimiter=';'):
            rows.append(
                (
                    int(row['session_id']),
                    int(row['item_id']),
                    int(row['timeframe']),
                    to_seconds(row['eventdate']),
                )
            )
    ids, train, test = preprocess(rows)
    for split, expected in [('train', train), ('test', test)]:
        dataset = Diginetica(root, split, processed_root=tmp_path, val_ratio=0)
        assert dataset.item_ids.tolist() == ids
        assert to_lists(dataset.flat_sessions) == expected
    assert dataset.categories.min() == 0
    assert dataset.num_categories <= dataset.num_items


def to_seconds(date):

    day = datetime.date.fromisoformat(date)
    return (day - datetime.date(1970, 1, 1)).days * DAY


def test_otto_log(shared_data, tmp_path):
    root = shared_data('otto_sample')
    options = dict(
        processed_root=tmp_path,
        min_item_clicks=1,
        test_days=1,
        event_types=['clicks', 'carts', 'orders'],
        val_ratio=0,
    )
    train = Otto(root, **options)
    test = Otto(root, 'test', **options)
    assert train.sessions + test.sessions <= 20
    assert train.clicks + test.clicks <= 862
    assert train.num_items == train.seen_items.sum()
    time = train.flat_sessions.time
    assert time.min() >= 1_659_304_800  # 2022-08-01 in Berlin
    assert (time.max() - time.min()) < 28 * DAY


def test_yoochoose_sample_as_own_log(shared_data, tmp_path):
    source = shared_data('yoochoose_100k') / 'train_full.txt'
    raw = tmp_path / 'raw'
    raw.mkdir()
    (raw / 'train_full.txt').symlink_to(source)
    rows = []
    with open(source, newline='') as f:
        for row in csv.DictReader(f, delimiter='\t'):
            time = float(row['Time'])
            rows.append(
                (int(row['SessionId']), int(row['ItemId']), time, time)
            )
    ids, train, test = preprocess(rows, test_days=1, drop_boundary=False)
    for split, expected in [('train', train), ('test', test)]:
        dataset = SessionLog(
            tmp_path,
            split,
            file='train_full.txt',
            session='SessionId',
            item='ItemId',
            time='Time',
            delimiter='\t',
            test_days=1,
            val_ratio=0,
        )
        assert dataset.item_ids.tolist() == ids
        assert to_lists(dataset.flat_sessions) == expected
    assert len(dataset) == sum(len(x) - 1 for x in test)
