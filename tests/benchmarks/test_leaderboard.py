import json
from types import SimpleNamespace

import pytest
import torch

from benchmarks import leaderboard
from benchmarks.experiments.board import METRICS, front
from benchmarks.experiments.datasets import load
from benchmarks.experiments.results import load_ranks
from pyg_sessaug import evaluate
from pyg_sessaug.counts import CoVisits
from pyg_sessaug.metrics import ranking_metrics

pytestmark = pytest.mark.usefixtures('tiny_sessions')
DATA = ['--dataset', 'multimodal']
SMALL = ['epochs=2', 'hidden_channels=4']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('board')


@pytest.fixture
def run(folder, monkeypatch):
    """Calls the script; rows of a search are where rows look for them."""
    monkeypatch.setattr(leaderboard, 'SEARCH', f'{folder}/search.json')
    tried = [{'epochs': 1, 'scale': 4.0}, {'epochs': 2, 'scale': 4.0}]
    monkeypatch.setitem(leaderboard.CANDIDATES, 'srgnn-plus', tried)
    counts = [{'repeat': 1.0}, {'repeat': 3.0}]
    monkeypatch.setitem(leaderboard.CANDIDATES, 'covisits', counts)
    members = {'members': ['srgnn-plus', 'covisits']}
    monkeypatch.setitem(leaderboard.COMPOSED, 'blend', members)
    members = {'members': ['srgnn-plus', 'srgnn-plus:1']}
    monkeypatch.setitem(leaderboard.COMPOSED, 'blend-seeds', members)
    members = {'members': ['srgnn-plus-context', 'srgnn-plus', 'covisits']}
    monkeypatch.setitem(leaderboard.COMPOSED, 'blend-both', members)

    def run(*argv, output='board.json'):
        root = ['--root', str(folder / 'data'), '--runs', str(folder)]
        path = folder / output
        leaderboard.main([*DATA, *root, '--output', str(path), *argv])
        return json.loads(path.read_text())

    if not (folder / 'search.json').exists():  # Whichever test is first.
        search = ['--search', '--models', 'srgnn-plus', 'covisits']
        run(*search, '--fraction', '1', output='search.json')
    return run


def test_search_then_rows(run, folder, monkeypatch):
    models = ['--models', 'srgnn-plus', 'covisits']
    found = run('--search', *models, '--fraction', '1', output='search.json')
    assert [x['model'] for x in found['rows']].count('covisits') == 2
    assert len(found['rows']) == 4
    best = max(
        (x for x in found['rows'] if x['model'] == 'srgnn-plus'),
        key=lambda x: x['NDCG@20'],
    )
    # What was tried is not tried again.
    monkeypatch.setattr(leaderboard, 'train', None)
    again = run('--search', *models, '--fraction', '1', output='search.json')
    assert again == found
    monkeypatch.undo()

    monkeypatch.setattr(leaderboard, 'SEARCH', f'{folder}/search.json')
    board = run(*models)
    rows = {x['model']: x for x in board['rows']}
    assert rows['srgnn-plus']['settings'] == best['settings']
    assert rows['srgnn-plus']['epochs'] in (1, 2)
    for row in rows.values():
        assert row['low'] <= row['HR@20'] <= row['high']
        assert not row['refit']
    assert rows['covisits']['parameters'] == 0

    # By hand:
    data = [
        load('multimodal', folder / 'data', x, processed_root=folder / 'data')
        for x in ('train', 'test')
    ]
    counts = CoVisits(data[0].num_items, **rows['covisits']['settings'])
    expected = evaluate(counts.fit(data[0]), data[1])
    for name in METRICS:
        assert rows['covisits'][name] == pytest.approx(100 * expected[name])
    ranks = load_ranks(str(folder / 'board-multimodal.json'))
    assert ranking_metrics(ranks[0, 'covisits'])['HR@20'] == pytest.approx(
        rows['covisits']['HR@20'] / 100
    )


