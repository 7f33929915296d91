import json
from functools import partial

import pytest
import torch

from benchmarks.speed import speed
from benchmarks.speed.memory import measured_apart
from pyg_sessaug.nn.loss.catalogue import is_bf16_native


def allocate(megabytes):
    held = torch.zeros(megabytes, 2**18)  # Not counted.
    return held.size(0), partial(torch.ones, 3 * megabytes, 2**18)


def test_memory_counts_what_the_work_needs():
    used = measured_apart(partial(allocate, 40))
    if used['peak_mb'] is None:
        pytest.skip('this system does not tell the memory of a process')
    assert used['num_items'] == 40
    assert 115 < used['peak_mb'] < 150
    assert used['process_mb'] > 150


def fail():
    raise RuntimeError('on purpose')


def test_memory_of_work_that_fails():
    with pytest.raises(RuntimeError, match='measures memory failed'):
        measured_apart(fail)


def test_report(tmp_path, monkeypatch):
    data = partial(
        speed.MultimodalSessions, tmp_path, num_items=90, num_sessions=400
    )
    monkeypatch.setattr(speed, 'load', lambda root, split='train': data(split))
    monkeypatch.setattr(speed, 'SIZES', [100, 1000])
    # What a process of its own imports knows no patches.
    used = {'num_items': 1000, 'peak_mb': 2, 'process_mb': 3}
    monkeypatch.setattr(speed, 'measured_apart', lambda work: used)
    options = '--steps 2 --tagnn-steps 2 --threads 1 --output'
    speed.main([*options.split(), str(tmp_path / 'out')])
    report = json.loads((tmp_path / 'out' / 'speed.json').read_text())
    precisions = ['float32', 'bf16'][: 1 + is_bf16_native()]
    row = {
        (x['model'], x['precision'], x['part']): x for x in report['records']
    }
    for model in ('srgnn', 'tagnn'):
        for precision in precisions:
            step, floor = (
                row[model, precision, part] for part in ('step', 'floor')
            )
            assert floor['ratio_to_floor'] == 1
            assert step['ratio_to_floor'] == pytest.approx(
                step['median_ms'] / floor['median_ms'], rel=0.01, abs=0.01
            )
            dense = row[model, 'float32', 'dense']['median_ms']
            assert step['ratio_to_dense'] == pytest.approx(
                step['median_ms'] / dense, rel=0.01, abs=0.01
            )
    keys = {'model', 'precision', 'part', 'median_ms', 'ratio_to_floor',
            'ratio_to_dense'}  # fmt: skip
    assert all(keys <= set(x) for x in report['records'])
    assert list(report['step_ms_by_items']['float32']) == ['100', '1000']
    assert len(report['memory']) == 2 * len(precisions) + 1
    table = (tmp_path / 'out' / 'speed.md').read_text()
    assert table.count('\n') == 2 + len(report['records'])
    assert (tmp_path / 'out' / 'step_by_items.png').stat().st_size > 5000
