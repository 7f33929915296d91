import json

import pytest
import torch

from pyg_sessaug import Recommender
from pyg_sessaug.__main__ import main
from pyg_sessaug.counts import VSKNN
from pyg_sessaug.data.graphs import list_batch
from pyg_sessaug.datasets import SessionLog

CLICKS = [
    (session, (session + click * (1 + session % 2)) % 9, 86_400 * session)
    for session in range(60)
    for click in range(2 + session % 3)
]


@pytest.fixture(scope='module')
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp('shop') / 'raw' / 'clicks.csv'
    path.parent.mkdir()
    lines = ['session_id,item_id,time']
    lines += [
        f'{s},sku-{i},{t + n}' for n, (s, i, t) in enumerate(CLICKS)
    ]  # fmt: skip
    path.write_text('\n'.join(lines))
    return str(path)


@pytest.mark.parametrize('name', ['vsknn', 'covisits'])
def test_counts_by_command(log, tmp_path, capsys, name):
    path = str(tmp_path / 'counts.pt')
    words = ['train', '--log', log, '--model', name, '--output', path]
    main([*words, '--quiet'])
    assert capsys.readouterr().out == f'Written to {path}\n'
    main(['evaluate', path, '--log', log, '-k', '2', '--format', 'json'])
    assert json.loads(capsys.readouterr().out)['HR@2'] > 0
    main(['recommend', path, 'sku-3', '-k', '2'])
    assert 'sku-' in capsys.readouterr().out


def test_of_several_processes_one_counts(log, tmp_path, monkeypatch):
    monkeypatch.setattr('pyg_sessaug.commands.rank', lambda: 1)
    path = tmp_path / 'counts.pt'
    words = ['train', '--log', log, '--model', 'vsknn', '--quiet']
    main([*words, '--output', str(path)])
    assert not path.exists()


def test_in_all_training_sessions(log, tmp_path):
    """Those of validation too: nothing is chosen by them."""
    path = str(tmp_path / 'counts.pt')
    words = ['train', '--log', log, '--model', 'vsknn', '--set', 'k=7']
    main([*words, '--output', path])
    root = str(log).rsplit('/raw/', 1)[0]
    everything = SessionLog(root, 'train', val_ratio=0.0)
    expected = VSKNN(everything.num_items, k=7).fit(everything)
    model = Recommender.load(path).model
    assert model.k == 7
    batch = list_batch([[1, 2], [4]])
    assert torch.equal(model.score(batch), expected.score(batch))
    assert model.score(batch).count_nonzero() > 0
    with pytest.raises(SystemExit, match='on --split test'):
        main(['evaluate', path, '--log', log, '--split', 'val'])


@pytest.mark.parametrize(
    'words',
    [
        '--epochs 3',
        '--weight-decay 0',
        '--patience 2',
        '--preset best',
        '--augment blur',
        '--hidden 4',
    ],
)
def test_nothing_is_trained(log, tmp_path, words):
    path = tmp_path / 'counts.pt'
    words = ['--log', log, '--model', 'vsknn', *words.split()]
    with pytest.raises(SystemExit, match='is not trained; drop'):
        main(['train', *words, '--output', str(path)])
    assert not path.exists()


def test_sessions_of_one_click(tmp_path):
    lines = [f'{n},sku-{n % 9},{86_400 * n}' for n in range(90)]
    path = tmp_path / 'clicks.csv'
    path.write_text('\n'.join(['session_id,item_id,time', *lines]))
    with pytest.raises(SystemExit, match='none of 90 sessions has 2 clicks'):
        main(['train', '--log', str(path), '--model', 'vsknn'])
