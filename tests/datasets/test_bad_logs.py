import sys

import pytest

from pyg_sessaug.datasets import Diginetica, Otto, SessionLog, YooChoose
from tests.datasets.log_files import write

VIEWS = 'sessionId;userId;itemId;timeframe;eventdate\n'
CLICK = '1,2014-04-07T10:51:09.277Z,214536502,0\n'
EVENTS = '{"session": 1, "events": [{"aid": 1, "ts": 2, "type": "clicks"}]}\n'


@pytest.mark.parametrize(
    'cls, name, text, match',
    [
        (Diginetica, 'train-item-views.csv', '', "one column 'session_id'"),
        (Diginetica, 'train-item-views.csv', VIEWS, 'no clicks'),
        (
            Diginetica,
            'train-item-views.csv',
            'sessionId;itemId;timeframe\n1;2;3\n',
            r"one column 'eventdate', but its columns are \['sessionId',",
        ),
        (
            Diginetica,
            'train-item-views.csv',
            VIEWS + '1;NA;2;3;2016-01-01\n1;NA;x2;3;2016-01-01\n',
            "column 'itemId': Row #3.*int64.*'x2'",
        ),
        (
            Diginetica,
            'train-item-views.csv',
            VIEWS + '1;NA;2;3;2016-01-01\n1;NA;2;3;2016-02-30\n',
            "Row #3.*date.*'2016-02-30'",
        ),
        (
            Diginetica,
            'train-item-views.csv',
            VIEWS + '1;NA;2;3;2016-01-01\n1;NA;2;;2016-01-01\n',
            'row 3 has no timeframe',
        ),
        (
            Diginetica,
            'train-item-views.csv',
            VIEWS + '1;NA;2;3;2016-01-01\n1;NA;2\n',
            'Row #3: Expected 5 columns, got 3',
        ),
        (YooChoose, 'yoochoose-clicks.dat', '', 'Empty CSV file'),
        (
            YooChoose,
            'yoochoose-clicks.dat',
            CLICK + CLICK.replace('T10:', 'T25:'),
            "Row #2.*'2014-04-07T25:51:09.277Z'",
        ),
        (
            YooChoose,
            'yoochoose-clicks.dat',
            CLICK + CLICK.replace('214536502', str(2**63)),
            f"Row #2.*int64.*'{2**63}'",
        ),
        (
            YooChoose,
            'yoochoose-clicks.dat',
            CLICK + CLICK.replace(',0', ',shoes'),
            "category 'shoes'",
        ),
        (
            YooChoose,
            'yoochoose-clicks.dat',
            2 * CLICK.encode() + b'\xff\xfe,1,1,1\n',
            'Row #3.*int64',
        ),
        (Otto, 'train.jsonl', '', 'no events'),
        (Otto, 'train.jsonl', EVENTS + '{"session', 'line 2 is not'),
        (Otto, 'train.jsonl', EVENTS + '{"session": 1}', 'line 2.*events'),
        (Otto, 'train.jsonl', EVENTS + '[1]', 'line 2 is not'),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"aid": 1', '"aid": "x"'),
            'line 2.*TypeError',
        ),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"ts": 2', '"ts": 2.5'),
            'line 2.*TypeError',
        ),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"aid": 1', f'"aid": {2**63}'),
            'line 2.*OverflowError',
        ),
        (Otto, 'train.jsonl', EVENTS.encode() + b'\xff', 'line 2 is not'),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"aid": 1', '"aid": true'),
            'line 2.*truth value',
        ),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"session": 1', '"session": false'),
            'line 2.*truth value',
        ),
        (SessionLog, 'clicks.csv', '\rs', "one column 'session_id'"),
        (
            SessionLog,
            'clicks.csv',
            'session_id;item_id;time\n1;2;3\n',
            "if ';' stands between its fields, pass it as `delimiter`",
        ),
        (
            SessionLog,
            'clicks.csv',
            f'session_id,item_id,time,{"x" * 200_000}\n1,2,3,4\n',
            'field larger than field limit',
        ),
        (
            SessionLog,
            'clicks.csv',
            b'session_id,item_id,time\n1,2,3\n1,\xe9,4\n',
            'Row #3.*invalid UTF8',
        ),
        (
            SessionLog,
            'clicks.csv',
            'session_id,item_id,when\n1,2,3',
            r"one column 'time'",
        ),
        (
            SessionLog,
            'clicks.csv',
            'session_id,item_id,time,time\n1,2,3,4\n',
            r"one column 'time'",
        ),
        (
            SessionLog,
            'clicks.csv',
            'session_id,item_id,time\n1,2,3\n1,2,soon\n',
            "Row #3.*'soon'",
        ),
        (
            SessionLog,
            'clicks.csv',
            'session_id,item_id,time\n1,2,3\n1,,3\n',
            'row 3 has no item_id',
        ),
        (
            SessionLog,
            'clicks.csv',
            'session_id,item_id,time\n1,2,nan\n1,2,3\n',
            'click 0 .*time nan',
        ),
        (
            SessionLog,
            'clicks.csv',
            'session_id,item_id,time\n1,2,noon\n',
            "clicks.csv: the first 'time' is 'noon', neither .* column",
        ),
    ],
)
def test_bad_logs(tmp_path, cls, name, text, match):
    write(tmp_path, name, text)
    with pytest.raises(ValueError, match=match) as error:
        cls(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert list((tmp_path / 'processed').iterdir()) == []


@pytest.mark.parametrize(
    'cls, name',
    [
        (Diginetica, 'train-item-views.csv.gz'),
        (Otto, 'train.jsonl.gz'),
        (SessionLog, 'clicks.csv.gz'),
    ],
)
def test_broken_gzip(tmp_path, cls, name):
    write(tmp_path, name, 'x' * 10_000)
    path = tmp_path / 'raw' / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f'cannot read .*{name}'):
        cls(tmp_path)


