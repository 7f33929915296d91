import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.transforms import Compose

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.nn import GCEGNN, LESSR
from pyg_sessaug.nn.conv.relative_weights import RelativeWeights, find_edges
from pyg_sessaug.transforms import (
    ClusterDistance,
    GaussianBlur,
    ItemDistance,
    NormalizeEdges,
    VertexInjection,
    WeightChannels,
)
from tests.nn.reference import last_samples, sessions_of_clicks

CLICKS = [[0, 1, 2, 1, 3, 1, 0, 4], [5, 6, 7, 8, 6, 5, 2], [3, 3, 1, 3, 3]]
TABLE = torch.arange(18.0).view(9, 2).cos()
TRANSFORMS = {
    'item': Compose([ItemDistance(TABLE, p=1), NormalizeEdges()]),
    'cluster': Compose(
        [
            ClusterDistance(
                ItemClusters.from_categories(TABLE, torch.arange(9) % 4), p=1
            ),
            NormalizeEdges(),
        ]
    ),
    'blur': Compose([NormalizeEdges(), GaussianBlur(p=1, std=0.1)]),
    'inject': Compose(
        [VertexInjection(torch.zeros(9).long(), 1, same=True)]
        + [NormalizeEdges()]
    ),
    'channels': Compose(
        [
            WeightChannels([ItemDistance(TABLE, p=1), Compose([])]),
            NormalizeEdges(),
        ]
    ),
}


@settings(max_examples=25, deadline=None)
@given(clicks=sessions_of_clicks)
def test_plain_edges_weigh_one(clicks):
    weight = RelativeWeights()(NormalizeEdges()(last_samples(clicks)))
    assert torch.equal(weight, torch.ones_like(weight))


def test_weights_beside_the_strongest():
    batch = last_samples([[0, 1, 2, 1, 0, 3]])  # 0-1, 1-2, 2-1, 1-0
    batch.edge_attr = torch.tensor(
        [[0.2, 1.0], [0.5, -0.8], [-0.4, 0.0], [1.0, 0.4]]
    )
    weight = RelativeWeights()(batch)
    wanted = [[0.5, 1.0], [1.0, -1.0], [-1.0, 0.0], [1.0, 0.5]]
    torch.testing.assert_close(weight, torch.tensor(wanted))
    plain = NormalizeEdges()(last_samples([[0, 1, 2, 1, 0, 3]]))
    torch.testing.assert_close(
        RelativeWeights(3)(plain), RelativeWeights()(plain)
    )
    batch.edge_attr = batch.edge_attr.unsqueeze(2).expand(-1, -1, 3)
    torch.testing.assert_close(RelativeWeights(3)(batch), weight)
    with pytest.raises(ValueError, match=r'3 channels.*num_channels=3'):
        RelativeWeights()(batch)
    del batch.edge_attr
    with pytest.raises(ValueError, match='NormalizeEdges'):
        RelativeWeights()(batch)


@given(
    edges=st.sets(st.tuples(st.integers(0, 4), st.integers(0, 4))),
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4))),
)
def test_finds_edges(edges, pairs):
    edges = list(edges)
    edge_index, pair = (
        torch.tensor(x, dtype=torch.long).view(-1, 2).t()
        for x in (edges, pairs)
    )
    place, known = find_edges(edge_index, pair, 5)
    assert known.tolist() == [x in edges for x in pairs]
    for x, i, is_known in zip(pairs, place.tolist(), known.tolist()):
        assert not is_known or edges[i] == x


@pytest.mark.parametrize('name', TRANSFORMS)
@pytest.mark.parametrize('cls', [GCEGNN, LESSR])
def test_every_transform_applies(cls, name):
    torch.manual_seed(0)
    channels = 2 if name == 'channels' else None
    model = cls(9, 6, num_channels=channels).eval()
    plain = model.score(NormalizeEdges()(last_samples(CLICKS)))
    batch = TRANSFORMS[name](last_samples(CLICKS))
    score = model.score(batch)
    assert (score - plain).abs().max() > 1e-4 * plain.abs().max()
    alone = [model.score(x)[0] for x in batch.to_data_list()]
    torch.testing.assert_close(torch.stack(alone), score)
    model.train().loss(batch).backward()
    for parameter in model.parameters():
        assert parameter.grad.isfinite().all()
    if channels:
        assert model.weights.combine.weight.grad.any()


@pytest.mark.parametrize('cls', [GCEGNN, LESSR])
def test_noise_changes_little(cls):
    """Blurred graphs have k^2 edges, but nearly the same vectors."""
    torch.manual_seed(0)
    model = cls(9, 16).eval()
    plain = model(NormalizeEdges()(last_samples(CLICKS)))
    blur = Compose([NormalizeEdges(), GaussianBlur(p=1, std=1e-4, mean=0.0)])
    batch = blur(last_samples(CLICKS))
    assert batch.num_edges == 36
    torch.testing.assert_close(model(batch), plain, rtol=1e-2, atol=1e-3)
