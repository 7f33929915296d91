import json

import pytest
import torch

from benchmarks.speed import catalogue
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn.loss.catalogue import is_bf16_native


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    return MultimodalSessions(root, 'train', num_items=90, num_sessions=400)


def test_report(data, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, 'load', lambda root, folder: data)
    # What a process of its own imports knows no patches.
    monkeypatch.setattr(catalogue, 'alone', lambda work, *args: work(*args))
    few = '--steps 2 --rounds 1 --items 3000 --largest 2000 4 --negatives 7'
    places = ['--data', str(tmp_path), '--output', str(tmp_path)]
    catalogue.main([*few.split(), *places])
    report = json.loads((tmp_path / 'catalogue.json').read_text())
    assert [x['batch'] for x in report['batches']] == [100, 200, 400, 800]
    assert report['batches'][0]['ratio'] == 1
    precisions = ['float32', 'bf16'][: 1 + is_bf16_native()]
    assert len(report['floors']) == 3 * len(precisions)
    for row in report['floors']:
        ratio = row['step_ms'] / row['floor_ms']
        assert row['ratio'] == pytest.approx(ratio, rel=0.01)
    assert [x['items'] for x in report['sampled']] == [90, 3000]
    assert report['memory'][0]['steps'] == 40
    names = ['batches', 'floors', 'sampled', 'memory']
    assert list(report['table']) == names
    assert str(tmp_path) not in str(report)


@pytest.mark.parametrize('num_negatives', [None, 20])
def test_a_step_trains(data, num_negatives):
    torch.manual_seed(0)
    step = catalogue.Step(data.get_batch, data.num_items, num_negatives)
    index = torch.arange(100)
    batch = step.transform(data.get_batch(index))
    before = float(step.model.loss(batch).detach())
    for _ in range(20):
        step(index)
    assert float(step.model.loss(batch).detach()) < before
