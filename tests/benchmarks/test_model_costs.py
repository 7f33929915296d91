import json

import pytest

from benchmarks.speed import model_costs
from pyg_sessaug.registry import MODELS

pytestmark = pytest.mark.usefixtures('tiny_sessions')


def test_each_is_told_by_srgnn(tmp_path):
    options = ['--dataset', 'multimodal', '--root', str(tmp_path)]
    options += ['--output', str(tmp_path), '--rounds', '2', '--batch', '8']
    model_costs.main([*options, '--precision', 'float32'])
    report = json.loads((tmp_path / 'model_costs.json').read_text())
    ratios = report['ratios']
    assert set(MODELS) < set(ratios)
    assert len(report['table']) == len(ratios) + 1
    assert ratios['srgnn']['step'] == ratios['srgnn']['score'] == 1
    for row in ratios.values():
        assert row['step'] > 0
        assert row['score_ms'] > 0
