"""Training that is killed again and again ends as if undisturbed."""

import io
import os
import re
import shutil
import signal
import time
from contextlib import redirect_stdout
from multiprocessing import get_context

import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st

from pyg_sessaug.__main__ import main
from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.datasets import SessionLog
from pyg_sessaug.files import load_state
from tests.soak.strange import cases
from tests.test_main import QUICK, write

pytestmark = pytest.mark.soak

# Calls in which a run is killed, or shortly after.
PLACES = {
    'prepare': (SessionLog, 'prepare'),
    'train': (torch.optim.Adam, 'step'),
    'cluster': (ItemClusters, 'fit'),
    'write': (torch, 'save'),
    'move': (os, 'replace'),
}
UNFINISHED = re.compile(r'\.\d+\.part$')
# Imports once, in a process without threads, of which each run is a fork.
CONTEXT = get_context('forkserver')
CONTEXT.set_forkserver_preload([__name__, 'sklearn.mixture', 'pyarrow.csv'])

kills = st.lists(
    st.tuples(
        st.sampled_from(list(PLACES)),
        st.floats(0, 1, exclude_max=True),  # Which of the calls
        st.floats(0, 0.05),  # Seconds after it began
    ),
    min_size=1,
    max_size=3,
)


def train(argv, kill, pipe):
    """Runs the command line, and tells when the call to be killed begins."""
    count = dict.fromkeys(PLACES, 0)

    def announce(place, owner, name):
        function = getattr(owner, name)

        def wrapped(*args, **kwargs):
            if (place, count[place]) == kill:
                pipe.send('now')
            count[place] += 1
            return function(*args, **kwargs)

        setattr(owner, name, wrapped)

    for place, (owner, name) in PLACES.items():
        announce(place, owner, name)
    with redirect_stdout(io.StringIO()):
        main(argv)
    pipe.send(count)


def run(folder, kill=None, delay=0.0):
    """Runs until the end, or the kill of a (place, call) after a delay.

    Returns how often each place was called, or None if it was killed.
    """
    argv = ['train', '--log', str(folder / 'clicks.csv'), *QUICK]
    argv += ['--output', str(folder / 'model.pt'), '--augment', 'gmm']
    argv += ['--threads', '2', '--resume']
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=train, args=(argv, kill, sender))
    process.start()
    sender.close()
    message = receiver.recv()  # EOFError if it failed
    if message == 'now':
        time.sleep(delay)
        process.kill()
    process.join()
    if process.exitcode == -signal.SIGKILL:
        return None
    assert process.exitcode == 0
    return receiver.recv() if message == 'now' else message


def contents(folder):
    """What every file holds, by its name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def begin(folder):
    """An empty folder, which always has the same name: files hold it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write(folder / 'clicks.csv')


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp('soak') / 'run'
    begin(folder)
    count = run(folder)
    assert all(count.values()), f'a place that is never called: {count}'
    files = contents(folder)
    assert len(files) == 5  # The log, three splits and a recommender
    return folder, count, files


@cases(1 / 25)
@given(kills=kills)
def test_killed_training_ends_as_undisturbed(undisturbed, kills):
    folder, count, files = undisturbed
    begin(folder)
    for place, share, delay in kills:
        event(f'killed in {place}')
        if run(folder, (place, int(share * count[place])), delay):
            break  # It was already beyond that call, and is at its end.
        for path in folder.rglob('*'):
            state = path.suffix in ('.pt', '.part')
            if state and not UNFINISHED.search(path.name):
                load_state(str(path), 'it must be whole')
    else:
        run(folder)
    found = contents(folder)
    assert sorted(found) == sorted(files)
    assert [x for x in files if found[x] != files[x]] == []
