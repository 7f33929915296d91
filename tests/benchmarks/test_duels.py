import json

import pytest
import torch

from benchmarks import duels
from benchmarks.experiments.datasets import load
from benchmarks.experiments.results import write_ranks

pytestmark = pytest.mark.usefixtures('tiny_sessions')


@pytest.fixture
def run(tmp_path):
    test = load('multimodal', tmp_path, 'test', processed_root=tmp_path)
    ranks = {
        (seed, name): torch.full((len(test),), rank)
        for name, rank in (('good refit', 2), ('bad', 50), ('poor', 4))
        for seed in ((0,) if name == 'poor' else (0, 1))
    }
    write_ranks(str(tmp_path / 'leaderboard-multimodal.json'), ranks)

    def run(*pairs):
        options = ['--dataset', 'multimodal', '--root', str(tmp_path)]
        options += ['--results', str(tmp_path), '--output', str(tmp_path)]
        duels.main([*options, '--pairs', *pairs])
        return json.loads((tmp_path / 'duels-multimodal.json').read_text())

    return run


def test_pairs(run):
    report = run('good refit:bad', 'good refit:poor')
    first, second = report['rows']
    assert first['seeds'] == [0, 1]
    assert second['seeds'] == [0]
    assert first['HR@20']['difference'] == pytest.approx(100)
    assert second['HR@20']['difference'] == 0
    assert second['MRR@20']['difference'] == pytest.approx(25)
    assert first['MRR@20']['p_holm'] >= first['MRR@20']['p']
    assert len(report['table']) == 3


def test_unknown_model(run):
    with pytest.raises(SystemExit, match="no seed has both of 'good:bad'"):
        run('good:bad')
