import math

import pytest
import torch
from hypothesis import given, settings

from pyg_sessaug.nn import CORE
from tests.nn.reference import (
    assert_equals_reference,
    build,
    last_samples,
    sessions_of_clicks,
)


def normed(x, norm):
    mean, var = x.mean(), x.var(unbiased=False)
    return (x - mean) / (var + 1e-12).sqrt() * norm.weight + norm.bias


def linear(lin, x):
    return x @ lin.weight.t() + lin.bias


def attend(query, keys, values, heads):
    """One click's attention, head by head."""
    out, size = [], len(query) // heads
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        weight = torch.stack([query[part] @ key[part] for key in keys])
        weight = torch.softmax(weight / math.sqrt(size), dim=0)
        out.append(sum(w * v[part] for w, v in zip(weight, values)))
    return torch.cat(out)


def core_scores(model, clicks):
    """The equations of the paper and the layers of its code."""
    clicks, net = clicks[-model.max_length :], model.transformer
    items = model.item_embedding[torch.tensor(clicks)]
    alpha = torch.full((len(clicks), 1), 1 / len(clicks)).double()
    if net is not None:
        x = [
            normed(e + p, net.norm) for e, p in zip(items, net.position.weight)
        ]
        for layer in net.layers:
            q, k, v = zip(*(linear(layer.lin_qkv, y).chunk(3) for y in x))
            for i, y in enumerate(x[:]):
                a = attend(q[i], k[: i + 1], v[: i + 1], model.heads)
                y = normed(y + linear(layer.lin_out, a), layer.norm1)
                inner = linear(layer.lin1, y)
                inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2
                x[i] = normed(y + linear(layer.lin2, inner), layer.norm2)
        alpha = torch.softmax(torch.stack(x) @ net.lin.weight.t(), dim=0)
    session, table = (alpha * items).sum(dim=0), model.item_embedding
    cosine = table @ session / table.norm(dim=1) / session.norm()
    return cosine / 0.07


@pytest.mark.parametrize(
    'kwargs',
    [
        {},
        dict(encoder='ave'),
        dict(heads=3, num_layers=1, inner_channels=5, max_length=3),
        dict(encoder='ave', max_length=3),
    ],
)
@settings(max_examples=15, deadline=None)
@given(clicks=sessions_of_clicks)
def test_equals_the_equations(kwargs, clicks):
    assert_equals_reference(build(CORE, **kwargs).eval(), core_scores, clicks)


@pytest.mark.parametrize('encoder', ['trm', 'ave'])
def test_sessions_of_one_item_have_its_direction(encoder):
    """What the paper calls a consistent space."""
    model = build(CORE, encoder=encoder).eval()
    score = model.score(last_samples([[3, 3, 3, 3, 0], [5, 0]]))
    assert score.argmax(dim=1).tolist() == [3, 5]
    torch.testing.assert_close(
        score.amax(dim=1), torch.full((2,), 1 / 0.07).double()
    )


def test_what_drops_in_training():
    batch = last_samples([[1, 2, 3], [4, 5, 6, 0]])
    none = dict(dropout=0.0, table_dropout=0.0, hidden_dropout=0.0)
    exact = build(CORE, **none)
    expected = exact.loss(batch)
    torch.testing.assert_close(exact.eval().loss(batch), expected)
    for name in none:
        model = build(CORE, **{**none, name: 0.5})
        assert not torch.equal(model.loss(batch), expected)
        torch.testing.assert_close(model.eval().loss(batch), expected)


def test_arguments():
    model = CORE(9)
    assert (model.hidden_channels, model.scale) == (100, 1 / 0.07)
    assert (model.dropout, model.table_dropout) == (0.2, 0.2)
    assert (model.num_layers, model.heads, model.encoder) == (2, 2, 'trm')
    assert model.transformer.lin.weight.std() < 0.04
    assert 0.05 < model.item_embedding.std() < 0.2
    with pytest.raises(ValueError, match="'trm' or 'ave', got mean"):
        CORE(9, encoder='mean')
    with pytest.raises(ValueError, match='heads must divide the 100'):
        CORE(9, heads=3)
