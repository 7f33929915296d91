"""What version 0.1.0 prepared is what is prepared now, and still loads."""

import hashlib
import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks.experiments.datasets import YooChoose100k
from pyg_sessaug import datasets
from pyg_sessaug.datasets import Diginetica, Otto, YooChoose

FIXTURES = Path(__file__).parents[1] / 'fixtures'
PREPARED = json.loads((FIXTURES / 'prepared.json').read_text())
SUMS = json.loads((FIXTURES / 'prepared-sha256.json').read_text())
SPLITS = ('train', 'val', 'test')
EVENTS = ['clicks', 'carts', 'orders']
SHARED = {
    'diginetica': (Diginetica, {}),
    'yoochoose1_64': (YooChoose, {}),
    'diginetica_sample': (Diginetica, {}),
    'otto_sample': (
        Otto,
        dict(
            min_item_clicks=1, test_days=1, val_ratio=0.3, event_types=EVENTS
        ),
    ),
    'yoochoose_100k': (YooChoose100k, {}),
}


def digest(value):
    """The rule of the fixtures' README."""
    if value is None:
        return None
    if isinstance(value, list):
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()
    array = value.contiguous().numpy()
    head = f'{array.dtype}{array.shape}'.encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


def digests(data):
    sessions = data.flat_sessions
    fields = {
        'item': sessions.item,
        'ptr': sessions.ptr,
        'target': sessions.target,
        'time': sessions.time,
        'item_ids': data.item_ids,
        'categories': data.categories,
        'seen_items': data.seen_items,
    }
    return {name: digest(value) for name, value in fields.items()}


@pytest.fixture
def entry(request, tmp_path):
    """A data set of version 0.1.0, with its raw files."""
    about = PREPARED[request.param]
    source = FIXTURES / 'prepared' / request.param
    if (source / 'raw').is_dir():
        shutil.copytree(source / 'raw', tmp_path / 'raw')
    (tmp_path / 'processed').mkdir()
    for split, name in about['stored'].items():
        shutil.copyfile(source / f'prepared-{split}.bin', tmp_path / name)
    return tmp_path, about


def load(root, about, split, **kwargs):
    cls = getattr(datasets, about['cls'])
    is_old = 'newest' in about['kwargs']
    warns = pytest.warns(DeprecationWarning, match='0.1') if is_old else None
    with warns or nullcontext():
        return cls(root, split, **about['kwargs'], **kwargs)


@pytest.mark.parametrize('entry', PREPARED, indirect=True)
def test_files_of_version_0_1_load(entry):
    root, about = entry
    before = {x.name for x in (root / 'processed').iterdir()}
    for split in SPLITS:
        data = load(root, about, split)
        assert digests(data) == about['digests'][split]
        assert data.report == {}
    assert {x.name for x in (root / 'processed').iterdir()} == before


@pytest.mark.parametrize('entry', PREPARED, indirect=True)
def test_prepared_anew_they_are_the_same(entry):
    root, about = entry
    shutil.rmtree(root / 'processed')
    for i, split in enumerate(SPLITS):
        data = load(root, about, split)
        assert digests(data) == about['digests'][split]
        name = data.processed_paths[i]
        assert name == str(root / about['stored'][split])
        assert data.report['items'] == data.num_items


@pytest.mark.data
@pytest.mark.parametrize('name', SHARED)
def test_real_data_keep_their_sums(shared_data, tmp_path, name):
    cls, kwargs = SHARED[name]
    for split in SPLITS:
        data = cls(shared_data(name), split, processed_root=tmp_path, **kwargs)
        assert digests(data) == SUMS[name][split]
