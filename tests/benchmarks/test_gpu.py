import json

import pytest
import torch
from torch_geometric.testing import withCUDA

from benchmarks.speed import gpu


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('gpu')


def options(folder, *more):
    size = ['--size', '60', '300', '--items', '200', '--data', str(folder)]
    few = ['--steps', '2', '--rounds', '1']
    return [*size, *few, '--output', str(folder), *more]


def run(folder, *more):
    gpu.main(options(folder, *more))
    return json.loads((folder / 'gpu.json').read_text())


def test_all_parts_run_on_a_cpu(folder):
    before = torch.get_float32_matmul_precision()
    report = run(folder, '--device', 'cpu')
    assert torch.get_float32_matmul_precision() == before
    kinds = [(x['model'], x['kind']) for x in report['steps']]
    assert kinds == [(x, y) for x in gpu.MODELS for y in gpu.KINDS]
    for row in report['steps']:
        ratio = row['step_ms'] / row['floor_ms']
        assert row['ratio'] == pytest.approx(ratio, rel=0.01)
    assert [x['kind'] for x in report['epochs']] == ['float32', 'tf32']
    assert {x['model'] for x in report['evaluations']} == set(gpu.MODELS)
    assert [x['items'] for x in report['large']] == [200] * 3
    assert report['waits'] == []  # Only CUDA tells.
    assert list(report['table']) == ['steps', 'epochs', 'evaluation', 'large']
    assert '| srgnn-plus | bf16' in (folder / 'gpu.md').read_text()
    assert str(folder) not in str(report)


def test_the_generated_log_has_all_items_and_the_sessions(folder):
    args = gpu.parse(options(folder))
    splits = [gpu.load(args, x) for x in ('train', 'val', 'test')]
    assert splits[0].num_items <= 60
    assert sum(x.sessions for x in splits) == pytest.approx(300, abs=5)
    clicks = torch.bincount(splits[0].flat_sessions.item).sort()[0]
    assert clicks[-1] > 5 * clicks[len(clicks) // 2]  # Popular and rare


def test_a_step_trains(folder):
    data = gpu.load(gpu.parse(options(folder)), 'train')
    torch.manual_seed(0)
    step = gpu.Step('srgnn', data.num_items, 'float32', torch.device('cpu'))
    (batch,) = gpu.draw(data.get_batch, len(data), 1)
    before = float(step.loss(batch).detach())
    for _ in range(20):
        step(batch)
    assert float(step.loss(batch).detach()) < before


@withCUDA
def test_a_step_waits_once_at_most(folder, device):
    if device.type == 'cpu':
        pytest.skip('only CUDA tells')
    report = run(folder, '--device', str(device))
    assert all(x['per_step'] <= 1 for x in report['waits'])
