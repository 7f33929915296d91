import pytest
import torch
from hypothesis import given, settings

from pyg_sessaug.nn import AttenMixer
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.reference import (
    assert_equals_reference,
    build,
    last_samples,
    sessions_of_clicks,
)


def attenmixer_scores(model, clicks):
    table = model.item_embedding
    if model.scale is not None:
        table = table / table.norm(dim=1, keepdim=True)
    x = table[torch.tensor(clicks)]
    queries = []
    for i, lin in enumerate(model.lin_query, 1):
        newest = list(x.flip(0)[:i])
        if model.ordered:
            newest += [torch.zeros_like(x[0])] * (i - len(newest))
            query = lin(torch.cat(newest))
        else:
            query = lin(sum(newest))
        queries.append(query)
    heads = []
    for part in torch.arange(len(queries[0])).chunk(model.heads):
        maps = []
        for query in queries:
            pair = [query[part] @ model.lin_key(click)[part] for click in x]
            alpha = torch.softmax(2 * torch.sigmoid(torch.stack(pair)), 0)
            maps.append(alpha)
        pooled = sum(alpha**model.power for alpha in maps)
        beta = torch.softmax(2 * pooled ** (1 / model.power), 0)
        heads.append(beta @ torch.stack([model.lin_value(y)[part] for y in x]))
    pooled = torch.cat(heads)
    centred = pooled - pooled.mean()
    pooled = centred / (centred.square().mean() + model.norm.eps).sqrt()
    pooled = pooled * model.norm.weight + model.norm.bias
    session = model.lin(torch.cat([pooled, x[-1]]))
    if model.scale is not None:
        session = model.scale * session / session.norm()
    return table @ session


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(heads=2),
        dict(heads=4, num_queries=3, power=2.0),  # 6 channels in heads of 2
        dict(heads=1, ordered=True, scale=None),
        dict(heads=3, ordered=True, power=1.0),
    ],
)
@settings(max_examples=15, deadline=None)
@given(clicks=sessions_of_clicks)
def test_equals_dense_reference(kwargs, clicks):
    model = build(AttenMixer, **kwargs).eval()
    assert_equals_reference(model, attenmixer_scores, clicks)


def test_order_counts_for_the_last_click_and_joined_ones_alone():
    clicks = [[0, 1, 2, 3, 5, 4], [3, 0, 1, 2, 5, 4]]
    batch = NormalizeEdges()(last_samples(clicks))
    kwargs = dict(heads=2, num_queries=2)
    for ordered in (False, True):
        score = (
            build(AttenMixer, ordered=ordered, **kwargs).eval().score(batch)
        )
        # The two newest clicks are others:
        assert not torch.allclose(score[0], score[1])
    clicks = [[0, 1, 2, 5, 4], [2, 1, 0, 5, 4]]
    batch = NormalizeEdges()(last_samples(clicks))
    plain = build(AttenMixer, heads=2, num_queries=4).eval().score(batch)
    assert not torch.allclose(plain[0], plain[1])  # Those of 2 or 3 clicks
    one = build(AttenMixer, heads=2, num_queries=1).eval().score(batch)
    torch.testing.assert_close(one[0], one[1])


def test_defaults_and_dropout():
    model = AttenMixer(9)
    assert (model.scale, model.num_queries, model.heads) == (16.0, 7, 8)
    assert model.dropout == 0.1
    assert model.norm.weight.eq(1).all()
    batch = NormalizeEdges()(last_samples([[1, 2, 1, 3], [4, 5]]))
    assert model.score(batch).abs().max() <= 16 + 1e-4
    assert not torch.equal(model.score(batch), model.score(batch))
    model.eval()
    assert torch.equal(model.score(batch), model.score(batch))


@pytest.mark.parametrize(
    ('kwargs', 'word'),
    [
        (dict(num_queries=0), 'num_queries'),
        (dict(heads=0), 'heads'),
        (dict(power=0.5), 'power'),
    ],
)
def test_bad_arguments(kwargs, word):
    with pytest.raises(ValueError, match=word):
        AttenMixer(9, 6, **kwargs)
