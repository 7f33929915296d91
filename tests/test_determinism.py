"""Equal seeds give equal bytes, in every process."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from threadpoolctl import threadpool_info

from pyg_sessaug.clusters import ItemClusters
from tests.test_main import QUICK, write


def train(folder, hash_seed):
    """All files of a training in a process of its own."""
    log = write(folder / 'clicks.csv')
    command = [sys.executable, '-m', 'pyg_sessaug', 'train', '--log', log]
    command += ['--output', str(folder / 'model.pt'), '--augment', 'gmm']
    env = {**os.environ, 'PYTHONHASHSEED': hash_seed}
    env['PYTHONPATH'] = os.pathsep.join(sys.path)
    subprocess.run([*command, *QUICK], env=env, check=True)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


@pytest.mark.slow
def test_files_are_equal_in_every_process(tmp_path):
    folder = tmp_path / 'run'  # The same for both: files hold its name.
    first = train(folder, '1')
    assert len(first) == 5  # The log, three splits and a recommender
    shutil.rmtree(folder)
    assert train(folder, '2') == first


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