@pytest.mark.parametrize(
    'cls, kwargs, match',
    [
        (Otto, {}, r'train.jsonl.*kaggle.*raw'),
        (Otto, {'source': 'srgnn'}, r'all_train_seq.*raw'),
        (Diginetica, {'source': 'log'}, r'train-item-views.*codalab.*raw'),
        (YooChoose, {'source': 'log'}, r'yoochoose-clicks.*kaggle.*raw'),
        (SessionLog, {}, r'clicks.csv.*raw'),
    ],
)
def test_logs_are_not_downloaded(tmp_path, cls, kwargs, match):
    with pytest.raises(FileNotFoundError, match=match):
        cls(tmp_path, **kwargs)
    assert list(tmp_path.iterdir()) == []


def test_log_of_another_name(tmp_path):
    write(tmp_path, 'shop.csv', 'session_id,item_id,time\n')
    with pytest.raises(FileNotFoundError, match=r"\['shop.csv'\]; .*`file`"):
        SessionLog(tmp_path)


@pytest.mark.parametrize('package', ['pyarrow', 'orjson'])
def test_missing_package(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    if package == 'pyarrow':
        write(tmp_path, 'train-item-views.csv', VIEWS)
        cls = Diginetica
    else:
        write(tmp_path, 'train.jsonl', EVENTS)
        cls = Otto
    match = rf'{package}; pip install pyg_sessaug\[logs\]'
    with pytest.raises(ImportError, match=match):
        cls(tmp_path)


@pytest.mark.parametrize(
    'code, match',
    [
        ("raise ImportError('pyarrow requires NumPy 2.0')", 'NumPy 2.0'),
        ('import pyarrow_of_another_name', 'of_another_name'),
    ],
)
def test_package_that_cannot_be_imported(tmp_path, monkeypatch, code, match):
    write(tmp_path, 'train-item-views.csv', VIEWS)
    write(tmp_path, 'pyarrow.py', code)
    monkeypatch.syspath_prepend(tmp_path / 'raw')
    for name in [x for x in sys.modules if x.split('.')[0] == 'pyarrow']:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=match):
        Diginetica(tmp_path)


@pytest.mark.parametrize(
    'argument, value',
    [
        ('delimiter', '||'),
        ('delimiter', ''),
        ('delimiter', 'é'),
        ('time_unit', 0),
        ('time_unit', -1.0),
        ('time_unit', float('nan')),
        ('time_unit', float('inf')),
    ],
)
def test_arguments_of_own_logs(tmp_path, argument, value):
    with pytest.raises(ValueError, match=f'SessionLog: `{argument}` must be'):
        SessionLog(tmp_path, **{argument: value})


def test_columns_of_another_type(tmp_path):
    pandas = pytest.importorskip('pandas')
    frame = pandas.DataFrame(
        {'session_id': [1, 1], 'item_id': [1.5, 2.5], 'time': [True, False]}
    )
    (tmp_path / 'raw').mkdir()
    frame.to_parquet(tmp_path / 'raw' / 'clicks.parquet')
    with pytest.raises(ValueError, match=r'clicks.parquet'):
        SessionLog(tmp_path, file='clicks.parquet')


def test_times_that_are_texts_in_parquet(tmp_path):
    pandas = pytest.importorskip('pandas')
    path = tmp_path / 'clicks.parquet'
    table = {'session_id': [1], 'item_id': [2], 'time': ['2024-01-01']}
    pandas.DataFrame(table).to_parquet(path)
    with pytest.raises(ValueError, match=r'got .*string; convert the column'):
        SessionLog(tmp_path, file=path)


def test_lists_in_a_column(tmp_path):
    pandas = pytest.importorskip('pandas')
    path = tmp_path / 'clicks.parquet'
    table = {'session_id': [1, 1], 'item_id': [[2], [3]], 'time': [0, 1]}
    pandas.DataFrame(table).to_parquet(path)
    with pytest.raises(ValueError, match=r'clicks\.parquet: .*list'):
        SessionLog(tmp_path, file=path)
