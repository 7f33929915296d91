import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from filelock import FileLock

from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import Diginetica, SessionDataset
from tests.datasets.srgnn_reference import to_lists

TRAIN = [[1 + i, 2 + i, 1 + i] for i in range(20)]
TEST = ([[3, 4, 3], [3, 4], [3], [7]], [9, 3, 4, 7])
CATEGORY = {i: 30 + i % 3 for i in range(1, 24)}


@pytest.fixture
def root(srgnn_root):
    return srgnn_root(TRAIN, TEST, CATEGORY)


def prepared(root):
    return sorted(x.name for x in (root / 'processed').iterdir())


def test_splits(root):
    train, val, test = (
        Diginetica(root, x, val_ratio=0.25) for x in ['train', 'val', 'test']
    )
    assert [train.sessions, val.sessions, test.sessions] == [15, 5, 2]
    assert [len(train), len(val), len(test)] == [30, 10, 4]
    assert [train.clicks, val.clicks, test.clicks] == [45, 15, 6]
    expected = [[i - 1 for i in session] for session in TRAIN]
    in_train, in_val = (to_lists(x.flat_sessions) for x in [train, val])
    assert in_train == [x for x in expected if x not in in_val]
    assert in_val == [x for x in expected if x not in in_train]
    assert train.num_items == val.num_items == test.num_items == 23
    assert len(prepared(root)) == 3
    assert all(len(name) < 255 for name in prepared(root))


def test_files_are_prepared_by_one_process_at_a_time(root, monkeypatch):
    Diginetica(root)
    kept = {x: (root / 'processed' / x).read_bytes() for x in prepared(root)}
    for name in kept:
        (root / 'processed' / name).unlink()
    calls = []
    monkeypatch.setattr(Diginetica, 'prepare', lambda _: calls.append(1))
    with ThreadPoolExecutor(1) as pool, FileLock(root / 'processed/.lock'):
        waiting = pool.submit(Diginetica, root)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        for name, content in kept.items():  # What the other process makes.
            (root / 'processed' / name).write_bytes(content)
    assert len(waiting.result()) > 0
    assert calls == []


def test_statistics(root):
    train = Diginetica(root, val_ratio=0)
    test = Diginetica(root, 'test', val_ratio=0)
    assert train.average_length == 3
    assert test.average_length == 3
    assert train.num_categories == 3
    assert train.categories_per_session == 2
    assert test.categories_per_session == (2 + 1) / 2
    assert train.repeat_share == 0.5
    assert test.repeat_share == 0.5  # 3 after 3, 4 and 7 after 7
    assert train.unseen_target_share == 0
    assert train.seen_items.tolist() == [True] * 21 + [False] * 2
    clicks = train.flat_sessions.item.tolist()
    for split in (train, test):
        assert split.popularity.tolist() == [*map(clicks.count, range(23))]


def test_targets_not_seen_in_training(root):
    test = Diginetica(root, 'test', val_ratio=0, fraction=0.2)
    # The newest four sessions have items 17 to 21.
    assert test.seen_items.nonzero().view(-1).tolist() == [16, 17, 18, 19, 20]
    assert test.unseen_target_share == 1
    assert test.num_items == 23


def test_fraction_keeps_the_newest_sessions(root):
    train = Diginetica(root, fraction=0.1, val_ratio=0)
    assert to_lists(train.flat_sessions) == [[18, 19, 18], [19, 20, 19]]


def test_seed(root):
    def val(seed):
        return to_lists(Diginetica(root, 'val', seed=seed).flat_sessions)

    assert val(0) == val(0)
    assert len({str(val(seed)) for seed in range(5)}) > 1


def test_validation_needs_sessions(root):
    with pytest.raises(
        ValueError, match=r'val split .* no samples.*val_ratio'
    ):
        Diginetica(root, 'val', val_ratio=0)


@pytest.mark.parametrize(
    'argument, value',
    [
        ('split', 'training'),
        ('source', 'raw'),
        ('fraction', 0),
        ('fraction', 1.5),
        ('val_ratio', -0.1),
        ('val_ratio', 1),
        ('test_days', 0),
        ('min_item_clicks', 0),
        ('session_gap', -1),
    ],
)
def test_arguments_out_of_range(root, argument, value):
    with pytest.raises(ValueError, match=f'Diginetica.*{value}'):
        Diginetica(root, **{argument: value})
    assert not (root / 'processed').exists()


def test_prepared_files_are_reused(root, monkeypatch):
    first = Diginetica(root)
    monkeypatch.setattr(
        'pyg_sessaug.datasets.log.read_srgnn_files', lambda path: 1 / 0
    )
    again = Diginetica(root)
    assert to_lists(again.flat_sessions) == to_lists(first.flat_sessions)
    assert again.raw_sha256 == first.raw_sha256
    with pytest.raises(ZeroDivisionError):
        Diginetica(root, force_reload=True)
    with pytest.raises(ZeroDivisionError):
        Diginetica(root, seed=1)
    assert len(prepared(root)) == 3


def test_raw_files_may_be_gone(root):
    first = Diginetica(root)
    for path in (root / 'raw').iterdir():
        path.unlink()
    assert len(Diginetica(root)) == len(first)


