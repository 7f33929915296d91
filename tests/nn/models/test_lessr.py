import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch.nn import PReLU

from pyg_sessaug.nn import LESSR
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.reference import (
    NUM_ITEMS,
    assert_equals_reference,
    build,
    last_samples,
    sessions_of_clicks,
)


def make(**kwargs):
    model = build(LESSR, **kwargs)
    for name, buffer in model.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_()
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 2.0)
    return model


def norm(layer, parts):
    """Batch norm over the rows of all parts."""
    layer, rows = layer.module, torch.cat(parts)
    mean, var = layer.running_mean, layer.running_var
    if layer.training and len(rows) > 1:
        mean = rows.mean(0)
        var = (rows - mean).square().mean(0)
    rows = (rows - mean) / (var + layer.eps).sqrt()
    rows = rows * layer.weight + layer.bias
    return rows.split([len(part) for part in parts])


def gru(cell, x, h, weight):
    def gate(k, x_or_h, w, b):
        d = len(h)
        return w[k * d : (k + 1) * d] @ x_or_h + b[k * d : (k + 1) * d]

    own = [gate(k, x, cell.weight_ih, cell.bias_ih) for k in range(3)]
    old = [gate(k, h, cell.weight_hh, cell.bias_hh) for k in range(3)]
    r, z = (torch.sigmoid(own[k] + old[k]) for k in range(2))
    n = torch.tanh(own[2] + r * old[2])
    return h + weight * ((1 - z) * n + z * h - h)


def eopa(layer, x, nodes, clicks, weight):
    rows = []
    for i, item in enumerate(nodes):
        h = torch.zeros_like(x[i])
        for u, v in itertools.pairwise(clicks):  # Each time anew
            if v == item:
                h = gru(layer.gru, x[nodes.index(u)], h, weight.get((u, v), 1))
        rows.append(layer.lin_self.weight @ x[i] + layer.lin_neigh.weight @ h)
    return torch.stack(rows)


def sgat(layer, x, nodes, clicks):
    rows = []
    for i, item in enumerate(nodes):
        near = [
            j
            for j, other in enumerate(nodes)
            if any(
                clicks[p] == other and clicks[q] == item
                for q in range(len(clicks))
                for p in range(q + 1)
            )
        ]
        gates = [layer.lin_query(x[j]) + layer.lin_key(x[i]) for j in near]
        scores = [layer.lin_score(torch.sigmoid(gate)) for gate in gates]
        alpha = torch.softmax(torch.cat(scores), 0)
        rows.append(
            sum(a * layer.lin_value(x[j]) for a, j in zip(alpha, near))
        )
    return torch.stack(rows)


def lessr_scores(model, sessions, weight=None):
    """Scores of several sessions, which batch norms join in training."""
    nodes = [list(dict.fromkeys(clicks)) for clicks in sessions]
    xs = [model.item_embedding[torch.tensor(items)] for items in nodes]
    for k, layer in enumerate(model.layers):
        out = []
        for y, items, clicks in zip(norm(layer.norm, xs), nodes, sessions):
            if k % 2:
                y = sgat(layer, y, items, clicks)
            else:
                y = eopa(layer, y, items, clicks, weight or {})
            out.append(torch.where(y > 0, y, layer.act.weight * y))
        xs = [torch.cat([y, x], dim=1) for y, x in zip(out, xs)]
    joined = []
    for x, y, items, clicks in zip(
        xs, norm(model.norm_nodes, xs), nodes, sessions
    ):
        last = items.index(clicks[-1])
        gates = [model.lin_node(row) + model.lin_last(y[last]) for row in y]
        scores = [model.lin_score(torch.sigmoid(gate)) for gate in gates]
        beta = torch.softmax(torch.cat(scores), 0)
        pooled = model.lin_pooled(sum(b * row for b, row in zip(beta, y)))
        joined.append(torch.cat([x[last], pooled])[None])
    vectors = torch.cat(norm(model.norm, joined))
    return vectors @ model.lin.weight.t() @ model.item_embedding.t()


