"""Equal seeds give equal bytes, in every process and after every kill."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info

from pyg_sessaug.clusters import ItemClusters

SOAK = Path(__file__).parents[1] / 'benchmarks' / 'soak_kill.py'
SMALL = '--runs 2 --sessions 150 --hidden 8 --epochs 2 --kills 2'.split()


def soak(output, hash_seed):
    env = {**os.environ, 'PYTHONHASHSEED': hash_seed}
    env['PYTHONPATH'] = os.pathsep.join(sys.path)
    command = [sys.executable, str(SOAK), *SMALL, '--output', str(output)]
    subprocess.run(command, env=env, check=True, capture_output=True)
    result = json.loads((output / 'soak_kill.json').read_text())
    # The script itself compares the runs; kills leave nothing behind.
    assert len(result['runs']) == 2
    assert all(result['runs'])
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in (output / 'run').rglob('*')
        if path.is_file()
    }


@pytest.mark.slow
def test_files_are_equal_in_every_process(tmp_path):
    first, second = (soak(tmp_path / 'soak', seed) for seed in '12')
    assert len(first) == 5  # The log, three splits and a recommender
    assert list(first) == list(second)
    for name in first:
        assert first[name] == second[name]


@pytest.mark.parametrize('method', ['gmm', 'kmeans'])
def test_clusters_are_fitted_by_one_thread(monkeypatch, method):
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    threads = []
    for cls in (KMeans, GaussianMixture):

        def fit(self, points, real=cls.fit):
            threads.extend(x['num_threads'] for x in threadpool_info())
            return real(self, points)

        monkeypatch.setattr(cls, 'fit', fit)
    before = torch.get_num_threads()
    ItemClusters.fit(torch.randn(50, 4), method, 3)
    assert set(threads) == {1}
    assert torch.get_num_threads() == before
