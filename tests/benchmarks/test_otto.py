import json

import numpy as np
import pytest

from benchmarks.speed import otto


def test_the_shape_is_that_of_otto(monkeypatch):
    monkeypatch.setattr(otto, 'AT_ONCE', 4000)
    tables = list(otto.generate(0.001, seed=0))
    assert len(tables) == 4
    whole = {k: np.concatenate([x[k] for x in tables]) for k in tables[0]}
    assert whole['item'].size == pytest.approx(216_000, rel=0.1)
    session, length = np.unique(whole['session'], return_counts=True)
    assert session.size == 12_900
    assert length.min() >= 2
    count = np.sort(np.bincount(whole['item'], minlength=1860))[::-1]
    assert count.size == 1860
    rank = np.arange(1, 21)  # Popularity falls about as one over it.
    expected = np.log1p(1 / rank) / np.log(1861)
    assert count[:20] / count.sum() == pytest.approx(expected, rel=0.15)
    assert np.ptp(whole['time']) < 29 * otto.DAY


def test_report(tmp_path, monkeypatch):
    # What a process of its own imports takes long.
    monkeypatch.setattr(otto, 'alone', lambda work, *args: work(*args))
    log = tmp_path / 'log'
    places = ['--log', str(log), '--output', str(tmp_path)]
    few = ['--share', '1e-4', '--steps', '2', '--negatives', '20']
    otto.main([*few, *places])
    written = log / 'raw' / 'train.jsonl'
    before = written.stat()
    report = json.loads((tmp_path / 'otto.json').read_text())
    assert report['sessions'] == 1290
    assert report['prepared']['num_items'] <= 186
    assert report['trained']['steps'] == 2
    assert list(report['table']) == ['prepared', 'trained']
    trained = report['trained']
    assert trained['clicks_per_second'] >= trained['samples_per_second']
    assert str(tmp_path) not in str(report)

    # The log stays for another run, which is not of another log.
    otto.main([*few, *places])
    assert written.stat() == before
    again = json.loads((tmp_path / 'otto.json').read_text())
    assert again['prepared']['clicks'] == report['prepared']['clicks']
    with pytest.raises(SystemExit, match='holds the log of'):
        otto.main([*few, *places, '--seed', '1'])
