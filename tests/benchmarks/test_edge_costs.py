import json

import pytest

from benchmarks.speed import edge_costs

pytestmark = pytest.mark.usefixtures('tiny_sessions')


def test_each_is_told_by_the_plain_one(tmp_path):
    options = ['--dataset', 'multimodal', '--root', str(tmp_path)]
    options += ['--output', str(tmp_path), '--rounds', '2', '--batch', '8']
    edge_costs.main(options)
    report = json.loads((tmp_path / 'edge_costs.json').read_text())
    ratios = report['ratios']
    assert len(ratios) == len(edge_costs.CASES)
    assert len(report['table']) == len(ratios) + 1
    assert ratios['none']['step'] == ratios['none']['score'] == 1
    for row in ratios.values():
        assert row['step'] > 0
        assert row['score_ms'] > 0
