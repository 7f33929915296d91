import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_sessaug.datasets import Diginetica, Otto, SessionFiles, YooChoose
from pyg_sessaug.datasets.srgnn_files import read_pickle, read_srgnn_files
from tests.datasets.srgnn_reference import (
    samples_longest_first,
    to_lists,
    to_samples,
)

TRAIN = [[1, 2], [3, 1, 1], [2, 3]]
TEST = ([[3, 1], [3], [2]], [4, 1, 1])


def test_sessions_and_vocabulary(srgnn_root):
    root = srgnn_root(TRAIN, TEST, {1: 8, 2: 9, 3: 8, 4: 9, 5: 11})
    out = read_srgnn_files(root / 'raw')
    assert to_lists(out['train']) == [[0, 1], [2, 0, 0], [1, 2]]
    assert to_lists(out['test']) == [[2, 0, 3], [1, 0]]
    assert out['test'].target.tolist() == [1, 2, 4]
    assert out['item_ids'].tolist() == [1, 2, 3, 4, 5]
    assert out['categories'].tolist() == [0, 1, 0, 1, 2]


click = st.integers(1, 3)
families = st.lists(
    st.lists(click, min_size=2, max_size=5), min_size=1, max_size=4
).map(samples_longest_first)
loose = st.lists(
    st.tuples(st.lists(click, min_size=1, max_size=3).map(tuple), click),
    min_size=1,
    max_size=9,
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(loose, families))
def test_any_pairs_give_exactly_those_samples(tmp_path_factory, pairs):
    raw = tmp_path_factory.mktemp('raw')
    prefixes = [list(prefix) for prefix, _ in pairs]
    test = (prefixes, [target for _, target in pairs])
    (raw / 'all_train_seq.txt').write_bytes(pickle.dumps([[1, 2]]))
    (raw / 'test.txt').write_bytes(pickle.dumps(test))
    out = to_samples(read_srgnn_files(raw)['test'])
    expected = [(tuple(i - 1 for i in p), t - 1) for p, t in pairs]
    assert out == sorted(expected)


@pytest.mark.parametrize('protocol', range(6))
def test_every_pickle_protocol(tmp_path, protocol):
    path = tmp_path / 'test.txt'
    path.write_bytes(pickle.dumps((TEST, {1: 2}), protocol))
    assert read_pickle(str(path)) == (TEST, {1: 2})


class Attack:
    def __reduce__(self):
        return os.mkdir, ('attacked',)


def test_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'test.txt'
    for value, name in [
        (Attack(), 'mkdir'),
        (torch.ones(1), 'torch'),
        ({1}, 'set'),
    ]:
        path.write_bytes(pickle.dumps(value, 2))
        with pytest.raises(ValueError, match=f'test.txt.*{name}.*run code'):
            read_pickle(str(path))
    assert not (tmp_path / 'attacked').exists()


@pytest.mark.parametrize(
    'train, test, category, match',
    [
        ([[1, 2], []], TEST, None, 'all_train_seq.txt: session 1 has 0'),
        ([[1, 2], [3]], TEST, None, 'all_train_seq.txt: session 1 has 1'),
        ([], TEST, None, r'all_train_seq.txt must hold a non-empty list'),
        ({}, TEST, None, r'all_train_seq.txt must hold .* got \{\} \(dict'),
        ([[1, 2], 3], TEST, None, 'session 1 must be a list .* got 3'),
        ([[1, 2], [1, 2.5]], TEST, None, 'session 1 must hold ints, got 2.5'),
        ([[1, 2], [1, True]], TEST, None, 'must hold ints, got True'),
        ([[1, 2], [1, 'x']], TEST, None, "must hold ints, got 'x'"),
        ([[1, 2], [1, -5]], TEST, None, 'session 1 holds -5'),
        ([[1, 2], [1, 2**63]], TEST, None, f'session 1 holds {2**63}'),
        (TRAIN, [[1]], None, r'test.txt must hold a pair'),
        (TRAIN, ([[1], [2]], [1]), None, '2 prefixes but 1 targets'),
        (TRAIN, ([[1], []], [1, 2]), None, 'test.txt: prefix 1 is empty'),
        (TRAIN, TEST, {0: 1, 1: 2}, r'list of items holds 0, but .* from 1'),
        (TRAIN, ([], []), None, 'test.txt must hold a non-empty list'),
        (TRAIN, TEST, [1], 'category.txt must hold a non-empty dict'),
        (TRAIN, TEST, {1: 'x'}, "category.txt: list of categories 0 .* 'x'"),
    ],
)
def test_bad_values(srgnn_root, train, test, category, match):
    root = srgnn_root(train, test, category)
    with pytest.raises(ValueError, match=match):
        Diginetica(root)
    assert list((root / 'processed').iterdir()) == []


