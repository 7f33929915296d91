"""The notebook is the page of the five-minute start, and its cells run."""

import json
import re

import torch

from docs import write_notebook


def test_the_notebook_is_of_today():
    page = write_notebook.PAGE.read_text('utf-8')
    written = write_notebook.NOTEBOOK.read_text('utf-8')
    assert written == write_notebook.write(page)


def test_its_cells_run(tmp_path, monkeypatch, capsys):
    notebook = json.loads(write_notebook.NOTEBOOK.read_text('utf-8'))
    assert notebook['nbformat'] == 4
    cells = [x for x in notebook['cells'] if x['cell_type'] == 'code']
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {'__name__': '__main__'}
    for i, cell in enumerate(cells):
        code = ''.join(cell['source'])
        exec(compile(code, f'cell {i}', 'exec'), names)
    shares = re.findall(r"'HR@20': ([\d.]+)", capsys.readouterr().out)
    assert len(shares) == 2
    assert min(map(float, shares)) > 2 * 20 / 300
    assert len(names['recommender'].recommend([17], k=5).items) == 5
