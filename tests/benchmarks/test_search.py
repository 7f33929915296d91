import json
import re
import shlex

import pytest
import torch

from benchmarks import run, search

pytestmark = pytest.mark.usefixtures('tiny_sessions')


def test_best_of_validation_and_its_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(search.PLAIN, 'dropout', [0.0])
    monkeypatch.setitem(search.WEIGHTED, 'num-clusters', [4])
    options = ['--hidden', '8', '--epochs', '1', '--lr', '0.02']
    command = [*options, '--candidates', '4', '--output', str(tmp_path)]
    search.main(command)
    found = json.loads((tmp_path / 'search.json').read_text())
    assert not any(str(tmp_path) in str(x) for x in found.items())
    assert found['search']['hidden'] == 8
    plain, augmented = found['candidates'][:3], found['candidates'][3:]
    assert [x['method'] for x in plain] == ['base'] * 3
    assert len(augmented) == 6 + 2 + 4
    for i, row in enumerate(augmented[:6]):
        assert row['method'] == ['inject', 'inject-same'][i // 3]
        assert row['setting']['inject-p'] == [0.25, 0.5, 1.0][i % 3]
    # The best of them once more, annealed.
    best = max(augmented[:6], key=lambda x: x['MRR@20'])
    for row, epochs in zip(augmented[6:8], (5, 10)):
        assert row['method'] == best['method']
        assert row['setting'] == {**best['setting'], 'anneal': epochs}
    # Metrics are those of validation; no run has seen the test set.
    best = max(plain, key=lambda x: x['MRR@20'])
    decay = best['setting']['weight-decay']
    path = tmp_path / f'base-{decay:g}-0' / 'models' / 'seed0-base.val.pt'
    rank = torch.load(path)['rank'].double()
    mrr = 100 * float(((rank <= 20) / rank).mean())
    assert best['MRR@20'] == pytest.approx(mrr)
    for row in augmented:
        assert row['setting']['weight-decay'] == decay
    # The line at the end names the best, and run.py takes it.
    line = re.search(r'python benchmarks/run.py (.*)', capsys.readouterr().out)
    best = max(augmented, key=lambda x: x['MRR@20'])
    args = run.parse_args(shlex.split(line[1]))
    assert [x.name for x in args.methods] == ['base', best['method']]
    assert args.seeds == [1, 2, 3, 4, 5]  # Not the seed of the search.
    for name in ('inject-p', 'blur-std', 'edge-power', 'anneal'):
        value = getattr(args, name.replace('-', '_'))
        assert value == best['setting'].get(name)
    assert args.weight_decay == decay

    # A second call trains nothing again.
    monkeypatch.setattr('pyg_sessaug.training.augmented.fit', None)
    search.main(command)
    assert json.loads((tmp_path / 'search.json').read_text()) == found


def test_unknown_options_of_run(capsys):
    with pytest.raises(SystemExit):
        search.main(['--no-such-option'])
    assert 'no-such-option' in capsys.readouterr().err


@pytest.mark.parametrize('dataset', ['diginetica', 'yoochoose_100k'])
def test_defaults_of_other_data_sets_are_not_set_by_hand(dataset):
    options = ['--dataset', dataset, '--fraction', '0.0625']
    args, left = search.parse_args([*options, '--candidates', '6'])
    assert args.candidates == 6
    assert left == options


@pytest.mark.parametrize('option', ['--weight-decay', '--blur-p', '--seeds'])
def test_options_that_the_search_sets(option, capsys):
    with pytest.raises(SystemExit):
        search.main([option, '1'])
    assert f'{option} is what the search sets' in capsys.readouterr().err
