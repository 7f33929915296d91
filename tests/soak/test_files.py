"""Damaged and foreign files are refused, and never run code."""

import io
import os
import pickle
import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_sessaug import Recommender, fit
from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.datasets import Diginetica, MultimodalSessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training.state import saved_state
from tests.datasets.srgnn_reference import to_lists
from tests.soak.strange import EDGES, cases, damaged, outcome

pytestmark = pytest.mark.soak

# SR-GNN's pickles ###########################################################

ATTACKED = Path(tempfile.gettempdir(), f'attacked-{os.getpid()}')


class Call:
    """What runs code where a pickle is loaded carelessly."""

    def __init__(self, function, *arguments):
        self.value = function, arguments

    def __reduce__(self):
        return self.value


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def cyclic(_):
    value = []
    value.append(value)
    return value


FORBIDDEN = [
    Call(os.mkdir, str(ATTACKED)),
    Call(eval, f'__import__("os").mkdir({str(ATTACKED)!r})'),
    Call(exec, f'import os; os.mkdir({str(ATTACKED)!r})'),
    Call(getattr, 'x', 'upper'),
    OrderedDict(a=1),
    {1, 2},
    1 + 2j,
    Path('x'),
    range(3),
    np.int64(3),
    np.arange(3),
    torch.arange(3),
]
click = st.integers(1, 6)
plain_values = st.recursive(
    st.one_of(
        st.integers(-2, 9),
        st.sampled_from([*EDGES, 10**8, 10**8 + 1, 10**400]),
        st.booleans(),
        st.none(),
        st.floats(),
        st.text(max_size=3),
        st.binary(max_size=3),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(click, inner, max_size=3),
    ),
    max_leaves=8,
)
odd = st.one_of(
    plain_values,
    st.sampled_from(FORBIDDEN),
    st.sampled_from([0, 10, 100, 900]).map(nested),
    st.none().map(cyclic),
)


@st.composite
def pickled(draw, kind):
    """Training sessions, with something odd as all or a part of them."""
    sessions = st.lists(click, min_size=2, max_size=6)
    train = draw(st.lists(sessions, min_size=1, max_size=5))
    if kind == 'all odd':
        train = draw(odd)
    elif kind == 'an odd session':
        train[draw(st.integers(0, len(train) - 1))] = draw(odd)
    elif kind == 'an odd click':
        train[0][0] = draw(odd)
    try:
        return pickle.dumps(train, draw(st.integers(0, 5)))
    except RecursionError:  # Of writing, not of reading
        return b']' * 20_000 + b'a' * 19_999 + b'.'


class PlainUnpickler(pickle._Unpickler):
    """The unpickler that is written in Python, without any class."""

    def find_class(self, module, name):
        raise ValueError(f'{module}.{name}')


def plain_sessions(data):
    sessions = PlainUnpickler(io.BytesIO(data)).load()
    assert type(sessions) in (list, tuple)
    assert len(sessions) > 0
    for items in sessions:
        assert type(items) in (list, tuple)
        assert len(items) > 1
        assert all(type(i) is int and 0 <= i <= 10**8 for i in items)
    return [list(items) for items in sessions]


def read_pickles(folder):
    data = Diginetica(folder, source='srgnn', val_ratio=0)
    ids = data.item_ids.tolist()
    return [[ids[i] for i in x] for x in to_lists(data.flat_sessions)]


@pytest.mark.parametrize(
    'kind',
    ['sound', 'all odd', 'an odd session', 'an odd click', 'odd bytes'],
)
@cases(1 / 4)
@given(data=st.data())
def test_pickle(kind, data):
    train = pickled(kind)
    train = data.draw(damaged(train) if kind == 'odd bytes' else train)
    with TemporaryDirectory() as folder:
        raw = Path(folder, 'raw')
        raw.mkdir()
        (raw / 'all_train_seq.txt').write_bytes(train)
        (raw / 'test.txt').write_bytes(pickle.dumps(([[1]], [2])))
        found, refusal = outcome(ValueError, read_pickles, folder)
        if refusal is None:
            assert found == plain_sessions(train)
        else:
            assert kind != 'sound'
            assert folder in refusal
    if ATTACKED.exists():
        ATTACKED.rmdir()
        pytest.fail('code of a pickle was run')


# Files that the package wrote ###############################################

SMALL = dict(num_sessions=40, num_items=20)


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """A folder with a file of every kind, its bytes, and what it holds."""
    folder = tmp_path_factory.mktemp('saved')
    train, val = (
        MultimodalSessions(folder, x, **SMALL) for x in ('train', 'val')
    )
    torch.manual_seed(0)
    model = SRGNN(20, 4, num_layers=1)
    state = str(folder / 'state')
    fit(model, train, val, epochs=1, checkpoint=state, progress=False)
    Recommender.from_dataset(model, train).save(str(folder / 'recommender'))
    clusters = ItemClusters(torch.tensor([0, 1, 1]), torch.rand(2, 3))
    clusters.save(str(folder / 'clusters'))
    files = {x: folder / x for x in ('state', 'recommender', 'clusters')}
    files['split'] = Path(train.processed_paths[0])
    return folder, files


def contents(kind, path):
    """All that is read from a file."""
    if kind == 'state':
        return saved_state(path)
    if kind == 'clusters':
        return vars(ItemClusters.load(path))
    if kind == 'recommender':
        x = Recommender.load(path)
        return [x.model.state_dict(), repr(x.model), x.item_ids,
                x.popularity, x.about]  # fmt: skip
    x = MultimodalSessions(Path(path).parents[1], 'train', **SMALL)
    return [vars(x.flat_sessions), x.item_ids, x.categories, x.seen_items]


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


@st.composite
def broken(draw, whole):
    """Bytes with some flipped, cut off, set to zero, or written twice."""
    data = bytearray(whole)
    how = draw(st.sampled_from(['flip', 'flip', 'end', 'cut', 'zero', 'more']))
    # The index of the archive is at the end.
    low = max(0, len(data) - 2500) if how == 'end' else 0
    at = draw(st.integers(low, len(data) - 1))
    if how in ('flip', 'end'):
        data[at] ^= 1 << draw(st.integers(0, 7))
    elif how == 'cut':
        del data[at:]
    elif how == 'zero':
        size = draw(st.sampled_from([1, 64, 512, 4096]))
        data[at : at + size] = bytes(len(data[at : at + size]))
    else:
        data += data[:at]
    return bytes(data)


@pytest.mark.parametrize('kind', ['state', 'recommender', 'clusters', 'split'])
@cases(1 / 4)
@given(data=st.data())
def test_damaged_file(saved, kind, data):
    folder, files = saved
    wanted = contents(kind, str(files[kind]))
    damage = data.draw(broken(files[kind].read_bytes()))
    with TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        path = Path(copy) / files[kind].relative_to(folder)
        path.write_bytes(damage)
        found, refusal = outcome(ValueError, contents, kind, str(path))
        # Where it is read, what was damaged is no part of the contents.
        if refusal is None:
            assert equal(found, wanted)
        else:
            assert copy in refusal
