import os

import pytest
import torch

from pyg_sessaug.files import load_state, save_atomically


def test_round_trip(tmp_path):
    path = str(tmp_path / 'new' / 'state.pt')
    save_atomically({'x': torch.arange(3), 'name': 'a'}, path)
    state = load_state(path, 'make it again')
    assert state['x'].tolist() == [0, 1, 2]
    assert state['name'] == 'a'
    assert os.listdir(tmp_path / 'new') == ['state.pt']


def test_failure_keeps_the_old_file(tmp_path, monkeypatch):
    path = str(tmp_path / 'state.pt')
    save_atomically({'x': 1}, path)

    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', full)
    with pytest.raises(OSError, match='No space left'):
        save_atomically({'x': 2}, path)
    assert load_state(path, '')['x'] == 1
    assert os.listdir(tmp_path) == ['state.pt']


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
    with pytest.raises(FileNotFoundError):
        load_state(str(tmp_path / 'none.pt'), '')
