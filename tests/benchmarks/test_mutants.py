import json
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


def test_survivors_keep_their_verdicts(tmp_path, monkeypatch):
    path = tmp_path / 'mutants.json'
    monkeypatch.setattr(mutants, 'RESULTS', str(path))
    change = {'operator': 'AddNot', 'change': ['-if a:', '+if not a:']}
    old = {'line': 7, **change, 'verdict': 'a is nothing'}
    new = {'line': 9, **change}
    assert mutants.judge('a.py', [new]) == [new]
    path.write_text(json.dumps({'modules': {'a.py': {'survivors': [old]}}}))
    assert mutants.judge('a.py', [new]) == [{**new, 'verdict': 'a is nothing'}]
    assert mutants.judge('b.py', [new]) == [{**new, 'verdict': None}]


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
