import os
import pickle
import platform
import stat
import subprocess
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch

from pyg_sessaug.files import load_state, save_atomically, save_together


def test_numbers_of_numpy_are_read_as_those_of_python(tmp_path):
    path = str(tmp_path / 'state.pt')
    state = {
        'lr': np.logspace(-3, -2, 2)[0],
        'ids': list(np.arange(3)),
        'nested': {'names': (np.str_('a'), np.bool_(True))},
    }
    save_atomically(state, path)
    loaded = load_state(path, 'make it again')
    assert loaded == state
    assert type(loaded['lr']) is float
    assert {type(x) for x in loaded['ids']} == {int}


def test_round_trip(tmp_path):
    path = str(tmp_path / 'new' / 'state.pt')
    save_atomically({'x': torch.arange(3), 'name': 'a'}, path)
    state = load_state(path, 'make it again')
    assert state['x'].tolist() == [0, 1, 2]
    assert state['name'] == 'a'
    assert os.listdir(tmp_path / 'new') == ['state.pt']


@pytest.mark.parametrize('room', [0, 700, 5000, 41_000])
def test_full_disk_keeps_the_old_file(tmp_path, full_disk, room):
    path = str(tmp_path / 'state.pt')
    save_atomically({'x': 1}, path)
    with (
        full_disk(room),
        pytest.raises(
            OSError, match=r'File too large; nothing was changed.*state\.pt'
        ),
    ):
        save_atomically({'x': torch.rand(10_000)}, path)
    assert load_state(path, '')['x'] == 1
    assert os.listdir(tmp_path) == ['state.pt']


def test_what_cannot_be_pickled_keeps_the_old_file(tmp_path):
    path = str(tmp_path / 'state.pt')
    save_atomically({'x': 1}, path)
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        save_atomically({'x': lambda: 1}, path)
    assert load_state(path, '')['x'] == 1
    assert os.listdir(tmp_path) == ['state.pt']


def test_together(tmp_path):
    first, second = (str(tmp_path / x) for x in ('a.pt', 'b.pt'))
    save_together({first: {'x': 1}, second: {'x': 1}})
    with pytest.raises(OSError, match=r'a\.pt'):
        save_together({second: {'x': 2}, f'{first}/c.pt': {'x': 2}})
    assert sorted(os.listdir(tmp_path)) == ['a.pt', 'b.pt']
    assert load_state(second, '')['x'] == 1
    save_together({first: {'x': 3}, second: {'x': 3}})
    assert [load_state(x, '')['x'] for x in (first, second)] == [3, 3]


def test_killed_while_replacing(tmp_path, monkeypatch):
    first, second = (str(tmp_path / x) for x in ('a.pt', 'b.pt'))
    save_together({first: {'x': 1}, second: {'x': 1}})

    class Killed(BaseException):
        pass

    calls = []

    def replace(old, new):
        calls.append(new)
        if len(calls) == 2:
            raise Killed
        real(old, new)

    real = os.replace
    monkeypatch.setattr(os, 'replace', replace)
    with pytest.raises(Killed):
        save_together({first: {'x': 2}, second: {'x': 2}})
    # Not a new one beside an old one.
    assert os.listdir(tmp_path) == ['a.pt']


def test_what_a_killed_process_left(tmp_path):
    path = str(tmp_path / 'state.pt')
    dead = subprocess.Popen(['true'])
    dead.wait()
    host = platform.node()[:32]
    left = [
        f'state.pt.{host}.{dead.pid}.part',
        f'state.pt.{host}.{os.getppid()}.part',  # Still writing
        f'state.pt.another-{host}.{dead.pid}.part',
        f'state.pt.{host}.x.part',
        f'other.pt.{host}.{dead.pid}.part',
    ]
    for name in left:
        (tmp_path / name).touch()
    save_atomically({'x': 1}, path)
    assert sorted(os.listdir(tmp_path)) == sorted(['state.pt', *left[1:]])


@pytest.mark.parametrize('part', [0.0, 0.5, 0.99])
def test_truncated(tmp_path, part):
    path = tmp_path / 'state.pt'
    save_atomically({'x': torch.rand(1000)}, str(path))
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r'state\.pt is damaged.*run again'):
        load_state(str(path), 'run again')


def test_flipped_bits(tmp_path):
    path = tmp_path / 'state.pt'
    save_atomically({'x': torch.rand(1000)}, str(path))
    content = bytearray(path.read_bytes())
    for position in range(len(content) // 4, len(content) // 2, 97):
        content[position] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match='is damaged'):
            load_state(str(path), '')
        content[position] ^= 1


def test_code_is_not_run(tmp_path):
    path = str(tmp_path / 'state.pt')
    torch.save({'x': os.system}, path)
    with pytest.raises(ValueError, match='UnpicklingError'):
        load_state(path, '')
    torch.save([1], path)
    with pytest.raises(ValueError, match='it holds a list'):
        load_state(path, '')
    with pytest.raises(FileNotFoundError, match=r'no file .*none.pt; train'):
        load_state(str(tmp_path / 'none.pt'), 'train it')


@pytest.mark.parametrize('count', [1, 2])
def test_links_and_permissions_stay(tmp_path, count):
    target, link = tmp_path / 'v1.pt', tmp_path / 'latest.pt'
    target.write_text('old')
    target.chmod(0o600)
    link.symlink_to(target)
    states = {str(link): {'x': 1}, str(tmp_path / 'other.pt'): {'x': 2}}
    save_together(dict(list(states.items())[:count]))
    assert link.is_symlink()
    assert not target.is_symlink()
    assert load_state(str(target), '')['x'] == 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_pipes_and_folders_are_no_outputs(tmp_path):
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(OSError, match='no regular file; name another'):
            save_atomically({'x': 1}, str(path))
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ['pipe']


def test_packed_files_are_refused_before_they_are_unpacked(tmp_path):
    path = tmp_path / 'state.pt'
    with ZipFile(path, 'w', ZIP_DEFLATED) as archive:
        archive.writestr('state/data.pkl', b'0' * 2**24)
    match = r'its \d+ bytes declare 16777216 bytes.*; make it again'
    with pytest.raises(ValueError, match=match):
        load_state(str(path), 'make it again')
