import pytest
import torch
from hypothesis import given, settings

from pyg_sessaug.nn import NISER
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.dense import adjacency, gated_cell
from tests.nn.reference import (
    assert_equals_reference,
    build,
    last_samples,
    sessions_of_clicks,
)


def unit(x):
    return x / x.square().sum(-1, keepdim=True).sqrt()


def niser_scores(model, clicks):
    """The equations of the paper for one session."""
    table = unit(model.item_embedding)
    nodes, a_in, a_out = adjacency(clicks)
    h = table[torch.tensor(nodes)]
    for _ in range(model.num_layers):
        h = gated_cell(model.conv, a_in, a_out, h)
    kept = min(len(clicks), model.max_length)
    c = []
    for i, item in enumerate(clicks):
        if model.positions == 'reversed':
            position = min(len(clicks) - 1 - i, model.max_length - 1)
        else:
            position = max(i - (len(clicks) - kept), 0)
        c.append(h[nodes.index(item)] + model.position.weight[position])
    readout, pooled = model.readout, 0.0
    for click in c:
        gate = torch.sigmoid(
            readout.lin_last.weight @ c[-1]
            + readout.lin_node.weight @ click
            + readout.lin_node.bias
        )
        pooled = pooled + (readout.lin_score.weight[0] @ gate) * click
    session = model.lin.weight @ torch.cat([c[-1], pooled])
    return model.scale * (table @ unit(session))


@pytest.mark.parametrize(
    'kwargs',
    [
        {},
        dict(num_layers=2, max_length=3, scale=5.0),
        dict(num_layers=0, positions='forward', max_length=4),
    ],
)
@settings(max_examples=25, deadline=None)
@given(clicks=sessions_of_clicks)
def test_equals_the_equations(kwargs, clicks):
    model = build(NISER, **kwargs).eval()
    assert_equals_reference(model, niser_scores, clicks)


def test_items_get_unit_length_after_dropout():
    model = build(NISER, num_layers=0, dropout=0.5)
    batch = NormalizeEdges()(last_samples([[1, 2, 3, 4], [5, 6, 0]]))
    lengths = []
    model.propagate = lambda x, _: lengths.append(x.norm(dim=1)) or x
    model.score(batch)
    assert ((lengths[0] - 1).abs() < 1e-9).all()


def test_the_defaults_are_the_papers():
    model = NISER(9)
    assert (model.scale, model.dropout) == (16.0, 0.1)
    assert (model.hidden_channels, model.num_layers) == (100, 1)
    with pytest.raises(ValueError, match="'back'"):
        NISER(9, positions='back')
