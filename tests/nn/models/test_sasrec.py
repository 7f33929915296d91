import math

import pytest
import torch
from hypothesis import given, settings

from pyg_sessaug.nn import SASRec
from tests.nn.models.test_core import attend
from tests.nn.reference import (
    assert_equals_reference,
    build,
    last_samples,
    sessions_of_clicks,
)


def normed(x, norm):
    mean, var = x.mean(), x.var(unbiased=False)
    return (x - mean) / (var + 1e-8).sqrt() * norm.weight + norm.bias


def sasrec_scores(model, clicks):
    """The equations of the paper, or what its code makes of them."""
    clicks, code = clicks[-model.max_length :], model.variant == 'code'
    x = []
    for i, item in enumerate(clicks):
        e = model.item_embedding[item] * (math.sqrt(6) if code else 1)
        x.append(e + model.position.weight[len(clicks) - 1 - i])
    for block in model.blocks:
        y = [normed(z, block.norm1) for z in x]
        maps = block.lin_qkv.weight.chunk(3)
        bias = block.lin_qkv.bias.chunk(3) if code else [0, 0, 0]
        source = [y, x, x] if code else [y, y, y]
        q, k, v = (
            [m @ z + b for z in part] for m, b, part in zip(maps, bias, source)
        )
        for i in range(len(x)):
            s = y[i] if code else x[i]
            s = s + attend(q[i], k[: i + 1], v[: i + 1], model.heads)
            z = normed(s, block.norm2)
            inner = (block.lin1.weight @ z + block.lin1.bias).clamp(min=0)
            inner = block.lin2.weight @ inner + block.lin2.bias
            x[i] = (z if code else s) + inner
    last = normed(x[-1], model.norm) if code else x[-1]
    return model.item_embedding @ last


@pytest.mark.parametrize('variant', ['paper', 'code'])
@pytest.mark.parametrize('kwargs', [{}, dict(heads=2, max_length=3)])
@settings(max_examples=15, deadline=None)
@given(clicks=sessions_of_clicks)
def test_equals_the_equations(variant, kwargs, clicks):
    model = build(SASRec, variant=variant, **kwargs).eval()
    assert_equals_reference(model, sasrec_scores, clicks)


@pytest.mark.parametrize('variant', ['paper', 'code'])
def test_drops_in_training_alone(variant):
    batch = last_samples([[1, 2, 3], [4, 5, 6, 0]])
    exact = build(SASRec, variant=variant, hidden_dropout=0.0)
    expected = exact.score(batch)
    model = build(SASRec, variant=variant)
    assert not torch.equal(model.score(batch), model.score(batch))
    torch.testing.assert_close(model.eval().score(batch), expected)


def test_arguments():
    model = SASRec(9)
    assert (model.hidden_channels, model.max_length) == (100, 50)
    assert (model.num_layers, model.heads) == (2, 1)
    assert (model.hidden_dropout, model.dropout) == (0.5, 0.0)
    assert model.scale is None
    with pytest.raises(ValueError, match="'paper' or 'code', got own"):
        SASRec(9, variant='own')
