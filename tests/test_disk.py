"""A disk that is really full, and one that cannot be written to."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.test_main import QUICK, write

# Runs commands on a small disk of its own, first writable and then not.
SCRIPT = """
import subprocess
import sys
from pyg_sessaug.__main__ import main

def run(*argv):
    try:
        main(list(argv))
    except SystemExit as error:
        print(error)

disk, log, *quick = sys.argv[1:]
options = ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', disk]
subprocess.run(['mount', *options], check=True)
data = ['--log', log, '--root', disk]
train = ['train', *data, *quick, '--output', f'{disk}/model.pt']
ask = ['recommend', f'{disk}/model.pt', 'i3', '-k', '3']
run(*train)
run(*ask)
run(*train, '--hidden', '500')
run(*ask)
subprocess.run(['mount', '-o', 'remount,ro', disk], check=True)
run('prepare', *data, '--fraction', '0.5')
run(*train)
run(*ask)
"""


@pytest.mark.slow
def test_full_and_read_only(tmp_path):
    unshare = shutil.which('unshare')
    command = [unshare or 'unshare', '--map-root-user', '--mount']
    probe = [*command, 'mount', '-t', 'tmpfs', 'tmpfs', str(tmp_path)]
    if (
        unshare is None
        or subprocess.run(probe, capture_output=True).returncode
    ):
        pytest.skip('no right to mount a small disk')
    log = write(tmp_path / 'clicks.csv', prefix='i')
    disk = tmp_path / 'disk'
    disk.mkdir()
    out = subprocess.run(
        [*command, sys.executable, '-c', SCRIPT, str(disk), log, *QUICK],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert 'Traceback' not in out.stderr
    assert out.returncode == 0
    lines = [x for x in out.stdout.splitlines() if x[:7] != 'preset ']
    assert lines[1] == f'Written to {disk}/model.pt'
    assert 'No space left on device; nothing was changed' in lines[3]
    assert f'cannot write to {disk}/processed: permission' in lines[5]
    assert 'Read-only file system; nothing was changed' in lines[6]
    assert len(lines[2].split()) == 3
    assert lines[2] == lines[4] == lines[7]
