"""Sessions from tables of every kind, and tables of answers."""

import gzip
import json
import os

import pandas as pd
import pytest
import torch

from pyg_sessaug import Recommender
from pyg_sessaug.__main__ import main
from pyg_sessaug.nn import SRGNN

ODD = ['red shoes', 'a,b', '5" pipe', '007', '12', '-3', 'ü', 'i7']
INTS = [3, 5, 7, 11, -2, 17, 2**62, 12]
#: Sessions by key, in the order of their first rows; x, y and 99 are unknown.
KEYS = ['s 1', '007', 'ü,"2"', '12.0']


def sessions(ids):
    unknown = 'x' if isinstance(ids[0], str) else 99
    return dict(
        zip(KEYS, [[ids[0], ids[1], ids[0]], [ids[2]], [unknown], ids[3:7]])
    )


def rows(ids):
    """Clicks with the sessions mixed, each in its order."""
    left = {key: list(items) for key, items in sessions(ids).items()}
    table, time = [], 0
    while any(left.values()):
        for key, items in left.items():
            if items:
                time += 60
                table.append((key, items.pop(0), time))
    return table


@pytest.fixture(params=[ODD, INTS], ids=['texts', 'integers'])
def shop(request, tmp_path):
    ids = request.param
    torch.manual_seed(0)
    path = str(tmp_path / 'shop.pt')
    about = {'settings': {'session': 'visit', 'item': 'sku', 'time': 'at'}}
    model = SRGNN(len(ids), hidden_channels=4)
    Recommender(model, ids, torch.arange(len(ids)), about).save(path)
    return path, ids


def expected(path, ids, k=3, **kwargs):
    """Rows of the answer, from the sessions themselves."""
    out = []
    recommender = Recommender.load(path)
    for key, items in sessions(ids).items():
        found = recommender.recommend(items, k, return_scores=True, **kwargs)
        for rank, (item, score) in enumerate(zip(found.items, found.scores)):
            out.append((key, rank + 1, item, score, found.fallback))
    return out


def check(frame, answers):
    assert list(frame) == ['visit', 'rank', 'sku', 'score', 'fallback']
    for row, answer in zip(frame.itertuples(index=False), answers):
        *row, score, fallback = row
        assert tuple(row) == answer[:3]
        assert score == pytest.approx(answer[3], rel=1e-5)
        assert bool(fallback) == answer[4]
    assert len(frame) == len(answers)


def read(path, ids):
    kind = str if isinstance(ids[0], str) else 'int64'
    types = {'visit': str, 'sku': kind}
    path = str(path)
    if path.endswith('.parquet'):
        return pd.read_parquet(path)
    if 'jsonl' in path:
        return pd.read_json(path, lines=True, dtype=types, precise_float=True)
    delimiter = '\t' if '.tsv' in path else ','
    return pd.read_csv(path, dtype=types, sep=delimiter)


def ask(shop, source, target, *options):
    files = ['--input', str(source), '--output', str(target)]
    main(['recommend', shop, *files, '-k', '3', *options])


@pytest.mark.parametrize('ending', ['csv', 'tsv', 'parquet', 'jsonl'])
def test_a_row_for_each_click(shop, tmp_path, capsys, ending):
    path, ids = shop
    frame = pd.DataFrame(rows(ids), columns=['visit', 'sku', 'at'])
    frame['more'] = 'ignored'
    source, target = tmp_path / f'in.{ending}', tmp_path / f'out.{ending}'
    if ending == 'parquet':
        frame.to_parquet(source)
    elif ending == 'jsonl':
        frame.to_json(source, orient='records', lines=True)
    else:
        frame.to_csv(source, index=False, sep='\t' if ending == 'tsv' else ',')
    ask(path, source, target)
    check(read(target, ids), expected(path, ids))
    unknown = "'x'" if ids is ODD else '99'
    assert capsys.readouterr().err == (
        f'4 sessions answered; 1 clicks left out, on unknown items such as '
        f'{unknown}; 1 sessions have no known item: the most popular ones\n'
    )
    names = sorted(os.listdir(tmp_path))
    assert names == sorted(['shop.pt', source.name, target.name])


