"""Every example runs, and what it prints holds."""

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / 'examples'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    def run(name, *options):
        path = str(FOLDER / f'{name}.py')
        root = ['--root', str(tmp_path / 'data')]
        monkeypatch.setattr(sys, 'argv', [path, *root, *options])
        torch.manual_seed(0)
        names = runpy.run_path(path)
        return names, capsys.readouterr().out

    return run


def metrics(out, name):
    line = re.search(rf'^{name}: (\{{.*\}})$', out, re.MULTILINE)
    return ast.literal_eval(line[1])


def test_examples_are_short():
    paths = sorted(FOLDER.glob('*.py'))
    assert len(paths) == 5
    for path in paths:
        assert len(path.read_text().splitlines()) < 80
        assert path.name in (FOLDER / 'README.md').read_text()


def test_stock_model(run):
    _, out = run('stock_model', '--num-sessions', '600')
    for name in ('plain', 'augmented'):
        losses = re.findall(rf'^{name}, epoch \d: (.*)$', out, re.MULTILINE)
        assert len(losses) == 4
        assert float(losses[-1]) < float(losses[0]) - 0.5
        hits = metrics(out, name)['HR@20']
        assert hits > 1.5 * 20 / 300


def test_custom_transform(run):
    names, out = run('custom_transform', '--num-sessions', '600')
    graph = next(g for g in names['train'] if g.num_edges > 2)
    weighted = names['Popularity'](names['clicks'])(graph)
    for (_, target), before, after in zip(
        graph.edge_index.t().tolist(), graph.edge_weight, weighted.edge_weight
    ):
        clicks = (names['train'].flat_sessions.item == graph.x[target]).sum()
        assert float(after) == pytest.approx(
            float(before * torch.log(clicks + 1.0))
        )
    for name in ('plain', 'popularity'):
        assert metrics(out, name)['HR@20'] > 1.5 * 20 / 300


def test_custom_backbone(run):
    names, out = run('custom_backbone', '--num-sessions', '600')
    for name in ('gated', 'attention'):
        losses = re.search(rf'^{name}: validation losses (.*)$', out, re.M)
        first, *_, last = map(float, losses[1].split(', '))
        assert last < first
        assert metrics(out, name)['HR@20'] > 1.5 * 20 / 300
    grad = names['model'].conv.conv.lin_edge.weight.grad
    assert grad.abs().max() > 0


def test_own_log(run):
    """The next item is one or two further up the shelf."""
    names, _ = run('own_log', '--epochs', '6')
    assert names['evaluate'](names['model'], names['test'], k=5)['HR@5'] > 0.8
    assert list(names['histories']) == ['base', 'augmented']
    last = int(names['session'][-1].removeprefix('item-'))
    following = {f'item-{(last + step) % 30}' for step in (1, 2)}
    assert following & set(names['result'].items)


def test_session_modes(run):
    names, out = run('session_modes', '--epochs', '3')
    assert names['score'] > 0.2  # 0 by chance.
    assert 0 < names['within'] < 1
    count = re.search(r'clicks by cluster: (.*)$', out, re.MULTILINE)
    assert sum(ast.literal_eval(count[1])) == names['train'].clicks
