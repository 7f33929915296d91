import os
import pickle
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# For tests/soak: `pytest -m soak --hypothesis-profile=soak`
settings.register_profile('soak', max_examples=2000)

collect_ignore = ['fixtures']  # Some are called test.txt.

DATA = Path(
    os.environ.get(
        'SESSAUG_DATA',
        Path(__file__).parents[2] / 'shared' / 'data',
    )
)


@pytest.fixture(autouse=True)
def seed():
    """Every test draws the same numbers alone and among others."""
    torch.manual_seed(0)


@pytest.fixture
def shared_data():
    """Folder of a real data set by name; for tests marked `data`."""

    def find(name):
        folder = DATA / name
        if not folder.is_dir():
            pytest.skip(f'no {folder}; set SESSAUG_DATA')
        return folder

    return find


@pytest.fixture
def srgnn_root(tmp_path):
    """Writes SR-GNN's files and returns their root."""

    def write(train, test, category=None, root=tmp_path):
        raw = root / 'raw'
        raw.mkdir(parents=True, exist_ok=True)
        files = {
            'all_train_seq.txt': train,
            'test.txt': test,
            'category.txt': category,
        }
        for name, value in files.items():
            if value is not None:
                (raw / name).write_bytes(pickle.dumps(value))
        return root

    return write


@pytest.fixture
def full_disk():
    """Stands in for a disk with room for so many bytes per file."""

    @contextmanager
    def limit(num_bytes):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit
