import json
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.transforms import NormalizeEdges

sys.path.insert(0, str(Path(__file__).parents[2] / 'benchmarks'))
import _losses
import _sums
import alternatives


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    return MultimodalSessions(
        tmp_path_factory.mktemp('data'), num_items=40, num_sessions=600
    )


@pytest.fixture
def batch(dataset):
    return NormalizeEdges()(dataset.get_batch(torch.arange(20)))


def test_race_gives_every_input_to_every_run_and_drops_the_first():
    seen = []
    runs = {name: lambda x, name=name: seen.append((name, x)) for name in 'ab'}
    rounds = alternatives.WARM_UP + 20
    timings = alternatives.race(runs, ((i,) for i in range(rounds)))
    assert {name: len(t) for name, t in timings.items()} == {'a': 20, 'b': 20}
    assert [i for _, i in seen] == [i for i in range(rounds) for _ in runs]
    first = {name for name, _ in seen[::2]}
    assert first == {'a', 'b'}, 'the order never changed'


def test_ratios_are_taken_input_by_input():
    timings = {'now': [1.0, 10.0, 2.0], 'other': [3.0, 10.0, 4.0]}
    now, other = alternatives.summary('x', timings)
    assert (now['median_ms'], now['ratio']) == (2.0, 1.0)
    assert (other['median_ms'], other['ratio']) == (4.0, 2.0)
    assert other['quartiles'] == [1.5, 2.5]


@pytest.mark.parametrize('precision', ['float32', 'bf16'])
def test_losses_are_the_same_function(precision):
    x, weight = torch.randn(12, 8), torch.randn(30, 8)
    x.requires_grad_(), weight.requires_grad_()
    y = torch.randint(30, (12,))
    wide = (x.double() @ weight.double().t()).log_softmax(dim=1)
    truth = -wide[torch.arange(12), y].mean()
    grads = torch.autograd.grad(truth, (x, weight))
    close = partial(
        torch.testing.assert_close,
        rtol=5e-2 if precision == 'bf16' else 1e-4,
        atol=2e-2 if precision == 'bf16' else 1e-5,
        check_dtype=False,
    )
    losses = _losses.losses(precision)
    assert len(losses) >= 2
    for loss in losses.values():
        close(loss(x, weight, y), truth)
        for mine, true in zip(
            _losses.with_gradients(loss)(x, weight, y), grads
        ):
            close(mine, true)


def one_by_one(place, batch, x):
    """The sums in plain loops."""
    spans = list(zip(batch.ptr[:-1], batch.ptr[1:]))
    edges = batch.edge_index.t().tolist()
    if place == 'messages to nodes':
        out = torch.zeros_like(x)
        for (i, j), (ahead, back) in zip(edges, batch.edge_attr):
            out[2 * j] += ahead * x[2 * i]
            out[2 * i + 1] += back * x[2 * j + 1]
        return out
    if place == 'readout':
        return torch.stack([x[a:b].sum(0) for a, b in spans])
    if place == 'weights at nodes':
        out = torch.zeros(batch.num_nodes, 2)
        for (i, j), (into, outof) in zip(edges, x):
            out[j, 0] += into
            out[i, 1] += outof
        return out
    if place == 'largest weight':
        out = torch.zeros(len(spans), dtype=x.dtype)
        for (i, _), weight in zip(edges, x):
            graph = batch.batch[i]
            out[graph] = max(out[graph], weight)
        return out
    return torch.cat([x[a:b].softmax(0) for a, b in spans])


@pytest.mark.parametrize('place', _sums.SUMS)
def test_sums_are_the_same_function(place, batch):
    runs, x = _sums.SUMS[place](batch)
    assert len(runs) >= 1 + (_sums.torch_scatter is not None)
    truth = one_by_one(place, batch, x)
    weight = torch.randn_like(truth)
    for run in runs.values():
        torch.testing.assert_close(run(x.clone()), truth)
        if x.requires_grad:
            torch.testing.assert_close(
                torch.autograd.grad((run(x) * weight).sum(), x),
                torch.autograd.grad(
                    (truth * weight).sum(), x, retain_graph=True
                ),
            )


def test_other_sums_leave_the_model_the_same(batch):
    model = SRGNN(40, 8)
    loss = model.loss(batch)
    grads = torch.autograd.grad(loss, list(model.parameters()))
    sums = [(_sums.bag_messages, None)]
    if _sums.torch_scatter is not None:
        sums += [(_sums.segment_messages, _sums.segment_readout)]
    for messages, readout in sums:
        alternatives.use_sums(model, messages, readout)
        other = model.loss(batch)
        torch.testing.assert_close(other, loss)
        torch.testing.assert_close(
            torch.autograd.grad(other, list(model.parameters())), grads
        )


def test_report(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(alternatives, 'load', lambda root: dataset)
    monkeypatch.setattr(
        sys,
        'argv',
        ['x', '--rounds', '2', '--threads', '1', '--output', str(tmp_path)]
        + ['--parts', 'losses', 'sums', 'steps', 'adam'],
    )  # fmt: skip
    alternatives.main()
    report = json.loads((tmp_path / 'alternatives.json').read_text())
    assert report['num_items'] == 40
    assert report['rounds'] == 2
    names = [row['comparison'] for row in report['alternatives']]
    assert {*names} >= {
        'loss, float32',
        'readout, plain',
        'messages to nodes, i2i and blur',
        'step, float32, plain',
        'Adam on the item table',
    }
    table = (tmp_path / 'alternatives.md').read_text()
    assert all(f'| {name} ' in table for name in names)
    for row in report['alternatives']:
        assert f'| {row["variant"]} ' in table
        assert row['median_ms'] > 0
    variants = {row['variant'] for row in report['alternatives']}
    has = any('torch-scatter' in variant for variant in variants)
    assert has == (_sums.torch_scatter is not None)
    assert has != ('torch-scatter skipped' in capsys.readouterr().out)


def test_compiled_step_is_traced_once(dataset, monkeypatch):
    # Without code generation, so that no compiler is needed.
    compile = partial(torch.compile, backend='eager')
    monkeypatch.setattr(torch, 'compile', compile)
    samples = torch.arange(600).split(50)
    eager, compiled = alternatives.time_compiled(dataset, samples, 'float32')
    assert (eager['variant'], compiled['variant']) == ('eager', 'compiled')
    assert compiled['graphs'] > 0
    assert compiled['recompilations'] == 0
    report = {'alternatives': [eager, compiled]}
    assert f'{compiled["graphs"]} graphs' in alternatives.table(report)