def test_lists_too_deep_to_print(srgnn_root):
    root = srgnn_root(TRAIN, TEST)
    path = root / 'raw' / 'all_train_seq.txt'
    path.write_bytes(b']' * 5000 + b'a' * 4999 + b'.')
    with pytest.raises(ValueError, match=r'seq.txt: session 0 .* got \[\[\['):
        read_srgnn_files(root / 'raw')


def test_numbers_too_long_to_print(srgnn_root):
    root = srgnn_root([[1, 10**5000]], TEST)
    with pytest.raises(ValueError, match='session 0 holds a huge number'):
        read_srgnn_files(root / 'raw')


def test_a_few_bytes_do_not_fill_memory(tmp_path):
    # They put a list in the last of sixteen million places of the memo.
    path = tmp_path / 'test.txt'
    path.write_bytes(b'\x80\x02]r\xff\xff\xff\x00(](K\x01K\x02ee.')
    tracemalloc.start()
    assert read_pickle(str(path)) == [[1, 2]]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize('cut', [0, 1, 5, -1])
def test_truncated_pickle(srgnn_root, cut):
    root = srgnn_root(TRAIN, TEST)
    path = root / 'raw' / 'test.txt'
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r'cannot read .*test.txt'):
        Diginetica(root)


@pytest.mark.parametrize('cls', [Diginetica, YooChoose, Otto])
def test_data_sets(srgnn_root, cls):
    root = srgnn_root(TRAIN * 10, TEST)
    train, val, test = (cls(root, x) for x in ['train', 'val', 'test'])
    assert train.source == 'srgnn'
    assert [len(train) + len(val), len(test)] == [40, 3]
    assert val.sessions == 3
    assert train.num_items == train.num_classes == 4
    assert train.categories is train.num_categories is None
    assert train.categories_per_session is None
    assert set(train.raw_sha256) == {'all_train_seq.txt', 'test.txt'}


def test_missing_categories(srgnn_root):
    root = srgnn_root(TRAIN, TEST, {1: 5, 3: 6})
    with pytest.raises(ValueError, match=r'2 items .* \[2, 4\].*allow_'):
        Diginetica(root)
    dataset = Diginetica(root, allow_missing_categories=True, val_ratio=0)
    assert dataset.categories.tolist() == [0, -1, 1, -1]
    assert dataset.num_categories == 2
    assert dataset.categories_per_session == 4 / 3


def test_one_file_missing(srgnn_root):
    root = srgnn_root(TRAIN, None)
    with pytest.raises(FileNotFoundError, match=r"not \['test.txt'\]"):
        Diginetica(root)


def test_both_sources(srgnn_root):
    root = srgnn_root(TRAIN, TEST)
    (root / 'raw' / 'train-item-views.csv').write_text('')
    with pytest.raises(ValueError, match=r'train-item-views.*all_train_seq'):
        Diginetica(root)
    assert len(Diginetica(root, 'test', source='srgnn')) == 3


def test_options_of_logs_are_errors(srgnn_root):
    root = srgnn_root(TRAIN, TEST)
    with pytest.raises(ValueError, match=r"\['test_days'\] need the log"):
        Diginetica(root, test_days=3)
    with pytest.raises(TypeError, match=r"no argument \['days'\]"):
        Diginetica(root, days=3)


