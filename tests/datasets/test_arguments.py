"""Options that a recommender's file tells, so that nobody repeats them."""

import json
import random

import pytest
import torch

from pyg_sessaug import Recommender, evaluate
from pyg_sessaug.__main__ import main
from pyg_sessaug.datasets import SessionLog, YooChoose
from pyg_sessaug.nn import SRGNN

DAY = 86_400


@pytest.fixture
def log(tmp_path):
    rng = random.Random(0)
    lines = ['visit;sku;when;kind;event']
    for visit in range(200):
        start = rng.randrange(20) * DAY + rng.randrange(DAY)
        for click in range(rng.randint(2, 7)):
            when = 1000 * (start + 60 * click) + 946_684_800_000
            event = rng.choice(['view', 'view', 'view', 'buy'])
            sku = rng.randrange(12)
            lines.append(f'{visit};{sku};{when};k{sku % 3};{event}')
    path = tmp_path / 'shop' / 'raw' / 'clicks.csv'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(lines))
    return str(path)


COLUMNS = dict(session='visit', item='sku', time='when', delimiter=';')
OPTIONS = [
    dict(test_days=4, seed=3, val_ratio=0.2, category='kind'),
    dict(test_ratio=0.3, max_length=3, time_unit=0.001, fraction=0.5),
    dict(
        test_from='2000-01-16',
        where="event = 'view'",
        val_split='time',
        min_item_clicks=2,
        session_gap=600,
        on_missing='drop',
        drop_duplicates=True,
        min_session_length=3,
        allow_missing_categories=True,
    ),
]


def save(train, path):
    torch.manual_seed(0)
    model = SRGNN(train.num_items, hidden_channels=4)
    Recommender.from_dataset(model, train).save(path)
    return model


def measured(capsys, *argv):
    main(['evaluate', *argv, '--format', 'json', '-k', '3'])
    return json.loads(capsys.readouterr().out)


@pytest.mark.filterwarnings('ignore:when')
@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('split', ['val', 'test'])
def test_evaluate_with_the_options_of_the_training(
    log, tmp_path, capsys, options, split
):
    root = log.removesuffix('/raw/clicks.csv')
    kwargs = {**COLUMNS, **options}
    train = SessionLog(root, **kwargs)
    data = SessionLog(root, split, **kwargs)
    path = str(tmp_path / 'a.pt')
    model = save(train, path)
    found = measured(capsys, path, '--log', log, '--split', split)
    assert found['samples'] == len(data)
    for name, value in evaluate(model, data, 3).items():
        assert found[name] == value


def test_what_is_given_goes_before(log, tmp_path, capsys):
    train = SessionLog(
        log.removesuffix('/raw/clicks.csv'), test_days=4, **COLUMNS
    )
    path = str(tmp_path / 'a.pt')
    save(train, path)
    for argv, match in [
        (['--test-days', '5'], 'test_days=4, not 5'),
        (['--test-ratio', '0.2'], 'test_ratio=None, not 0.2'),
        (['--test-from', '2000-01-16'], "test_from=None, not '2000-01-16'"),
        (['--max-length', '2'], 'max_length=None, not 2'),
        (['--category', 'kind'], "category=None, not 'kind'"),
    ]:
        with pytest.raises(SystemExit, match=match):
            measured(capsys, path, '--log', log, *argv)


def test_the_names_of_yoochoose(tmp_path, capsys):
    rng = random.Random(0)
    lines = []
    for session in range(300):
        for click in range(rng.randint(2, 5)):
            day = f'2014-04-{session // 30 + 1:02}'
            when = f'{day}T10:{click:02}:00.000Z'
            lines.append(f'{session},{when},{rng.randrange(9)},0')
    root = tmp_path / 'yc'
    (root / 'raw').mkdir(parents=True)
    (root / 'raw' / 'yoochoose-clicks.dat').write_text('\n'.join(lines))
    kwargs = dict(part=2, fraction=0.5, max_length=4)
    path = str(tmp_path / 'a.pt')
    model = save(YooChoose(str(root), **kwargs), path)
    test = YooChoose(str(root), 'test', **kwargs)
    known = ['--dataset', 'yoochoose', '--root', str(root)]
    found = measured(capsys, path, *known)
    assert found['samples'] == len(test)
    assert found['HR@3'] == evaluate(model, test, 3)['HR@3']
    with pytest.raises(SystemExit, match=r'newest=0\.5, not 1\.0'):
        measured(capsys, path, *known, '--fraction', '1')


def test_options_of_another_data_set_are_not_taken(log, tmp_path, capsys):
    train = SessionLog(log.removesuffix('/raw/clicks.csv'), **COLUMNS)
    path = str(tmp_path / 'a.pt')
    save(train, path)
    state = torch.load(path)
    state['about']['dataset'] = 'Otto'
    torch.save(state, path)
    with pytest.raises(SystemExit, match="one column 'session_id'"):
        measured(capsys, path, '--log', log)
