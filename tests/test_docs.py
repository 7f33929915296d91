"""Runs the Python code of the documentation."""

import re
from pathlib import Path

import pytest
import torch

SOURCE = Path(__file__).parents[1] / 'docs' / 'source'
PAGES = sorted(SOURCE.glob('*.md'))
BLOCK = re.compile(r'^```python\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def blocks(page):
    """Each block of a page behind empty lines, so that errors tell where."""
    text = page.read_text('utf-8')
    for match in BLOCK.finditer(text):
        yield '\n' * text[: match.start(1)].count('\n') + match[1]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_code_of_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {'__name__': page.stem}
    for code in blocks(page):
        exec(compile(code, str(page), 'exec'), names)


def test_pages_have_code():
    with_code = {page.stem for page in PAGES if any(blocks(page))}
    assert with_code >= {'quickstart', 'your_model', 'your_log', 'method'}
