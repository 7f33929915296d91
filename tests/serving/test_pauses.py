"""Sessions of a table are cut where a training cut them."""

import json
import random

import pandas as pd
import pytest
import torch

from pyg_sessaug import Recommender
from pyg_sessaug.__main__ import main
from pyg_sessaug.datasets import SessionLog
from pyg_sessaug.nn import SRGNN

IDS = list(range(10, 18))
START = 1_700_000_000  # Seconds
GAP = 600


@pytest.fixture
def shop(tmp_path):
    torch.manual_seed(0)
    names = {'session': 'visit', 'item': 'sku', 'time': 'at'}
    about = {'settings': {**names, 'time_unit': 1.0, 'session_gap': GAP}}
    path = str(tmp_path / 'shop.pt')
    model = SRGNN(len(IDS), hidden_channels=4)
    Recommender(model, IDS, torch.arange(len(IDS)), about).save(path)
    return path


def clicks(seed):
    """Rows (visit, sku, seconds), visits mixed, some pauses just at a gap."""
    rng = random.Random(seed)
    rows = []
    for visit in range(12):
        time = START + rng.randrange(1000)
        for _ in range(rng.randrange(1, 9)):
            rows.append((visit, rng.choice(IDS), time))
            time += rng.choice([1, GAP - 1, GAP, GAP + 1, 5000])
    rng.shuffle(rows)
    return rows


def last_parts(rows, gap):
    """The items after the last pause of each visit, and clicks before it."""
    parts, earlier = {}, 0
    for visit, item, time in sorted(rows, key=lambda x: x[2]):
        items, before = parts.get(visit, ([], time))
        if time - before > gap:
            earlier += len(items)
            items = []
        parts[visit] = [*items, item], time
    first = dict.fromkeys(visit for visit, *_ in rows)
    return {visit: parts[visit][0] for visit in first}, earlier


def answer(shop, frame, tmp_path, *options):
    source, target = tmp_path / 'in.csv', tmp_path / 'out.csv'
    frame.to_csv(source, index=False)
    files = ['--input', str(source), '--output', str(target)]
    main(['recommend', shop, *files, '-k', '2', *options])
    found = pd.read_csv(target)
    return {x: list(y) for x, y in found.groupby('visit', sort=False)['sku']}


def expected(shop, parts):
    recommender = Recommender.load(shop)
    return {x: recommender.recommend(y, 2).items for x, y in parts.items()}


def spelt(frame, kind):
    at = frame['at']
    if kind == 'milliseconds':
        at = at * 1000
    if kind in ('dates', 'digits'):
        at = pd.to_datetime(at, unit='s')
    if kind == 'digits':
        at = at.dt.strftime('%Y%m%d%H%M%S')
    return frame.assign(at=at)


@pytest.mark.parametrize(
    'kind', ['seconds', 'milliseconds', 'dates', 'digits']
)
def test_the_last_part_is_answered(shop, tmp_path, capsys, kind):
    rows = clicks(0)
    frame = spelt(pd.DataFrame(rows, columns=['visit', 'sku', 'at']), kind)
    parts, earlier = last_parts(rows, GAP)
    assert earlier > 5
    assert answer(shop, frame, tmp_path) == expected(shop, parts)
    told = f'{earlier} clicks are of earlier sessions, before a pause'
    assert told in capsys.readouterr().err


def test_another_gap(shop, tmp_path, capsys):
    rows = clicks(1)
    frame = pd.DataFrame(rows, columns=['visit', 'sku', 'at'])
    for gap in ('1', '5000', 'inf'):
        parts, earlier = last_parts(rows, float(gap))
        found = answer(shop, frame, tmp_path, '--session-gap', gap)
        assert found == expected(shop, parts)
        told = 'earlier sessions' in capsys.readouterr().err
        assert told == (earlier > 0) == (gap == '1')
    for bad in ('0', '-1', 'nan', 'x'):
        with pytest.raises(SystemExit):
            answer(shop, frame, tmp_path, '--session-gap', bad)
        assert 'no positive number of seconds' in capsys.readouterr().err


def test_rows_without_an_item_make_no_pause(shop, tmp_path):
    """As in training, where such rows are left out before."""
    rows = [(1, 10, START), (1, None, START + 500), (1, 11, START + 1000)]
    frame = pd.DataFrame(rows, columns=['visit', 'sku', 'at'])
    frame['sku'] = frame['sku'].astype('Int64')
    assert answer(shop, frame, tmp_path) == expected(shop, {1: [11]})


def test_without_times_it_is_told(shop, tmp_path, capsys):
    rows = clicks(2)
    frame = pd.DataFrame(rows, columns=['visit', 'sku', 'at'])
    frame = frame.drop(columns='at')
    parts = {}
    for visit, item, _ in rows:
        parts.setdefault(visit, []).append(item)
    told = 'of the training needs times that are not here'
    assert answer(shop, frame, tmp_path) == expected(shop, parts)
    assert told in capsys.readouterr().err
    with pytest.raises(SystemExit, match="must have one column 'at'"):
        answer(shop, frame, tmp_path, '--session-gap', '5')

    lists = [{'visit': x, 'sku': y, 'at': 5} for x, y in parts.items()]
    text = '\n'.join(map(json.dumps, lists))
    (tmp_path / 'in.jsonl').write_text(text)
    files = [str(tmp_path / x) for x in ('in.jsonl', 'out.csv')]
    main(['recommend', shop, '--input', files[0], '--output', files[1]])
    assert told in capsys.readouterr().err


def test_the_gap_is_that_of_the_training(tmp_path):
    """Sessions of the log and of the table are cut at the same clicks."""
    rows = clicks(3)
    frame = pd.DataFrame(rows, columns=['session_id', 'item_id', 'time'])
    (tmp_path / 'raw').mkdir()
    frame.to_csv(tmp_path / 'raw' / 'clicks.csv', index=False)
    train = SessionLog(
        str(tmp_path),
        session_gap=GAP,
        min_item_clicks=1,
        test_days=0,
        val_ratio=0,
    )
    assert train.settings['session_gap'] == GAP
    ids, sessions = train.item_ids.tolist(), train.flat_sessions
    known = [[ids[i] for i in x] for x in sessions.item.split(
        sessions.length.tolist())]  # fmt: skip
    parts, _ = last_parts(rows, GAP)
    for part in parts.values():
        assert len(part) < 2 or part in known
