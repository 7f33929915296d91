import torch
from hypothesis import given, settings

from pyg_sessaug.nn import SRGNNPlus
from tests.nn.dense import adjacency, gated_cell
from tests.nn.reference import (
    assert_equals_reference,
    build,
    sessions_of_clicks,
)


def scores(model, clicks):
    """The equations of the class, click by click."""
    nodes, a_in, a_out = adjacency(clicks)
    table = torch.nn.functional.normalize(model.item_embedding, dim=1)
    x = table[nodes]
    h = gated_cell(model.conv, a_in, a_out, x)
    gate = (torch.cat([x, h], 1) @ model.highway.weight.t()).sigmoid()
    h = gate * x + (1 - gate) * h
    h = torch.stack([h[nodes.index(item)] for item in clicks])
    query = model.lin_query.weight @ torch.cat([h[-1], h.mean(dim=0)])
    pooled = 0
    for i, row in enumerate(h):
        ago = min(len(clicks) - 1 - i, model.max_length - 1)
        key = model.lin_click(row) + model.positions.weight[ago]
        alpha = model.lin_score(torch.sigmoid(key + query))
        pooled = pooled + alpha * row
    vector = model.lin(torch.cat([h[-1], pooled]))
    return 12 * table @ (vector / vector.norm())


@settings(max_examples=25, deadline=None)
@given(clicks=sessions_of_clicks)
def test_equals_dense_reference(clicks):
    model = build(SRGNNPlus, max_length=3).eval()
    assert_equals_reference(model, scores, clicks)
