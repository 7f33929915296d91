import json
from functools import partial

import pytest
import torch

from benchmarks.experiments import datasets
from benchmarks.experiments.results import load_ranks
from benchmarks.studies import edges
from pyg_sessaug.datasets import MultimodalSessions

SMALL = '--models niser --epochs 1 --hidden 4 --fraction 0.5'.split()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Calls the script on generated sessions, which have no times."""
    data = partial(MultimodalSessions, num_sessions=300, num_items=30)
    monkeypatch.setitem(datasets.DATASETS, 'multimodal', data)

    def run(*argv):
        root, runs = str(tmp_path / 'data'), str(tmp_path / 'runs')
        words = ['--dataset', 'multimodal', '--root', root, '--runs', runs]
        edges.main([*words, *SMALL, *argv])
        return json.loads((tmp_path / 'runs' / 'edges.json').read_text())

    return run


def test_rows_beside_base_and_control(run, tmp_path, monkeypatch):
    words = ['--seeds', '0', '--methods', 'base', 'covisit-weight']
    found = run(*words, '--bound')
    rows = {x['method']: x for x in found['rows']}
    gains = {x['method']: x for x in found['gains']}
    assert set(rows) == {
        'base', 'covisit-weight', 'covisit-weight-shuffled',
        'bound', 'bound without target', 'one draw',
    }  # fmt: skip
    beside = str(tmp_path / 'runs' / 'edges-multimodal-0.5.json')
    ranks = {name: x for (_, name), x in load_ranks(beside).items()}
    hits = {x: 100 * float((y <= 20).float().mean()) for x, y in ranks.items()}
    for method, row in rows.items():
        assert row['HR@20'] == pytest.approx(hits[f'niser {method}'])
    mean, low, high = gains['covisit-weight']['HR@20 over control']
    assert low <= mean <= high
    control = hits['niser covisit-weight-shuffled']
    assert mean == pytest.approx(hits['niser covisit-weight'] - control)
    assert gains['base']['HR@20 over base'] is None
    # The best of several draws is never below one of them.
    best, sure, one = (
        ranks[f'niser {x}']
        for x in ('bound', 'bound without target', 'one draw')
    )
    assert bool((best <= one).all() & (best <= sure).all())
    assert bool((best < one).any())
    assert len(found['table']['multimodal']) == 1 + 6
    # What is there is not made again.
    with monkeypatch.context() as patch:
        patch.setattr(edges, 'train', None)
        assert run(*words, '--bound') == found

    # Of several seeds the mean is compared, where all have both.
    words[1:1] = ['1']
    found = run(*words[:2], '--methods', 'base', 'covisit-weight')
    ranks = load_ranks(beside)
    mine, base = (
        torch.stack([ranks[x, f'niser {name}'] for x in (0, 1)])
        for name in ('covisit-weight', 'base')
    )
    apart = (mine <= 20).double() - (base <= 20).double()
    gains = {x['method']: x for x in found['gains']}
    got = gains['covisit-weight']
    assert got['seeds'] == [0, 1]
    assert got['HR@20 over base'][0] == pytest.approx(
        100 * float(apart.mean())
    )
    assert gains['bound']['seeds'] == [0]
    assert gains['bound']['HR@20 over base'] is not None


def test_two_modes_beside_their_control(run):
    methods = ['--methods', 'base', 'two-modes']
    # Of NISER there are none.
    found = run('--models', 'niser', 'srgnn-plus', '--seeds', '0', *methods)
    names = [(x['model'], x['method']) for x in found['rows']]
    assert names == [
        ('niser', 'base'),
        ('srgnn-plus', 'base'),
        ('srgnn-plus', 'two-modes'),
        ('srgnn-plus', 'two-modes-shuffled'),
    ]
    assert found['gains'][2]['HR@20 over control'] is not None


def test_what_all_older_sessions_know(run):
    methods = ['covisit-context', 'neighbor-context', 'time-buckets']
    found = run('--older', '--seeds', '1', '--methods', *methods)
    # Without times there are no buckets.
    names = [x['method'] for x in found['rows']]
    assert names == [
        'covisit-context', 'covisit-context-shuffled',
        'neighbor-context', 'neighbor-context-shuffled',
    ]  # fmt: skip
    assert all(x['older'] for x in found['rows'])


def test_sessions_are_numbered_among_all(tmp_path):
    whole = MultimodalSessions(tmp_path, num_sessions=100, num_items=20)
    part = MultimodalSessions(
        tmp_path, num_sessions=100, num_items=20, fraction=0.4, val_ratio=0.0
    )
    with pytest.raises(ValueError, match='leave --older'):
        edges.check_newest(part, whole)
    batch = part.get_batch(torch.arange(3))
    session = batch.session.clone()
    out = edges.Renumbered(7)(batch)
    assert torch.equal(out.session, session + 7)
