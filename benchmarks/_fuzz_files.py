"""Pickles that hold anything, and saved files that are damaged."""

import functools
import io
import os
import pickle
import shutil
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from _fuzz_logs import EDGES, SHARED, Wrong, compare, damage
from hypothesis import strategies as st

from pyg_sessaug import Recommender
from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.datasets import Diginetica, MultimodalSessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import fit
from pyg_sessaug.training.state import saved_state


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


def cyclic():
    value = []
    value.append(value)
    return value


FORBIDDEN = [
    Call(os.mkdir, 'attacked'),
    Call(eval, "open('attacked', 'w')"),
    Call(exec, 'import os; os.mkdir("attacked")'),
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
session = st.lists(click, min_size=2, max_size=6)
pairs = st.lists(
    st.tuples(st.lists(click, min_size=1, max_size=4), click),
    min_size=1,
    max_size=6,
)
plain = st.recursive(
    st.one_of(
        st.integers(-2, 9),
        st.sampled_from(EDGES),
        st.booleans(),
        st.none(),
        st.floats(),
        st.text(max_size=3),
        st.binary(max_size=3),
        st.sampled_from([10**8, 10**8 + 1, 10**400]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(click, inner, max_size=3),
    ),
    max_leaves=8,
)
odd = st.one_of(
    plain,
    st.sampled_from(FORBIDDEN),
    st.sampled_from([0, 10, 100, 900, 20_000]).map(nested),
    st.just('cycle').map(lambda _: cyclic()),
)


@st.composite
def pickles(draw):
    """The two files: sound, or with something odd, or damaged."""
    train = draw(st.lists(session, min_size=1, max_size=5))
    listed = draw(pairs)
    test = ([x for x, _ in listed], [y for _, y in listed])
    kind = draw(st.sampled_from('sound whole part deep bytes'.split()))
    if kind == 'whole':
        train = draw(odd)
    elif kind == 'part':
        train[draw(st.integers(0, len(train) - 1))] = draw(odd)
    elif kind == 'deep':
        train[0][0] = draw(odd)
    try:
        protocol = draw(st.integers(0, 5))
        data = pickle.dumps(train, protocol)
    except RecursionError:  # Of writing, not of reading
        data = b']' * 20_000 + b'a' * 19_999 + b'.'
    if kind == 'bytes':
        data = draw(damage(data))
    return kind == 'sound', data, pickle.dumps(test)


class Plain(pickle._Unpickler):
    """The unpickler that is written in Python, without any class."""

    def find_class(self, module, name):
        raise ValueError(f'{module}.{name}')


def plain_value(data):
    try:
        return Plain(io.BytesIO(data)).load()
    except Exception as error:
        raise ValueError(repr(error)) from error


def check_pickles(case, folder):
    sound, train, test = case
    raw = Path(folder) / 'raw'
    raw.mkdir()
    (raw / 'all_train_seq.txt').write_bytes(train)
    (raw / 'test.txt').write_bytes(test)

    def make(split):
        return Diginetica(folder, split, source='srgnn', val_ratio=0)

    def expected():
        sessions = plain_value(train)
        if type(sessions) not in (list, tuple) or not sessions:
            raise ValueError('no list of sessions')
        for items in sessions:
            if type(items) not in (list, tuple) or len(items) < 2:
                raise ValueError('no session')
            if any(type(i) is not int or not 1 <= i <= 10**8 for i in items):
                raise ValueError('no ids')
        prefixes, targets = pickle.loads(test)
        runs, rest = [], None
        for prefix, target in zip(prefixes, targets):
            if [*prefix, target] != rest:
                runs.append([*prefix, target])
            rest = prefix
        return [[[str(i) for i in x] for x in y] for y in (sessions, runs)]

    outcome = compare(make, expected, str(folder), clean=sound)
    if Path('attacked').exists():
        raise Wrong('code of a pickle was run')
    return outcome


@functools.cache
def saved():
    """Small files of every kind: name, bytes."""
    folder = f'{SHARED.name}/saved'
    data = [
        MultimodalSessions(folder, x, num_sessions=40, num_items=20)
        for x in ('train', 'val')
    ]
    torch.manual_seed(0)
    model = SRGNN(20, 4, num_layers=1)
    state = f'{folder}/state'
    fit(model, *data, epochs=1, checkpoint=state, progress=False)
    Recommender.from_dataset(model, data[0]).save(f'{folder}/recommender')
    ItemClusters(torch.tensor([0, 1, 1]), torch.rand(2, 3)).save(
        f'{folder}/clusters'
    )
    paths = {x: f'{folder}/{x}' for x in ('state', 'recommender', 'clusters')}
    paths['split'] = data[0].processed_paths[0]
    return {k: Path(path).read_bytes() for k, path in paths.items()}


@st.composite
def damaged_files(draw):
    kind = draw(st.sampled_from(['state', 'recommender', 'clusters', 'split']))
    data = bytearray(saved()[kind])
    how = draw(st.sampled_from('flip flip flip end cut zero twice'.split()))
    if how in ('flip', 'end'):
        # The index of the archive is at the end.
        low = len(data) - 2500 if how == 'end' else 0
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(max(0, low), len(data) - 1))
            data[at] ^= 1 << draw(st.integers(0, 7))
    elif how == 'cut':
        del data[draw(st.integers(0, len(data) - 1)) :]
    elif how == 'zero':
        at = draw(st.integers(0, len(data) - 1))
        size = min(draw(st.sampled_from([1, 64, 512, 4096])), len(data) - at)
        data[at : at + size] = bytes(size)
    else:
        data += data[: draw(st.integers(0, len(data)))]
    return kind, bytes(data)


def read_saved(kind, data, folder):
    """Everything in a file, read the way that its kind is."""
    if kind == 'split':
        root = f'{folder}/root'
        shutil.copytree(f'{SHARED.name}/saved/processed', f'{root}/processed')
        options = dict(num_sessions=40, num_items=20)
        dataset = MultimodalSessions(root, 'train', **options)
        Path(dataset.processed_paths[0]).write_bytes(data)
        dataset = MultimodalSessions(root, 'train', **options)
        return [vars(dataset.flat_sessions), dataset.item_ids,
                dataset.categories, dataset.seen_items]  # fmt: skip
    path = f'{folder}/{kind}'
    Path(path).write_bytes(data)
    if kind == 'state':
        return saved_state(path)
    if kind == 'clusters':
        return vars(ItemClusters.load(path))
    recommender = Recommender.load(path)
    return [recommender.model.state_dict(), repr(recommender.model),
            recommender.item_ids, recommender.popularity,
            recommender.about]  # fmt: skip


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@functools.cache
def read_whole(kind):
    folder = Path(SHARED.name, f'whole-{kind}')
    folder.mkdir()
    return read_saved(kind, saved()[kind], str(folder))


def check_damaged_file(case, folder):
    kind, data = case
    wanted = read_whole(kind)
    try:
        found = read_saved(kind, data, folder)
    except (ValueError, OSError) as error:
        if folder not in str(error):
            raise Wrong(f'an error that names no file: {error}') from error
        return 'refused'
    try:
        equal = same(wanted, found)
    except (AttributeError, TypeError):
        equal = False
    if not equal:
        raise Wrong(f'a damaged {kind} was read as something else')
    return 'read'


TARGETS = {
    'pickles': (pickles(), check_pickles),
    'damaged files': (damaged_files(), check_damaged_file),
}
