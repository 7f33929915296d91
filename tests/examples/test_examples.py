"""Every example runs, and what it prints holds."""

import ast
import re
import runpy
import sys
from math import log1p
from pathlib import Path

import pytest
import torch

from pyg_sessaug import SessionLoader
from pyg_sessaug.transforms import NormalizeEdges

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
    assert len(paths) == 10
    for path in paths:
        lines = len(path.read_text().splitlines())
        assert lines < (150 if path.name == 'serve.py' else 80)
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
    clicked = names['train'].flat_sessions.item.tolist()
    for (i, j), weight in zip(
        graph.edge_index.t().tolist(), weighted.edge_weight.tolist()
    ):
        ends = [clicked.count(int(graph.x[node])) for node in (i, j)]
        assert weight == pytest.approx(log1p(ends[0]) * log1p(ends[1]))
    shown = re.search(r'weights of a session: tensor\(\[(.*)\]\)', out)
    assert len(set(shown[1].split(', '))) > 1
    # Neither column of the shares is that of plain graphs.
    batch = next(iter(SessionLoader(names['train'], 500)))
    plain = NormalizeEdges()(batch).edge_attr
    shares = NormalizeEdges()(names['Popularity'](names['clicks'])(batch))
    assert ((shares.edge_attr - plain).abs().amax(dim=0) > 0.01).all()
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


def test_own_log_with_other_columns(run, tmp_path):
    """A log with integer ids and columns of other names."""
    path = tmp_path / 'shop.csv'
    rows = [
        f'{visit},{(visit + step) % 9},{3600 * visit + step}'
        for visit in range(300)
        for step in range(4)
    ]
    path.write_text('\n'.join(['visit,sku,when', *rows]))
    columns = '--session visit --item sku --time when --epochs 2'.split()
    names, out = run('own_log', '--log', str(path), *columns)
    assert names['train'].item_ids.tolist() == list(range(9))
    assert set(names['result'].items) <= set(range(9))
    assert 'after [0, 1]: [' in out


def test_own_log_with_categories(run, tmp_path):
    path = tmp_path / 'shop.csv'
    rows = [
        f'{visit},{(visit + step) % 9},{3600 * visit + step},{visit % 9 % 2}'
        for visit in range(300)
        for step in range(4)
    ]
    path.write_text('\n'.join(['session_id,item_id,time,kind', *rows]))
    names, _ = run(
        'own_log', '--log', str(path), '--category', 'kind', '--epochs', '1',
        '--augment', 'category',
    )  # fmt: skip
    assert names['train'].num_categories == 2
    assert len(names['histories']) == 2


def test_sharded_table(run):
    """In one process, which then has all rows."""
    _, out = run('sharded_table', '--num-sessions', '600')
    hits = [float(x) for x in re.findall(r'HR@20 (.*)$', out, re.MULTILINE)]
    assert len(hits) == 3
    assert hits[-1] > max(hits[0], 3 * 20 / 1000)
    assert out.splitlines()[-1] == 'process 0: 1000 of 1000 rows'


def test_session_modes(run):
    names, out = run('session_modes', '--epochs', '3')
    assert names['score'] > 0.2  # 0 by chance.
    # The last count by hand: every step of every session, true modes.
    sessions, mode = names['sessions'], names['train'].item_modes.tolist()
    steps = [
        mode[a] == mode[b]
        for items in sessions.item.split(sessions.length.tolist())
        for a, b in zip(items.tolist(), items.tolist()[1:])
    ]
    assert float(names['truth']) == pytest.approx(sum(steps) / len(steps))
    assert 0 < names['within'] < 1
    count = re.search(r'clicks by cluster: (.*)$', out, re.MULTILINE)
    assert sum(ast.literal_eval(count[1])) == names['train'].clicks


def test_compare(run, tmp_path):
    plot = tmp_path / 'compare.png'
    names, out = run(
        'compare', '--num-sessions', '300', '--epochs', '2', '--seeds', '2',
        '--plot', str(plot),
    )  # fmt: skip
    assert plot.stat().st_size > 5_000
    ranks, target = names['ranks'], len(names['test'])
    assert [len(x) for x in ranks.values()] == [2, 2]
    assert all(len(rank) == target for x in ranks.values() for rank in x)
    hits = [metrics(out, f'seed {i}, mine')['HR@20'] for i in (0, 1)]
    mean, shown = 100 * sum(hits) / 2, names['comparison']['HR@20']
    assert shown['mine']['mean'] == pytest.approx(mean)
    row = shown['shuffled']
    base = shown['base']['mean']
    assert row['difference'] == pytest.approx(row['mean'] - base)
    line = rf'HR@20 +\| shuffled +\| {row["mean"]:.2f} '
    assert len(re.findall(line, out)) == 2
    assert out.count('over the base [95 %]') == 2


def test_tune(run, tmp_path):
    pytest.importorskip('optuna', reason='needs the extra `tune`')
    small = ['--num-sessions', '200', '--epochs', '1']
    names, out = run('tune', *small, '--trials', '2')
    assert len(re.findall(r'^trial \d: ', out, re.MULTILINE)) == 2
    values = [x.value for x in names['study'].trials]
    # The second call goes on; the third has nothing to do but to test.
    names, out = run('tune', *small, '--trials', '3')
    assert re.findall(r'^trial (\d): ', out, re.MULTILINE) == ['2']
    assert [x.value for x in names['study'].trials][:2] == values
    best = names['study'].best_params
    names, out = run('tune', *small, '--trials', '3')
    assert 'trial 3' not in out
    assert names['study'].best_params == best
    assert 0 <= metrics(out, 'test')['HR@20'] <= 1


@pytest.mark.parametrize('model', ['srgnn', 'tagnn'])
def test_onnx_export(run, model):
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    names, _ = run('onnx_export', '--model', model, '--num-sessions', '300')
    scores = torch.from_numpy(names['scores'])
    torch.testing.assert_close(scores, names['expected'])
    # Rounding may swap items whose scores differ by less than it.
    best, top = (torch.from_numpy(names[x]) for x in ('best', 'top'))
    scores = names['expected']
    close = scores.gather(1, best) - scores.gather(1, top)
    assert scores.size(0) == 1000
    assert float(close.abs().max()) < 1e-5
    assert names['same'].mean() > 0.99
