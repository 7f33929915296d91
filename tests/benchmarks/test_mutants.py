import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'benchmarks'))
import mutants

ROOT = Path(mutants.__file__).resolve().parents[1]


def test_modules_and_their_tests_exist():
    for module, tests in mutants.MODULES.items():
        assert (ROOT / 'pyg_sessaug' / module).is_file()
        assert all((ROOT / test).exists() for test in tests)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs os.fork')
def test_each_question_runs_the_tests_anew(tmp_path, monkeypatch):
    monkeypatch.setenv('PYTEST_ADDOPTS', '--no-such-option')
    value, test = tmp_path / 'value.txt', tmp_path / 'test_value.py'
    test.write_text(
        'from pathlib import Path\n\n\n'
        'def test_value():\n'
        "    assert Path('value.txt').read_text() == 'right'\n"
    )
    value.write_text('right')
    address = tmp_path / 's'
    command = [sys.executable, mutants.__file__, '--serve', str(address)]
    server = subprocess.Popen(
        [*command, '--tests', str(test), '--timeout', '60'], cwd=tmp_path
    )
    try:
        while not address.exists():
            assert server.poll() is None
            time.sleep(0.1)
        assert mutants.ask(str(address)) == 0
        value.write_text('wrong')
        assert mutants.ask(str(address)) == 1
        value.write_text('right')
        assert mutants.ask(str(address)) == 0
    finally:
        server.kill()
        server.wait()
