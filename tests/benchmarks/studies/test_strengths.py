from itertools import pairwise

import pytest
import torch

from benchmarks.experiments.results import write_ranks
from benchmarks.studies import strengths


@pytest.fixture
def folder(tmp_path, tiny_data):
    """Ranks by a rule: only targets clicked before are found, and third."""
    test = tiny_data(tmp_path, 'test')
    items = test.flat_sessions.item.tolist()
    start = test.flat_sessions.ptr.tolist()
    rank = []
    for begin, end in pairwise(start):
        for i in range(begin + 1, end):
            rank.append(3 if items[i] in items[begin:i] else 50)
    rank = torch.tensor(rank)
    for file, method in strengths.METHODS.values():
        path = str(tmp_path / f'{file.format("multimodal")}.json')
        write_ranks(path, {(0, x): rank for x in ('other', method)})
    methods = {(0, x): rank for _, x in strengths.METHODS.values()}
    write_ranks(str(tmp_path / 'leaderboard-multimodal.json'), methods)
    return tmp_path, rank


def test_study(run_study, folder):
    path, rank = folder
    results = run_study(
        strengths, '--results', str(path), name='strengths_multimodal'
    )
    groups = {(x['by'], x['group']): x for x in results['groups']}
    seen = groups['seen', 'clicked before']
    for method in strengths.METHODS:
        assert seen[method]['HR@20'] == 100
        assert seen[method]['MRR@20'] == pytest.approx(100 / 3)
        assert groups['seen', 'new'][method]['HR@20'] == 0
    assert seen['share'] == pytest.approx(float((rank == 3).float().mean()))
    for kind in strengths.HEADS:
        share = sum(x['share'] for key, x in groups.items() if key[0] == kind)
        assert share == pytest.approx(1)
    first = groups['length', '1']['SRGNN']  # One click, none before it.
    assert first['low'] <= first['HR@20'] <= first['high']
    assert (path / 'strengths_multimodal.png').exists()
    assert len(results['table']) == len(groups) + 1


def test_ranks_are_missing(folder, monkeypatch):
    monkeypatch.setitem(strengths.METHODS, 'blend', ('leaderboard-{}', 'none'))
    with pytest.raises(ValueError, match='no ranks of none with seed 0'):
        strengths.read(str(folder[0]), 'multimodal')
