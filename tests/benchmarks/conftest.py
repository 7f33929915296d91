from functools import partial

import pytest

from benchmarks.experiments import datasets
from pyg_sessaug.datasets import MultimodalSessions


@pytest.fixture(scope='module')
def tiny_sessions():
    """Few generated sessions in the place of those of the main job."""
    data = partial(
        MultimodalSessions, num_sessions=200, num_items=40, num_modes=4
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.DATASETS, 'multimodal', data)
        yield


@pytest.fixture
def timed_log(tmp_path):
    """The files of YooChoose100k, with sessions of 4 clicks."""

    def write(name, sessions, day):
        lines = ['SessionId\tItemId\tTime']
        for session in sessions:
            time = 86_400.0 * day + 10 * session
            for i in range(4):
                time += 7 * (session % 3) + 40 * i
                lines.append(f'{session}\t{(session * i) % 7}\t{time}')
        (tmp_path / name).write_text('\n'.join(lines) + '\n')

    write('train_full.txt', range(60), day=1)
    write('test.txt', range(60, 80), day=3)
    return tmp_path
