import json
from functools import partial
from pathlib import Path

import pytest

from benchmarks import run
from benchmarks.experiments import datasets
from pyg_sessaug.datasets import MultimodalSessions


@pytest.fixture(scope='module', autouse=True)
def tiny_data():
    """Makes the generated data set a tiny one."""
    data = partial(
        MultimodalSessions, num_sessions=300, num_items=60, num_modes=4
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.DATASETS, 'multimodal', data)
        yield data


@pytest.fixture(scope='module')
def tiny_run(tiny_data, tmp_path_factory):
    """A finished run of run.py on it, with its base model alone."""
    folder = tmp_path_factory.mktemp('run')
    run.main(
        ['--hidden', '16', '--epochs', '2', '--seeds', '0', '--methods']
        + ['base', '--num-clusters', '4', '--output', str(folder)]
    )
    return folder


@pytest.fixture
def run_study(tmp_path):
    """Runs a study on generated sessions and returns its results."""

    def call(module, *options, name=None):
        command = ['--dataset', 'multimodal', '--fraction', '1']
        command += ['--output', str(tmp_path), *map(str, options)]
        module.main(command)
        name = name or Path(module.__file__).stem
        assert (tmp_path / f'{name}.md').read_text().startswith('|')
        return json.loads((tmp_path / f'{name}.json').read_text())

    return call
