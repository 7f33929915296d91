import multiprocessing
import re
import shutil
import time
from pathlib import Path

import pytest
import torch

from pyg_sessaug import __version__
from pyg_sessaug.files import save_atomically
from pyg_sessaug.training.state import KEYS, alone, saved_state

FIXTURES = Path(__file__).parents[1] / 'fixtures'


@pytest.fixture
def hold():
    """Starts a process that holds the lock of a file, and returns it."""
    started = []

    def start(path):
        context = multiprocessing.get_context('fork')
        ready = context.Event()

        def run():
            with alone(path):
                ready.set()
                time.sleep(600)

        process = context.Process(target=run)
        process.start()
        started.append(process)
        assert ready.wait(60)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def test_one_training_at_a_time(tmp_path, hold):
    path = str(tmp_path / 'new' / 'state.part')
    process = hold(path)
    match = (
        f'another process trains with {path} and holds {path}.lock; wait '
        f'for it, end it, or name another'
    )
    with pytest.raises(BlockingIOError, match=re.escape(match)):
        with alone(path):
            pass
    # Killed, it holds nothing, though its file is there.
    process.kill()
    process.join()
    assert [x.name for x in Path(path).parent.iterdir()] == ['state.part.lock']
    with alone(path), alone(path):  # Within, it may again.
        pass
    assert list(Path(path).parent.iterdir()) == []


def test_an_error_ends_the_lock(tmp_path, hold):
    path = str(tmp_path / 'state.part')
    with pytest.raises(KeyError), alone(path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    hold(path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    path = tmp_path / 'file' / 'state.part'
    with pytest.raises(OSError, match='nothing was changed') as error:
        with alone(str(path)):
            pass
    assert error.value.filename == str(path)


@pytest.mark.parametrize('kind', ['base', 'kmeans'])
def test_states_of_the_first_version_are_refused(tmp_path, kind):
    path = tmp_path / 'state.part'
    shutil.copy(FIXTURES / f'shop.recommender.{kind}.part', path)
    match = r'state\.part was written by pyg_sessaug 0\.1\.0.*start anew'
    with pytest.raises(ValueError, match=match):
        saved_state(str(path))


def test_states_of_other_versions_are_refused(tmp_path, monkeypatch):
    path = str(tmp_path / 'state.part')
    state = dict.fromkeys(KEYS, 1)
    save_atomically({**state, 'version': __version__}, path)
    assert saved_state(path)['settings'] == 1
    monkeypatch.setattr('pyg_sessaug.__version__', '9.8.7')
    match = f'written by pyg_sessaug {__version__}, and this is 9.8.7'
    with pytest.raises(ValueError, match=match):
        saved_state(path)
    save_atomically({'clusters': torch.ones(2)}, path)
    with pytest.raises(ValueError, match='holds no state of a training'):
        saved_state(path)
