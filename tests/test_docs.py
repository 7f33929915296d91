"""Runs the Python code and the package's commands of the documentation."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from pyg_sessaug.__main__ import main

SOURCE = Path(__file__).parents[1] / 'docs' / 'source'
PAGES = sorted(SOURCE.glob('*.md'))
BLOCK = re.compile(r'^```(python|bash)\n(.*?)^```$', re.DOTALL | re.MULTILINE)
COMMAND = 'python -m pyg_sessaug '
# Pages whose logs have one of three items follow, so that all can be hit.
CERTAIN = {'command_line', 'every_day', 'your_log'}


def blocks(page):
    """Each block of a page behind empty lines, so that errors tell where."""
    text = page.read_text('utf-8')
    for match in BLOCK.finditer(text):
        empty = '\n' * text[: match.start(2)].count('\n')
        yield match[1], empty + match[2]


def commands(code):
    for line in code.replace('\\\n', ' ').splitlines():
        if line.startswith(COMMAND):
            yield shlex.split(line.removeprefix(COMMAND))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_code_of_the_page_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {'__name__': page.stem}
    for language, code in blocks(page):
        if language == 'python':
            exec(compile(code, str(page), 'exec'), names)
        else:
            for arguments in commands(code):
                main(arguments)
    if page.stem in CERTAIN:
        out = capsys.readouterr().out
        shares = re.findall(r"'HR@5': ([\d.]+)", out)
        shares += [float(x) / 100 for x in re.findall(r'HR@5 +([\d.]+)', out)]
        assert shares
        assert min(map(float, shares)) >= 0.95


def test_pages_have_code():
    with_code = {
        page.stem
        for page in PAGES
        if any(language == 'python' for language, _ in blocks(page))
    }
    assert with_code >= {'quickstart', 'your_model', 'your_log', 'method'}