def test_refit_and_blend(run):
    board = run('--models', 'srgnn-plus-repeats', 'blend', 'srgnn-plus')
    again = run('--models', 'srgnn-plus', 'blend', '--refit')
    rows = {(x['model'], x['refit']): x for x in again['rows']}
    blend, more = rows['blend', False], rows['blend', True]
    assert blend in board['rows']
    assert more['weights'] == pytest.approx(blend['weights'])
    assert sum(blend['weights']) == pytest.approx(1)
    assert more['minutes'] > blend['minutes']
    # Both were seen by the network and by validation alike.
    assert more['val HR@20'] == blend['val HR@20']
    assert rows['srgnn-plus', True]['HR@20'] > 0
    assert {x[0] for x in rows} == {
        'srgnn-plus', 'covisits', 'srgnn-plus-repeats', 'blend'
    }  # fmt: skip
    assert again['table'].keys() == {'multimodal', 'front'}
    table = again['table']['multimodal']
    assert any('srgnn-plus, refit' in row[0] for row in table)


def test_two_seeds_in_a_blend(run, folder, monkeypatch):
    seeds = ['--seeds', '0', '1']
    board = run('--models', 'srgnn-plus', *seeds, output='two.json')
    found = {x['seed']: x for x in board['rows']}
    trained = []
    train = leaderboard.train

    def told(args, model, seed, *more):
        trained.append((model, seed))
        return train(args, model, seed, *more)

    monkeypatch.setattr(leaderboard, 'train', told)
    board = run('--models', 'blend-seeds', output='two.json')
    assert trained[1:] == [('srgnn-plus', 0), ('srgnn-plus', 1)]
    (row,) = (x for x in board['rows'] if x['model'] == 'blend-seeds')
    assert len(row['weights']) == 2
    # What was trained for the rows is read.
    assert row['minutes'] >= sum(x['minutes'] for x in found.values())
    names = sorted(x.name for x in folder.glob('row-*-srgnn-plus-*.part'))
    assert len(names) == 2


def test_variant_in_a_blend_of_networks(run):
    names = ['srgnn-plus-context', 'srgnn-plus', 'blend-both']
    board = run('--models', *names, '--refit', output='both.json')
    rows = {x['model']: x for x in board['rows']}
    assert rows['srgnn-plus-context']['settings']['context'] == 20
    assert len(rows['blend-both']['weights']) == 3
    minutes = [rows[x]['minutes'] for x in names]
    assert minutes[2] > minutes[0] + minutes[1]


def test_edges_of_other_sessions_and_their_control(run, capsys):
    names = ['srgnn-plus-covisits', 'srgnn-plus-covisits-shuffled']
    board = run('--models', 'srgnn-plus', *names, output='edges.json')
    rows = {x['model']: x for x in board['rows']}
    assert [rows[x]['settings'].get('shuffled') for x in names] == [None, True]
    assert len({x['val MRR@20'] for x in board['rows']}) == 3
    with pytest.raises(SystemExit, match='call without --refit'):
        run('--models', names[0], '--refit', output='edges.json')


def test_no_setting_was_tried(run, capsys):
    with pytest.raises(SystemExit, match='no setting of sasrec was tried'):
        run('--models', 'sasrec', output='none.json')


def test_settings_of_another_data_set(tmp_path, monkeypatch):
    rows = [
        {
            'data': data,
            'model': 'niser',
            'settings': {'scale': scale},
            'fraction': share,
            'NDCG@20': value,
        }
        for data, scale, share, value in [
            ('diginetica', 1.0, 0.125, 30.0),
            ('diginetica', 2.0, 0.5, 20.0),
            ('diginetica', 3.0, 0.5, 10.0),
            ('yoochoose', 4.0, 0.125, 5.0),
        ]
    ]
    other = {**rows[0], 'data': 'yoochoose_100k', 'model': 'lessr'}
    rows.append(other)
    path = tmp_path / 'search.json'
    path.write_text(json.dumps({'rows': rows}))
    monkeypatch.setattr(leaderboard, 'SEARCH', str(path))
    assert leaderboard.chosen('diginetica', 'niser') == {'scale': 2.0}
    assert leaderboard.chosen('otto', 'niser') == {'scale': 2.0}
    assert leaderboard.chosen('diginetica', 'lessr') == {'scale': 1.0}
    assert leaderboard.chosen('yoochoose', 'niser') == {'scale': 4.0}
    monkeypatch.setitem(
        leaderboard.VARIANTS, 'wide', ('niser', {'hidden_channels': 9})
    )
    wide = {'scale': 4.0, 'hidden_channels': 9}
    assert leaderboard.chosen('yoochoose', 'wide') == wide