@pytest.mark.parametrize('part', [1, 4, 63])
def test_another_part_of_yoochoose(srgnn_root, part):
    root = srgnn_root(TRAIN, TEST)
    with pytest.raises(ValueError, match=f'part={part}.*hold 1/64'):
        YooChoose(root, part=part)


@pytest.mark.parametrize('part', [0, -4, 2.5, 0.5])
def test_bad_part_of_yoochoose(srgnn_root, part):
    with pytest.raises(ValueError, match='`fraction` takes a share'):
        YooChoose(srgnn_root(TRAIN, TEST), part=part)


def test_names_of_version_0_1_in_yoochoose(srgnn_root):
    root = srgnn_root(TRAIN * 10, TEST)
    new = YooChoose(root, part=64, fraction=0.5)
    with pytest.warns(DeprecationWarning, match='is `part` now'):
        with pytest.warns(DeprecationWarning, match='it is `fraction` now'):
            old = YooChoose(root, fraction=64, newest=0.5)
    assert old.processed_paths == new.processed_paths
    assert old.settings['fraction'] == 64
    assert old.fraction == new.fraction == 0.5


def test_a_quarter_of_yoochoose(srgnn_root, monkeypatch):
    monkeypatch.setattr('pyg_sessaug.datasets.yoochoose.FULL_SAMPLES', 160)
    root = srgnn_root(TRAIN * 10, TEST)  # 40 samples
    assert len(YooChoose(root, part=4, val_ratio=0)) == 40
    with pytest.raises(ValueError, match='hold 1/4; pass part=4'):
        YooChoose(root)


def test_numbers_from_0(srgnn_root):
    root = srgnn_root([[0, 1, 2]] * 10, ([[2]], [0]), {0: 0, 1: 7, 2: 0})
    data = SessionFiles(root, val_ratio=0)
    assert data.item_ids.tolist() == [0, 1, 2]
    assert data.categories.tolist() == [0, 1, 0]
    assert to_lists(data.flat_sessions) == [[0, 1, 2]] * 10
    test = SessionFiles(root, 'test', val_ratio=0)
    assert to_lists(test.flat_sessions) == [[2, 0]]


def test_categories_from_0(srgnn_root):
    root = srgnn_root(TRAIN, TEST, {i: i % 2 for i in range(1, 9)})
    data = SessionFiles(root)
    assert data.categories[:3].tolist() == [1, 0, 1]


def test_training_pairs(srgnn_root):
    """`train.txt` has samples, longest first, as `test.txt` has."""
    root = srgnn_root(TRAIN, TEST)
    sessions = [[1, 2, 3], [2, 4], [3, 1, 1, 2]]
    pairs = [(s[:-i], s[-i]) for s in sessions for i in range(1, len(s))]
    raw = pickle.dumps(tuple(map(list, zip(*pairs))))
    (root / 'raw' / 'train.txt').write_bytes(raw)
    (root / 'raw' / 'all_train_seq.txt').unlink()
    data = SessionFiles(root, val_ratio=0)
    assert to_lists(data.flat_sessions) == [
        [i - 1 for i in s] for s in sessions
    ]
    assert len(data) == len(pairs)


@pytest.mark.parametrize('value', [np.int64(1), torch.tensor(1)])
def test_numbers_of_numpy_and_torch(srgnn_root, value):
    root = srgnn_root([[value, value]] * 10, TEST)
    match = r'only lists.*write plain ints, \[\[int\(i\) for i in s\]'
    with pytest.raises(ValueError, match=match):
        SessionFiles(root)


def test_sizes_that_a_pickle_claims(tmp_path):
    path = tmp_path / 'all_train_seq.txt'
    size = struct.pack('<Q', 2**40)
    for opcode in (pickle.BYTEARRAY8, pickle.BINBYTES8, pickle.BINUNICODE8):
        path.write_bytes(b'\x80\x05' + opcode + size + b'.')
        with pytest.raises(ValueError, match=r'cannot read .*as a pickle'):
            read_pickle(path)