@pytest.mark.parametrize('num_layers', [0, 1, 4])
@settings(max_examples=15, deadline=None)
@given(clicks=sessions_of_clicks)
def test_equals_dense_reference(num_layers, clicks):
    assert_equals_reference(
        make(num_layers=num_layers).eval(),
        lambda model, session: lessr_scores(model, [session])[0],
        clicks,
    )


@pytest.mark.parametrize(
    'clicks', [[[1, 2, 1, 2, 3, 4], [5, 5], [0, 8, 7, 8, 0, 2, 6]], [[3, 1]]]
)
def test_batch_norm_in_training_equals_dense_reference(clicks):
    model = make().train()
    batch = last_samples(clicks)
    batch.edge_weight = batch.edge_weight.double()
    batch = NormalizeEdges()(batch)
    scores = lessr_scores(model, [session[:-1] for session in clicks])
    wanted = F.cross_entropy(scores, batch.y)
    loss = model.loss(batch)
    torch.testing.assert_close(loss, wanted, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(
        *(
            torch.autograd.grad(
                x, list(model.parameters()), materialize_grads=True
            )
            for x in (loss, wanted)
        ),
        rtol=1e-6,
        atol=1e-8,
    )


def test_weighted_edges_equal_dense_reference():
    model, clicks = make().eval(), [0, 1, 0, 2, 2, 3, 0, 1, 0, 3]
    batch = last_samples([[*clicks, 4]])
    torch.manual_seed(2)
    batch.edge_attr = share = torch.randn(batch.num_edges, 2).double()
    pairs = [tuple(x) for x in batch.x[batch.edge_index].t().tolist()]
    weight = {}
    for n, (u, v) in enumerate(pairs):
        top = max(abs(share[m, 0]) for m, p in enumerate(pairs) if p[1] == v)
        weight[u, v] = share[n, 0] / top
    torch.testing.assert_close(
        model.score(batch), lessr_scores(model, [clicks], weight)
    )


def test_order_of_edges_counts():
    """Sessions of one graph, whose edges into 0 come in another order."""
    model = make().eval()
    left, right = [1, 0, 2, 0, 1, 0], [2, 0, 1, 0, 2, 0]
    batch = last_samples([[*left, 4], [*right, 4]])
    batch.edge_weight = batch.edge_weight.double()
    score = model.score(NormalizeEdges()(batch))
    assert (score[0] - score[1]).abs().max() > 1e-3


def test_any_order_of_nodes():
    model = make().eval()
    batch = last_samples([[0, 1, 0, 2, 3, 1, 4], [5, 6, 5]])
    batch.edge_weight = batch.edge_weight.double()
    batch = NormalizeEdges()(batch)
    score = model.score(batch)
    order = torch.tensor([2, 0, 3, 1, 5, 4])
    place = order.argsort()
    batch.x = batch.x[order]
    batch.edge_index = place[batch.edge_index]
    batch.click_index = place[batch.click_index]
    torch.testing.assert_close(model.score(batch), score)


def test_max_norm():
    model, batch = make(max_norm=1.0), last_samples([[1, 2, 3]])
    batch.edge_weight = batch.edge_weight.double()
    batch = NormalizeEdges()(batch)
    before = model.item_embedding.detach().clone()
    assert before.norm(dim=1).max() > 1
    model.loss(batch).backward()
    scale = before.norm(dim=1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(
        model.item_embedding.detach(), before / scale, rtol=1e-5, atol=1e-6
    )
    assert model.item_embedding.grad.size() == (NUM_ITEMS, 6)


def test_layers_start_as_theirs():
    model = LESSR(9, 8)
    assert all(x.module.weight.eq(1).all() for x in norms(model))
    acts = [x for x in model.modules() if isinstance(x, PReLU)]
    assert all(x.weight.eq(0.25).all() for x in acts)


def norms(model):
    kind = type(model.norm)
    return [x for x in model.modules() if isinstance(x, kind)]


@pytest.mark.parametrize(
    ('kwargs', 'word'),
    [(dict(num_layers=-1), '-1'), (dict(max_norm=0.0), '0.0')],
)
def test_bad_arguments(kwargs, word):
    with pytest.raises(ValueError, match=word):
        LESSR(9, 6, **kwargs)
