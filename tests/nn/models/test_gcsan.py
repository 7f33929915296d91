import math

import pytest
import torch
from hypothesis import given, settings

from pyg_sessaug.nn import GCSAN
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.dense import adjacency, gated_cell
from tests.nn.reference import (
    assert_equals_reference,
    build,
    last_samples,
    sessions_of_clicks,
)


def gcsan_scores(model, clicks):
    """The equations of the paper for one session."""
    nodes, a_in, a_out = adjacency(clicks)
    h = model.item_embedding[torch.tensor(nodes)]
    for _ in range(model.num_layers):
        h = gated_cell(model.conv, a_in, a_out, h)
    h = h[torch.tensor([nodes.index(item) for item in clicks])]
    e = h
    for block in model.blocks:
        q, k, v = (
            e @ lin.weight.t()
            for lin in (block.lin_query, block.lin_key, block.lin_value)
        )
        f = torch.softmax(q @ k.t() / math.sqrt(h.size(1)), dim=1) @ v
        inner = (f @ block.lin1.weight.t() + block.lin1.bias).clamp(min=0)
        e = inner @ block.lin2.weight.t() + block.lin2.bias + f
    session = model.weight * e[-1] + (1 - model.weight) * h[-1]
    return model.item_embedding @ session


@pytest.mark.parametrize(
    'kwargs',
    [{}, dict(num_blocks=3, weight=0.3), dict(num_layers=2, num_blocks=2)],
)
@settings(max_examples=25, deadline=None)
@given(clicks=sessions_of_clicks)
def test_equals_the_equations(kwargs, clicks):
    model = build(GCSAN, **kwargs).eval()
    assert_equals_reference(model, gcsan_scores, clicks)


def test_without_weight_the_last_click_is_all():
    model = build(GCSAN, num_layers=0, weight=0.0)
    batch = NormalizeEdges()(last_samples([[1, 2, 3], [4, 5, 6, 0]]))
    assert torch.equal(model(batch), model.item_embedding[[2, 6]])


def test_blocks_drop_in_training_alone():
    model = build(GCSAN)
    batch = NormalizeEdges()(last_samples([[1, 2, 3], [4, 5, 6, 0]]))
    assert not torch.equal(model(batch), model(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))


def test_arguments():
    model = GCSAN(9)
    assert (model.weight, model.num_blocks) == (0.6, 1)
    assert (model.hidden_channels, model.num_layers) == (100, 1)
    assert model.scale is None
    with pytest.raises(ValueError, match='num_blocks must be 1 or more'):
        GCSAN(9, num_blocks=0)
