"""A few hundred of the cases that `soak_fuzz.py` has thousands of."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'benchmarks'))
import _fuzz_files
import _fuzz_logs
import soak_fuzz

ALWAYS_READ = ('standard input', 'long sessions')


@pytest.mark.parametrize('name', list(soak_fuzz.TARGETS))
def test_target(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes = soak_fuzz.fuzz(name, 40)
    assert outcomes.total() >= 30
    assert outcomes['read'] > 0
    assert outcomes['refused'] > 0 or name in ALWAYS_READ


def test_faults_are_found(tmp_path, monkeypatch):
    """With another order of equal times, or without a message."""
    monkeypatch.chdir(tmp_path)
    real = _fuzz_logs.preprocess

    def reverse(rows, **kwargs):
        return [[x[::-1] for x in split] for split in real(rows, **kwargs)]

    monkeypatch.setattr(_fuzz_logs, 'preprocess', reverse)
    with pytest.raises(_fuzz_logs.Wrong, match=r'read .*, expected'):
        soak_fuzz.fuzz('sound logs', 100, shrink=False)

    for kind in _fuzz_files.saved():  # Kept, so that it does not crash.
        _fuzz_files.read_whole(kind)

    def crash(*args):
        raise ValueError('something')

    monkeypatch.setattr('pyg_sessaug.clusters.item_clusters.load_state', crash)
    with pytest.raises(_fuzz_logs.Wrong, match='names no file: something'):
        soak_fuzz.fuzz('damaged files', 100, shrink=False)


class Threads(ThreadPoolExecutor):
    """One after another, in this process."""

    def __init__(self, *args):
        super().__init__(1)


def test_main(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    targets = ['--targets', 'pickles', 'raw ids']
    monkeypatch.setattr(soak_fuzz, 'ProcessPoolExecutor', Threads)
    soak_fuzz.main(['--cases', '5', *targets, '--output', str(tmp_path)])
    result = json.loads((tmp_path / 'soak_fuzz.json').read_text())
    assert result['cases'] == 10
    assert list(result['targets']) == ['pickles', 'raw ids']
