import random

import pytest
import torch

from pyg_sessaug.datasets import Diginetica, Otto, SessionLog, YooChoose
from pyg_sessaug.datasets.values import parse_id
from tests.datasets.log_files import (
    START,
    diginetica_text,
    otto_text,
    random_clicks,
    write,
    yoochoose_text,
)
from tests.datasets.srgnn_reference import (
    DAY,
    preprocess,
    samples_longest_first,
    to_lists,
    to_samples,
)


def check(cls, root, expected, **kwargs):
    ids, train, test = expected
    assert train
    assert test
    dataset = cls(root, val_ratio=0, **kwargs)
    assert dataset.item_ids.tolist() == ids
    assert to_lists(dataset.flat_sessions) == train
    test_set = cls(root, 'test', val_ratio=0, **kwargs)
    assert to_lists(test_set.flat_sessions) == test
    return dataset


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('name', ['train-item-views.csv.gz', None])
def test_diginetica(tmp_path, seed, name):
    rows = random_clicks(seed)
    header = (
        'sessionId;userId;itemId;timeframe'
        if name
        else 'session_id;user_id;item_id;timeframe'
    )
    name = name or 'train-item-views.csv'
    write(tmp_path, name, diginetica_text(rows, header))
    day = 1000 * DAY
    expected = preprocess(
        [(s, i, t % day, t // day * DAY) for s, i, t in rows]
    )
    dataset = check(Diginetica, tmp_path, expected)
    assert dataset.categories is None
    assert set(dataset.raw_sha256) == {name}
    seconds = (1000 * dataset.flat_sessions.time).round().tolist()
    assert set(seconds) < {t for _, _, t in rows}


def test_diginetica_orders_by_timeframe_and_not_by_date(tmp_path):
    text = (
        'sessionId;userId;itemId;timeframe;eventdate\n'
        '1;NA;5;300;2016-01-02\n1;NA;6;200;2016-01-01\n'
        '1;NA;7;100;2016-01-02\n2;NA;7;9;2016-02-01\n2;NA;5;8;2016-02-01\n'
    )
    write(tmp_path, 'train-item-views.csv', text)
    dataset = Diginetica(tmp_path, min_item_clicks=1, val_ratio=0)
    assert dataset.item_ids.tolist() == [7, 6, 5]
    second = 16_801 * DAY + DAY
    assert dataset.flat_sessions.time.tolist() == [
        second + 0.1,
        second - DAY + 0.2,
        second + 0.3,
    ]


def test_diginetica_loses_the_day_of_the_split(tmp_path):
    lines = ['sessionId;userId;itemId;timeframe;eventdate']
    for day in range(1, 12):
        lines += [f'{day};NA;1;{i};2016-01-{day:02}' for i in range(2)]
    write(tmp_path, 'train-item-views.csv', '\n'.join(lines))
    for drop_boundary, days in [(True, 3), (False, 4)]:
        train, test = (
            Diginetica(tmp_path, x, val_ratio=0, drop_boundary=drop_boundary)
            for x in ['train', 'test']
        )
        assert [train.sessions, test.sessions] == [days, 7]


def test_diginetica_categories(tmp_path):
    lines = ['sessionId;userId;itemId;timeframe;eventdate']
    for day in range(1, 12):
        lines += [f'{day};NA;{i};{i};2016-01-{day:02}' for i in range(4)]
    write(tmp_path, 'train-item-views.csv', '\n'.join(lines))
    name = 'product-categories.csv'
    write(tmp_path, name, 'itemId;categoryId\n9;1\n3;77\n0;12\n2;12\n')
    with pytest.raises(ValueError, match=r'1 items .* \[1\].*allow_missing'):
        Diginetica(tmp_path)
    dataset = Diginetica(tmp_path, allow_missing_categories=True)
    assert dataset.item_ids.tolist() == [0, 1, 2, 3]
    assert dataset.categories.tolist() == [0, -1, 0, 1]
    assert dataset.categories_per_session == 2
    assert set(dataset.raw_sha256) == {'train-item-views.csv', name}
    write(tmp_path, name, 'item_id;category_id\n0;1\n0;1\n0;2\n')
    with pytest.raises(ValueError, match=r'item 0 has more than one'):
        Diginetica(tmp_path, force_reload=True)
    write(tmp_path, name, 'itemId;categoryId\n')
    with pytest.raises(ValueError, match=f'{name} has no items; replace it'):
        Diginetica(tmp_path, force_reload=True)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('part', [1, 3, 7])
def test_yoochoose(tmp_path, seed, part):
    rows = random_clicks(seed)
    write(tmp_path, 'yoochoose-clicks.dat', yoochoose_text(rows))
    ids, train, test = preprocess(
        [(s, i, t, t // 1000) for s, i, t in rows], test_days=1
    )
    samples = samples_longest_first(train)
    samples = samples[-int(len(samples) / part) :]
    out = YooChoose(tmp_path, part=part, val_ratio=0)
    assert out.item_ids.tolist() == ids
    assert to_samples(out.flat_sessions) == sorted(samples)
    out = YooChoose(tmp_path, 'test', part=part, val_ratio=0)
    assert to_lists(out.flat_sessions) == test


def test_yoochoose_part_of_nothing(tmp_path):
    write(
        tmp_path, 'yoochoose-clicks.dat', yoochoose_text(random_clicks(0, 30))
    )
    with pytest.raises(ValueError, match=r'part=9999 keeps none'):
        YooChoose(tmp_path, part=9999)


def test_yoochoose_categories(tmp_path):
    kinds = ['S', '0', '7', '12', '2089046524', '7', 'S', '']
    rows = [(1, 5, 1000 * START + i, kind) for i, kind in enumerate(kinds)]
    rows += [(1, 6, 1000 * START + i, kind) for i, kind in enumerate('S0S')]
    rows += [(1, 8, 1000 * START, '2089046524')]
    last = 1000 * (START + 9 * DAY)
    rows += [(2, 5, last, '12'), (2, 5, last, '12'), (2, 5, last, '12')]
    header = 'session_id,timestamp,item_id,category\n'
    options = dict(min_item_clicks=1, part=1, val_ratio=0)
    for text in [yoochoose_text(rows), header + yoochoose_text(rows)]:
        write(tmp_path, 'yoochoose-clicks.dat', text)
        dataset = YooChoose(tmp_path, force_reload=True, **options)
        assert dataset.item_ids.tolist() == [5, 6, 8]
        assert dataset.categories.tolist() == [0, -1, 1]
        assert dataset.clicks == 12
        dataset = YooChoose(
            tmp_path, force_reload=True, drop_special=True, **options
        )
        assert dataset.clicks == 8


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('name', ['train.jsonl', 'train.jsonl.gz'])
def test_otto(tmp_path, seed, name):
    rows = random_clicks(seed)
    write(tmp_path, name, otto_text(rows))
    last = {}
    for session, _, time in rows:
        last[session] = max(time, last.get(session, 0))
    by_session = sorted(rows, key=lambda row: list(last).index(row[0]))
    expected = preprocess(
        [(s, i, t, last[s] / 1000) for s, i, t in by_session],
        drop_boundary=False,
    )
    check(Otto, tmp_path, expected)


def test_otto_event_types_and_gap(tmp_path):
    rows = [(1, 1, 1000, 'clicks'), (1, 2, 2000, 'carts')]
    rows += [(1, 2, 4_000_000, 'orders'), (1, 1, 4_000_001, 'clicks')]
    rows += [(2, 1, 10**9, 'clicks'), (2, 2, 10**9, 'clicks')]
    rows += [(2, 1, 10**9, 'clicks')]
    write(tmp_path, 'train.jsonl', otto_text(rows) + '\n\n')

    def lengths(**kwargs):
        dataset = Otto(tmp_path, val_ratio=0, min_item_clicks=1, **kwargs)
        return dataset.flat_sessions.length.tolist()

    assert lengths() == [2]
    assert lengths(event_types=['clicks', 'carts']) == [3]
    assert lengths(event_types=['clicks', 'carts', 'orders']) == [4]
    every = ('clicks', 'carts', 'orders')
    assert lengths(event_types=every, session_gap=3600) == [2, 2]
    assert lengths(event_types={'orders', 'clicks'}) == [3]
    for bad in ('click', ['clicks', 'cart'], [], None):
        with pytest.raises(ValueError, match=r'choose from .*carts'):
            Otto(tmp_path, event_types=bad)
    write(tmp_path, 'train.jsonl', otto_text(rows[:1]))
    with pytest.raises(ValueError, match=r"no events of type \['carts'\]"):
        Otto(tmp_path, event_types='carts')
    # Whatever types are asked for, others are not left out without a word.
    write(tmp_path, 'train.jsonl', otto_text([*rows, (3, 1, 9, 'Clicks')]))
    for types in ('clicks', every):
        with pytest.raises(ValueError, match=r"line 3 .* of type 'Clicks'"):
            Otto(tmp_path, event_types=types)


def test_ids_that_are_whole_floats(tmp_path):
    pandas = pytest.importorskip('pandas')
    path = tmp_path / 'clicks.parquet'
    item = [1e15 + 12, 1e15 + 2, 7.0] * 20
    table = {'session_id': [i // 3 for i in range(60)], 'item_id': item}
    table['time'] = [86400 * (i // 3) for i in range(60)]
    pandas.DataFrame(table).to_parquet(path)
    ids = SessionLog(tmp_path, file=path, test_days=2).item_ids.tolist()
    assert sorted(ids) == [7, 10**15 + 2, 10**15 + 12]


@pytest.mark.parametrize('kind', ['csv', 'tsv', 'csv.gz', 'parquet'])
@pytest.mark.parametrize('ids', ['int', 'str'])
def test_own_log(tmp_path, kind, ids):
    rows = random_clicks(1)
    random.Random(1).shuffle(rows)
    file = f'shop.{kind}'
    convert = str if ids == 'str' else int
    prefix = 'item ' if ids == 'str' else ''
    columns = {
        'visit': [convert(s) for s, _, _ in rows],
        'product': [convert(f'{prefix}{i}') for _, i, _ in rows],
        'at': [t for _, _, t in rows],
    }
    if kind == 'parquet':
        pandas = pytest.importorskip('pandas')
        (tmp_path / 'raw').mkdir()
        pandas.DataFrame(columns).to_parquet(tmp_path / 'raw' / file)
    else:
        delimiter = '\t' if kind == 'tsv' else ','
        lines = [columns, *zip(*columns.values())]
        write(
            tmp_path,
            file,
            '\n'.join(delimiter.join(map(str, x)) for x in lines),
        )
    options = dict(file=file, session='visit', item='product', time='at')
    if kind == 'tsv':
        options['delimiter'] = '\t'
    last = {}
    for session, _, time in rows:
        last[session] = max(time, last.get(session, 0))
    item_ids, train, _ = preprocess(
        [(s, i, t, last[s] / 1000) for s, i, t in rows], drop_boundary=False
    )
    dataset = SessionLog(tmp_path, time_unit=0.001, val_ratio=0, **options)
    assert to_lists(dataset.flat_sessions) == train
    if ids == 'int':
        assert dataset.item_ids.tolist() == item_ids
    else:
        assert dataset.item_ids == [f'item {i}' for i in item_ids]
        again = SessionLog(
            tmp_path, 'test', time_unit=0.001, val_ratio=0, **options
        )
        assert again.item_ids == dataset.item_ids


@pytest.mark.parametrize(
    'times',
    [
        ['1970-01-01', '1970-01-02', '1970-02-01', '1970-02-02'],
        ['0', '86400', '2678400.0', '2764800'],
        [
            '1970-01-01T00:00:00Z',
            '1970-01-02T00:00:00.000Z',
            '1970-02-01T02:00:00+02:00',
            '1970-02-01T23:00:00-01:00',
        ],
        [
            '1970-01-01 00:00:00',
            '1970-01-02 00:00:00',
            '1970-02-01 00:00:00',
            '1970-02-02 00:00:00',
        ],
        [
            '1970-01-01 00:00:00.000000000',
            '1970-01-02 00:00:00.000000000',
            '1970-02-01 00:00:00.000000000',
            '1970-02-02 00:00:00.000000001',
        ],
    ],
)
def test_times_of_own_logs(tmp_path, times):
    lines = ['session_id,time,item_id,kind']
    for i, time in enumerate(times):
        lines.append(f'{i // 2},{time},007,{"b" if i else ""}')
    write(tmp_path, 'clicks.csv', '\ufeff' + '\r\n'.join(lines))
    train, test = (
        SessionLog(
            tmp_path,
            split,
            min_item_clicks=1,
            val_ratio=0,
            test_days=8,
            category='kind',
        )
        for split in ['train', 'test']
    )
    assert train.item_ids == ['007']
    assert train.categories.tolist() == [0]
    assert train.flat_sessions.time.tolist() == [0, DAY]
    assert test.flat_sessions.time.tolist() == [31 * DAY, 32 * DAY]


def test_ids_at_the_edge(tmp_path):
    edges = [2**63 - 1, -(2**63)]
    lines = ['session_id,item_id,time']
    for session in edges:
        lines += [
            f'{session},{item},{int(session < 0)}000000' for item in edges
        ]
    write(tmp_path, 'clicks.csv', '\n'.join(lines))
    dataset = SessionLog(tmp_path, min_item_clicks=1, val_ratio=0)
    assert dataset.item_ids.tolist() == edges


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_fields_of_several_lines(tmp_path, end):
    rows = [(1, f'"a{end}b"', 0), (1, 'c', 1), (2, 'c', DAY), (2, 'c', DAY)]
    lines = [('session_id', 'item_id', 'time'), *rows]
    text = end.join(','.join(map(str, line)) for line in lines)
    write(tmp_path, 'clicks.csv', text)
    train = SessionLog(tmp_path, min_item_clicks=1, test_days=0.5, val_ratio=0)
    assert train.item_ids == [f'a{end}b', 'c']
    assert to_lists(train.flat_sessions) == [[0, 1]]


def test_long_session(tmp_path):
    rows = [(1, i % 7, i) for i in range(100_000)]
    rows += [(2, 1, 10**9), (2, 2, 10**9)]
    write(tmp_path, 'train.jsonl', otto_text(rows))
    dataset = Otto(tmp_path, val_ratio=0, min_item_clicks=1)
    assert dataset.flat_sessions.length.tolist() == [100_000]
    assert dataset[99_998].click_index.numel() == 99_999


def test_categories_that_are_all_missing(tmp_path):
    lines = ['session_id,item_id,time,kind']
    lines += [f'{s},{i},{10**6 * s},' for s in range(2) for i in range(2)]
    write(tmp_path, 'clicks.csv', '\n'.join(lines))
    dataset = SessionLog(
        tmp_path,
        category='kind',
        allow_missing_categories=True,
        min_item_clicks=1,
        val_ratio=0,
    )
    assert dataset.categories.tolist() == [-1, -1]
    assert dataset.num_categories == dataset.categories_per_session == 0


def test_settings_tell_logs_apart(tmp_path):
    write(tmp_path, 'train.jsonl', otto_text(random_clicks(0)))
    paths = {
        Otto(tmp_path, **kwargs).processed_paths[0]
        for kwargs in [
            {},
            {'test_days': 3},
            {'min_item_clicks': 2},
            {'session_gap': 3600},
            {'drop_boundary': True},
            {'event_types': ['clicks', 'carts']},
        ]
    }
    assert len(paths) == 6
    assert torch.load(min(paths), weights_only=True)['settings']


def test_one_id_that_is_no_integer(tmp_path):
    rows = ['session_id,item_id,time']
    rows += [f'{i // 2},{i % 2 + 1},{i // 2 * 86400}' for i in range(40)]
    write(tmp_path, 'clicks.csv', '\n'.join([*rows, '99,l,0', '99,3,0']))
    match = "3 of 4 ids are integers, but 'l' of row 42 of .* is none"
    with pytest.warns(UserWarning, match=match):
        train = SessionLog(tmp_path)
    assert train.item_ids == ['1', '2']


@pytest.mark.parametrize(
    'text, value',
    [
        ('0', 0),
        (str(-(2**63)), -(2**63)),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), str(2**63)),
        ('9' * 5000, '9' * 5000),
        ('007', '007'),
        ('+1', '+1'),
        ('-0', '-0'),
        ('1.0', '1.0'),
        ('٣', '٣'),
        ('', ''),
        ('-', '-'),
    ],
)
def test_ids_that_are_integers(text, value):
    assert parse_id(text) == value
