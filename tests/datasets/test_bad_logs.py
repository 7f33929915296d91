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
            "row 3 of .*itemId 'x2' is no 64-bit integer",
        ),
        (
            Diginetica,
            'train-item-views.csv',
            VIEWS + '1;NA;2;3;2016-01-01\n1;NA;2;3;2016-02-30\n',
            "row 3 of .*eventdate '2016-02-30' is neither",
        ),
        (
            Diginetica,
            'train-item-views.csv',
            VIEWS + '1;NA;2;3;2016-01-01\n1;NA;2;;2016-01-01\n',
            r'has no timeframe \(row 3 of .*get the file again',
        ),
        (
            Diginetica,
            'train-item-views.csv',
            VIEWS + '1;NA;2;3;2016-01-01\n1;NA;2\n',
            r'line 3 is no row \(missing columns: .* 5 Found: 3',
        ),
        (YooChoose, 'yoochoose-clicks.dat', '', 'no clicks'),
        (
            YooChoose,
            'yoochoose-clicks.dat',
            CLICK + CLICK.replace('T10:', 'T25:'),
            "row 2 of .*'2014-04-07T25:51:09.277Z'",
        ),
        (
            YooChoose,
            'yoochoose-clicks.dat',
            CLICK + CLICK.replace('214536502', str(2**63)),
            f"row 2 of .*'{2**63}' is no 64-bit integer",
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
            'line 3 is no row.*not utf-8',
        ),
        (Otto, 'train.jsonl', '', 'no events'),
        (Otto, 'train.jsonl', EVENTS + '{"session', 'line 2 is not'),
        (Otto, 'train.jsonl', EVENTS + '{"session": 1}', 'line 2.*events'),
        (Otto, 'train.jsonl', EVENTS + '[1]', 'line 2 is not'),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"type"', '"kind"'),
            'line 2 is not',
        ),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"aid": 1', '"aid": "x"'),
            'line 2 is not.*64-bit integers',
        ),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"ts": 2', '"ts": 2.5'),
            'line 2 is not.*64-bit integers',
        ),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"aid": 1', f'"aid": {2**63}'),
            'line 2 is not.*64-bit integers',
        ),
        (Otto, 'train.jsonl', EVENTS.encode() + b'\xff', 'line 2 is not'),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('clicks', 'views'),
            "line 2 has an event of type 'views', which is none of .*carts",
        ),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"clicks"', '7'),
            "line 2 has an event of type '7'",
        ),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"aid": 1', '"aid": true'),
            'line 2 is not.*64-bit integers',
        ),
        (
            Otto,
            'train.jsonl',
            EVENTS + EVENTS.replace('"session": 1', '"session": false'),
            'line 2 is not.*64-bit integers',
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
            'line 3 is no row.*not utf-8',
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
            "row 3 of .*'soon' is neither .* like the others",
        ),
        (
            SessionLog,
            'clicks.csv',
            'session_id,item_id,time\n1,2,3\n1,,3\n',
            r'1 row has no item_id \(row 3 of .*--on-missing drop',
        ),
        (
            SessionLog,
            'clicks.csv',
            'session_id,item_id,time\n1,2,nan\n1,2,3\n',
            'a placeholder as time .row 2',
        ),
        (
            SessionLog,
            'clicks.csv',
            'session_id,item_id,time\n1,2,noon\n',
            "row 2 of .*csv: time 'noon' is neither .*--time-format",
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


def test_lists_in_a_column(tmp_path):
    pandas = pytest.importorskip('pandas')
    path = tmp_path / 'clicks.parquet'
    table = {'session_id': [1, 1], 'item_id': [[2], [3]], 'time': [0, 1]}
    pandas.DataFrame(table).to_parquet(path)
    with pytest.raises(
        ValueError, match=r"\.parquet: .*'item_id' is of type BIGINT\[\]"
    ):
        SessionLog(tmp_path, file=path)
