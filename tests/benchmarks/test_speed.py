import json
from functools import partial

import pytest
import torch

from benchmarks.speed import speed
from benchmarks.speed.memory import alone, held_mb, peak_mb
from pyg_sessaug.nn.loss.catalogue import is_bf16_native


def allocate(megabytes):
    before = held_mb()
    torch.ones(megabytes, 2**18)
    return peak_mb() - before


def test_memory_counts_what_the_work_needs():
    more_than_a_process_holds = torch.ones(500, 2**18)
    assert 90 < alone(allocate, 120) < 200
    del more_than_a_process_holds


def test_report(tmp_path, monkeypatch):
    data = partial(
        speed.MultimodalSessions, tmp_path, num_items=90, num_sessions=400
    )
    monkeypatch.setattr(speed, 'load', lambda root, split='train': data(split))
    monkeypatch.setattr(speed, 'SIZES', [100, 1000])
    # What a process of its own imports knows no patches.
    monkeypatch.setattr(speed, 'alone', lambda work, *args: work(*args))
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
    sizes = [len(report['table'][x]) for x in ('parts', 'memory', 'sizes')]
    assert sizes == [1 + len(report['records']), 1 + len(report['memory']), 3]
    assert str(tmp_path) not in str(report)
