import math

import pytest
import torch
from hypothesis import given, settings

from pyg_sessaug.nn import SGNNHN
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.dense import adjacency, gated_cell
from tests.nn.reference import (
    assert_equals_reference,
    build,
    last_samples,
    sessions_of_clicks,
)


def sgnnhn_scores(model, clicks):
    """The equations of the paper for one session."""
    nodes, a_in, a_out = adjacency(clicks)
    e = h = model.item_embedding[torch.tensor(nodes)]
    z, root = e.mean(0), math.sqrt(e.size(1))
    for _ in range(model.num_layers):
        h = gated_cell(model.conv, a_in, a_out, h)
        if model.project_star:
            alpha = (h @ model.lin_gate.weight.t()) @ (
                model.lin_gate_star.weight @ z
            )
        else:
            alpha = h @ z
        alpha = torch.sigmoid(alpha / root).unsqueeze(1)
        h = (1 - alpha) * h + alpha * z
        if model.project_star:
            beta = (h @ model.lin_node.weight.t()) @ (
                model.lin_star.weight @ z
            )
            beta = beta / root
        else:
            beta = h @ z
        z = torch.softmax(beta, dim=0) @ h
    gate = torch.cat([e, h], dim=1) @ model.highway.weight.t()
    gate = torch.sigmoid(gate + model.highway.bias)
    h = gate * e + (1 - gate) * h

    first = max(len(clicks) - model.max_length, 0)
    c = []
    for i, item in enumerate(clicks):
        if model.positions == 'forward':
            position = max(i - first, 0)
        else:
            position = min(len(clicks) - 1 - i, model.max_length - 1)
        c.append(h[nodes.index(item)] + model.position.weight[position])
    readout, pooled = model.readout, 0.0
    d = h.size(1)
    w_last, w_star = readout.lin_last.weight.split(d, dim=1)
    for click in c:
        gate = torch.sigmoid(
            w_last @ c[-1]
            + w_star @ z
            + readout.lin_node.weight @ click
            + readout.lin_node.bias
        )
        pooled = pooled + (readout.lin_score.weight[0] @ gate) * click
    session = model.lin.weight @ torch.cat([pooled, c[-1]])
    table = model.item_embedding
    if model.center:
        session = session - session.mean()
        table = table - table.mean(1, keepdim=True)
    if model.scale is None:
        return table @ session
    length = table.square().sum(1).sqrt() * session.square().sum().sqrt()
    return model.scale * (table @ session) / length


@pytest.mark.parametrize(
    'kwargs',
    [
        {},
        dict(num_layers=3, max_length=3),
        dict(num_layers=2, project_star=True, positions='reversed'),
        dict(num_layers=0, center=False, scale=5.0),
        dict(scale=None),
    ],
)
@settings(max_examples=25, deadline=None)
@given(clicks=sessions_of_clicks)
def test_equals_the_equations(kwargs, clicks):
    model = build(SGNNHN, **kwargs)
    assert_equals_reference(model, sgnnhn_scores, clicks)


def test_autocast_with_learned_maps():
    model = build(SGNNHN, project_star=True).float()
    batch = NormalizeEdges()(last_samples([[1, 2, 1, 3], [4, 5]]))
    expected = model.loss(batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = model.loss(batch)
    torch.testing.assert_close(loss, expected, rtol=0.1, atol=0.1)


def test_the_defaults_are_the_papers():
    model = SGNNHN(9)
    assert (model.scale, model.center, model.dropout) == (12.0, True, 0.0)
    assert (model.hidden_channels, model.max_length) == (100, 10)
    assert len(list(model.lin_star.parameters())) == 0
    assert SGNNHN(9, project_star=True).lin_star.weight.size() == (100, 100)