@pytest.mark.parametrize('kind', ['parquet', 'jsonl'])
def test_a_list_in_each_row(shop, tmp_path, kind):
    path, ids = shop
    lists = sessions(ids)
    source, target = tmp_path / f'in.{kind}', tmp_path / 'out.csv'
    frame = pd.DataFrame({'visit': lists.keys(), 'sku': lists.values()})
    if kind == 'parquet':
        frame.to_parquet(source)
    else:
        frame.to_json(source, orient='records', lines=True)
    ask(path, source, target)
    check(read(target, ids), expected(path, ids))


def test_times_order_clicks_where_there_are_some(tmp_path, shop):
    path, ids = shop
    frame = pd.DataFrame(rows(ids), columns=['visit', 'sku', 'at'])
    frame['at'] = pd.to_datetime(frame['at'], unit='s', origin='2026-01-01')
    mixed = frame.iloc[[1, 0, *range(len(frame) - 1, 1, -1)]]
    mixed.to_csv(tmp_path / 'in.csv', index=False)
    target = tmp_path / 'out.parquet'
    ask(path, tmp_path / 'in.csv', target)
    answers = {key: [] for key in ('007', 's 1', '12.0', 'ü,"2"')}
    for answer in expected(path, ids):
        answers[answer[0]].append(answer)
    check(read(target, ids), [x for y in answers.values() for x in y])

    # By rows otherwise; a column that was asked for must be there.
    frame.drop(columns='at').to_csv(tmp_path / 'in.csv', index=False)
    ask(path, tmp_path / 'in.csv', target)
    check(read(target, ids), expected(path, ids))
    with pytest.raises(SystemExit, match="must have one column 'at'"):
        ask(path, tmp_path / 'in.csv', target, '--time', 'at')


def test_options_are_those_of_lines(shop, tmp_path):
    path, ids = shop
    frame = pd.DataFrame(rows(ids), columns=['who', 'what', 'at'])
    source, target = tmp_path / 'in.csv.gz', tmp_path / 'new' / 'out.jsonl.gz'
    with gzip.open(source, 'wt') as f:
        frame.to_csv(f, index=False, sep=';')
    names = ['--session', 'who', '--item', 'what', '--delimiter', ';']
    ask(path, source, target, *names, '--block', str(ids[7]))
    lines = [json.loads(x) for x in gzip.open(target, 'rt')]
    found = [(x['who'], x['rank'], x['what']) for x in lines]
    answers = expected(path, ids, block=[ids[7]])
    assert found == [x[:3] for x in answers]


def test_keys_keep_their_type(shop, tmp_path):
    path, ids = shop
    time = pd.Timestamp('2026-01-31T12:00:00')
    frame = pd.DataFrame({'visit': [time, time], 'sku': ids[:2]})
    frame.to_parquet(tmp_path / 'in.parquet')
    ask(path, tmp_path / 'in.parquet', tmp_path / 'out.parquet')
    out = pd.read_parquet(tmp_path / 'out.parquet')
    assert set(out['visit']) == {time}
    assert len(out) == 3


def test_rows_without_an_item_are_told(shop, tmp_path, capsys):
    path, ids = shop
    text = f'visit,sku\na,{ids[7]}\na,\nb, \n'
    (tmp_path / 'in.csv').write_text(text)
    ask(path, tmp_path / 'in.csv', tmp_path / 'out.csv')
    out = read(tmp_path / 'out.csv', ids)
    assert out['visit'].tolist() == ['a'] * 3 + ['b'] * 3
    first = Recommender.load(path).recommend([ids[7]], 3).items
    assert out['sku'].tolist()[:3] == first
    assert out['fallback'].tolist() == [False] * 3 + [True] * 3
    assert '2 rows have no item' in capsys.readouterr().err