def test_changed_raw_file(root, srgnn_root):
    Diginetica(root)
    srgnn_root(TRAIN[:-1], TEST, CATEGORY)
    with pytest.raises(ValueError, match=r'all_train_seq.*force_reload=True'):
        Diginetica(root)
    assert Diginetica(root, force_reload=True, val_ratio=0).sessions == 19


def test_another_raw_file(root):
    Diginetica(root)
    (root / 'raw' / 'category.txt').unlink()
    with pytest.raises(ValueError, match=r'category.txt.*force_reload=True'):
        Diginetica(root)


def test_renamed_file(root):
    path, other = (
        Diginetica(root, seed=i).processed_paths[0] for i in range(2)
    )
    os.replace(other, path)
    with pytest.raises(
        ValueError, match=r'"seed": 1.*"seed": 0.*force_reload'
    ):
        Diginetica(root)


@pytest.mark.parametrize('part', [0, 0.5, 0.99])
def test_truncated_file(root, part):
    path = Diginetica(root).processed_paths[0]
    with open(path, 'r+b') as f:
        f.truncate(int(os.path.getsize(path) * part))
    with pytest.raises(ValueError, match=r'train,.*force_reload=True'):
        Diginetica(root)
    assert Diginetica(root, force_reload=True).sessions == 18


def test_damaged_file(root):
    path = Diginetica(root).processed_paths[0]
    content = bytearray(open(path, 'rb').read())
    at = content.index(torch.arange(1, 24).numpy().tobytes())  # The ids
    content[at] ^= 1
    open(path, 'wb').write(content)
    with pytest.raises(ValueError, match=r'checksum.*force_reload=True'):
        Diginetica(root)


def test_raw_file_of_the_same_size(root):
    Diginetica(root)
    path = root / 'raw' / 'test.txt'
    content = path.read_bytes()
    later = os.stat(Diginetica(root).processed_paths[0]).st_mtime + 9
    os.utime(path, (later, later))  # Touched, but the same.
    assert Diginetica(root).sessions == 18
    path.write_bytes(content[:-1] + b'!')
    for time in (later, 1e9):  # What `cp -p` brings may be older.
        os.utime(path, (time, time))
        with pytest.raises(ValueError, match=r'same size.*force_reload=True'):
            Diginetica(root)


def test_file_that_holds_code(root):
    path = Diginetica(root).processed_paths[0]
    torch.save({'settings': os.mkdir}, path)
    with pytest.raises(ValueError, match='force_reload=True'):
        Diginetica(root)


def test_processed_root(root, tmp_path):
    dataset = Diginetica(root, processed_root=str(tmp_path / 'elsewhere'))
    assert not (root / 'processed').exists()
    assert os.path.exists(tmp_path / 'elsewhere' / 'processed')
    assert dataset.sessions == 18


def test_root_that_cannot_be_written(root):
    (root / 'processed').write_text('')
    with pytest.raises(OSError, match=r'write to .*processed.*processed_root'):
        Diginetica(root)


def test_disk_full(root, full_disk):
    with (
        full_disk(1000),
        pytest.raises(
            OSError,
            match=r'File too large; nothing was changed.*processed_root',
        ),
    ):
        Diginetica(root)
    assert prepared(root) == []
    before = Diginetica(root).flat_sessions.item.tolist()
    names = prepared(root)
    with full_disk(1000), pytest.raises(OSError, match='File too large'):
        Diginetica(root, force_reload=True)
    assert prepared(root) == names
    assert Diginetica(root).flat_sessions.item.tolist() == before


def test_same_contents_in_every_process(root, tmp_path):
    code = (
        'from pyg_sessaug.datasets import Diginetica\n'
        f'Diginetica({str(root)!r}, processed_root={str(tmp_path / "a")!r})'
    )
    env = {**os.environ, 'PYTHONHASHSEED': '1'}
    env['PYTHONPATH'] = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, '-c', code], check=True, env=env)
    Diginetica(root, processed_root=tmp_path / 'b')
    contents = [
        {
            path.name: to_comparable(torch.load(path))
            for path in (tmp_path / folder / 'processed').iterdir()
        }
        for folder in 'ab'
    ]
    assert contents[0] == contents[1]


def to_comparable(state):
    return {
        key: value.tolist() if isinstance(value, torch.Tensor) else value
        for key, value in state.items()
    }


def test_transforms(root):
    def mark(name):
        def transform(data):
            data[name] = [*data.get('marks', []), name]
            data.marks = data[name]
            return data

        return transform

    dataset = Diginetica(
        root, transform=mark('late'), pre_transform=mark('early')
    )
    assert dataset[0].marks == ['early', 'late']
    batch = dataset.get_batch(torch.tensor([0, 1]))
    assert batch.marks == [['early'], ['early']]


def test_a_subclass(tmp_path):
    class Three(SessionDataset):
        def prepare(self):
            sessions = Sessions.from_lengths(
                torch.tensor([0, 1, 2, 0]), torch.tensor([2, 2])
            )
            return {
                'train': sessions,
                'test': sessions,
                'item_ids': ['a', 'b', 'c'],
                'categories': None,
            }

    dataset = Three(str(tmp_path), val_ratio=0.5)
    assert dataset.num_items == 3
    assert dataset.item_ids == ['a', 'b', 'c']
    assert dataset.raw_sha256 == {}
    assert len(dataset) == 1
