import json
from functools import partial

import torch

from benchmarks.experiments import datasets
from benchmarks.speed import latency
from pyg_sessaug.datasets import MultimodalSessions


def test_times_what_it_says(tmp_path, monkeypatch):
    data = partial(MultimodalSessions, num_sessions=100, num_items=20)
    monkeypatch.setitem(datasets.DATASETS, 'multimodal', data)
    # Each look at a clock is a second later, at that of the CPU two.
    wall, cpu = iter(range(10**6)), iter(range(0, 10**6, 2))
    monkeypatch.setattr(latency.time, 'perf_counter', lambda: next(wall))
    monkeypatch.setattr(latency.time, 'process_time', lambda: next(cpu))
    calls = []

    def recommend(self, sessions, k=20):
        calls.append((sessions, torch.get_num_threads()))

    monkeypatch.setattr(latency.Recommender, 'recommend', recommend)
    threads = torch.get_num_threads()
    latency.main(
        ['--dataset', 'multimodal', '--models', 'srgnn', '--threads', '1']
        + ['--batch', '8', '--rounds', '3', '--singles', '2']
        + ['--hidden', '4', '--output', str(tmp_path)]
    )
    torch.set_num_threads(threads)
    report = json.loads((tmp_path / 'latency.json').read_text())
    (row,) = report['latency']
    assert (row['sessions'], row['batches']) == (6, 3)
    assert (row['median_ms'], row['p99_ms']) == (1000, 1000)
    assert (row['floor_ms'], row['ratio']) == (1000, 1)
    assert row['median_cpu_ms'] == 2000
    assert row['sessions_per_second'] == 8
    assert row['sessions_per_cpu_second'] == 4
    assert '| srgnn | 1 ' in (tmp_path / 'latency.md').read_text()
    assert str(tmp_path) not in str(report)
    # One batch to warm up; then each batch and two of its sessions.
    sizes = [len(x) if isinstance(x[0], list) else 1 for x, _ in calls]
    assert sizes == [8, *[8, 1, 1] * 3]
    assert calls[2][0] == calls[1][0][0]
    assert {number for _, number in calls} == {1}


def test_prefixes_are_samples_in_raw_ids(tmp_path):
    data = MultimodalSessions(tmp_path, 'test', num_sessions=100, num_items=20)
    samples = {
        tuple(int(data.item_ids[i]) for i in graph.x[graph.click_index])
        for graph in data
    }
    drawn = latency.raw_prefixes(data, 50)
    assert len(drawn) == 50
    assert {tuple(session) for session in drawn} <= samples


def test_times_a_blend_and_cosines():
    blend = latency.make(latency.BLEND, 20, 4)
    assert [type(x).__name__ for x in blend.members] == ['SRGNN', 'SRGNNPlus']
    assert latency.make(latency.COSINE, 20, 4).scale == 12.0