@pytest.mark.parametrize(
    'text, match',
    [
        ('visit,sku\n1,2\n,3\n', 'row 3 has no visit'),
        ('visit,sku,at\n1,2,noon\n', 'row 2 has a at that is no time'),
        ('visit,sku,at\n1,2,\n1,3,1.5e9\n', 'row 2 has no at'),
        ('visit,item\n1,2\n', "must have one column 'sku'"),
        ('visit,sku\n1,2,3\n', 'line 2 is no row'),
        ('visit,sku\n', 'has no rows'),
    ],
)
def test_bad_tables(shop, tmp_path, text, match):
    source, target = tmp_path / 'in.csv', tmp_path / 'out.csv'
    source.write_text(text)
    target.write_text('old')
    with pytest.raises(SystemExit, match=match):
        ask(shop[0], source, target)
    assert target.read_text() == 'old'
    assert sorted(os.listdir(tmp_path)) == ['in.csv', 'out.csv', 'shop.pt']


def test_bad_options(shop, tmp_path):
    path, _ = shop
    with pytest.raises(SystemExit, match='belong together'):
        main(['recommend', path, '--input', 'in.csv'])
    with pytest.raises(SystemExit, match='cannot tell what kind of table'):
        ask(path, 'in.csv', tmp_path / 'out.xlsx')
    with pytest.raises(SystemExit, match=r'no file in\.csv; name a table'):
        ask(path, 'in.csv', tmp_path / 'out.csv')
    lines = '{"visit": 1, "sku": [3]}\n{"visit": 2, "sku": 3}\n'
    (tmp_path / 'in.jsonl').write_text(lines)
    with pytest.raises(SystemExit, match='a list in 1 rows, and none in 1'):
        ask(path, tmp_path / 'in.jsonl', tmp_path / 'out.csv')


@pytest.mark.parametrize('ending', ['csv', 'parquet', 'jsonl'])
def test_rows_are_those_of_the_training(shop, tmp_path, capsys, ending):
    path, ids = shop
    recommender = Recommender.load(path)
    settings = {**recommender.about['settings'], 'where': "event = 'view'"}
    recommender.about['settings'] = settings
    recommender.save(path)
    table = []
    for key, item, time in rows(ids):
        table += [(key, item, time, 'view'), (key, ids[7], time, 'buy')]
    table.append(('bought', ids[1], 0, 'buy'))
    frame = pd.DataFrame(table, columns=['visit', 'sku', 'at', 'event'])
    source, target = tmp_path / f'in.{ending}', tmp_path / 'out.csv'

    def write(frame):
        if ending == 'parquet':
            frame.to_parquet(source)
        elif ending == 'jsonl':
            frame.to_json(source, orient='records', lines=True)
        else:
            frame.to_csv(source, index=False)

    write(frame)
    ask(path, source, target)
    check(read(target, ids), expected(path, ids))
    count = f'{len(table) // 2 + 1} rows are left out by `where`'
    said = capsys.readouterr().err
    assert count in said
    assert 'no time' not in said
    assert '1 sessions have no other rows, and no answer' in said
    ask(path, source, target, '--where', 'true')
    assert len(read(target, ids)) == 5 * 3
    assert 'where' not in capsys.readouterr().err

    # Where there is no such column, all rows count, and it is said.
    write(frame[frame.event == 'view'].drop(columns='event'))
    ask(path, source, target)
    check(read(target, ids), expected(path, ids))
    assert 'columns that are not here' in capsys.readouterr().err
    write(frame[frame.event == 'view'].drop(columns=['event', 'at']))
    ask(path, source, target)
    assert f'{len(table) // 2} rows have no time' in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r'is a folder; name a file in it'):
        ask(path, tmp_path, target)
    with pytest.raises(SystemExit, match=r"--where .*the columns are \['vis"):
        ask(path, source, target, '--where', "event = 'view'")
