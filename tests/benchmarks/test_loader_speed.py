import json

import pytest

from benchmarks.speed import loader

pytestmark = pytest.mark.usefixtures('tiny_sessions')


def test_both_are_timed(tmp_path):
    options = ['--dataset', 'multimodal', '--root', str(tmp_path)]
    options += ['--output', str(tmp_path), '--rounds', '2', '--batch', '8']
    loader.main(options)
    report = json.loads((tmp_path / 'loader.json').read_text())
    ours, theirs = report['loaders']
    assert theirs['loader'] == loader.PYG
    assert theirs['ratio'] == 1
    assert ours['ratio'] == pytest.approx(theirs['ms'] / ours['ms'])
    assert len(report['table']) == 3