@pytest.mark.parametrize('count', [512, 2048, 8192])
def test_variants_by_their_negatives(count):
    _, more = leaderboard.VARIANTS[f'srgnn-plus-sampled-{count}']
    assert more == {'loss': 'sampled', 'num_negatives': count}
    assert more.keys() <= leaderboard.FIT


def test_an_option_tried_alone(run):
    words = ['--models', 'niser', '--set', *SMALL]
    found = run('--search', *words, output='options.json')
    (row,) = found['rows']
    assert row['settings'] == {'epochs': 2, 'hidden_channels': 4}


def test_a_setting_of_ones_own(run):
    board = run('--models', 'niser', '--set', *SMALL, output='own.json')
    (row,) = board['rows']
    assert row['settings'] == {'epochs': 2, 'hidden_channels': 4}
    assert row['parameters'] < 2000
    assert torch.isfinite(torch.tensor(row['MRR@20']))


def test_front_table_takes_what_validation_likes():
    def row(model, value, refit=False, **more):
        name = {'data': 'diginetica', 'model': model, 'refit': refit}
        metrics = {'HR@20': value, 'MRR@20': value / 2, 'NDCG@20': value}
        val = {f'val {x}': y for x, y in metrics.items()}
        rest = {'settings': {}, 'minutes': 7.2}
        return {**name, **metrics, **val, **rest, **more}

    found = [
        row('niser', 50.0, refit=True, **{'HR@20': 51.0}),
        row('niser', 50.0),
        row('sasrec', 40.0, **{'HR@20': 90.0}),
        row('srgnn-plus', 45.0, refit=True),
        row('srgnn-plus-shuffled', 60.0, refit=True),
        row('blend', 55.0),
        row('vsknn', 30.0),
    ]
    one, blend = front(found)[1:]
    assert one[2:] == ['51.00 / 25.00 (niser)', '30.00 / 15.00', '7']
    assert blend[2] == '55.00 / 27.50 (blend)'
    assert one[1] == '55.67 / 19.45 (SGNNHN, epoch by test)'


def test_rows_of_run(run, tmp_path):
    settings = {'dataset': 'otto', 'model': 'tagnn', 'precision': 'bf16'}
    runs = [
        {'seed': 0, 'method': method, 'HR@20': 70.0, 'MRR@20': 30.0}
        | {'best_epoch': 4, 'seconds': 120.0, 'commit': 'a'}
        for method in ('base', 'blur')
    ]
    report = {'settings': settings, 'runs': runs, 'metrics': {}}
    path = tmp_path / 'otto-tagnn.json'
    path.write_text(json.dumps({**report, 'environment': {'cpu': 'x'}}))
    board = run('--take', str(path), output='taken.json')
    (row,) = board['rows']
    assert (row['model'], row['minutes'], row['low']) == ('tagnn', 2, None)
    head, line = board['table']['otto']
    assert line[head.index('HR@20 (%)')] == '70.00'
    assert len(board['table']['front']) == 1
    again = run('--take', str(path), output='taken.json')
    assert again['rows'] == board['rows']


def test_counts_draw_nothing_and_seeds_share_a_line(run):
    models = ['--models', 'covisits', 'srgnn-plus']
    board = run(*models, '--seeds', '0', '1', output='seeds.json')
    seeds = {(x['model'], x['seed']): x for x in board['rows']}
    assert set(seeds) == {
        ('covisits', 0), ('srgnn-plus', 0), ('srgnn-plus', 1)
    }  # fmt: skip
    head, *lines = board['table']['multimodal']
    (line,) = [x for x in lines if x[0] == 'srgnn-plus']
    values = [seeds['srgnn-plus', i]['HR@20'] for i in range(2)]
    spread = abs(values[0] - values[1]) / 2**0.5
    text = f'{sum(values) / 2:.2f} ± {spread:.2f}'
    assert line[head.index('HR@20 (%)')] == text
    assert line[head.index('seeds')] == '2'


def test_what_needs_categories_is_left_out_and_said(capsys):
    known = SimpleNamespace(categories=torch.zeros(3))
    models = ['srgnn', 'srgnn-modes', 'blend-modes', 'blend', 'blend-both']
    assert leaderboard.possible(models, known) == models
    assert not capsys.readouterr().out
    left = leaderboard.possible(models, SimpleNamespace(categories=None))
    assert left == ['srgnn', 'blend', 'blend-both']
    out = capsys.readouterr().out
    assert (
        out == 'srgnn-modes blend-modes left out: items have no categories\n'
    )
