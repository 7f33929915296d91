import pytest
import torch
import torch_geometric.transforms as T
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.data.datapipes import DatasetAdapter

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.transforms import (
    ClusterDistance,
    GaussianBlur,
    ItemDistance,
    NormalizeEdges,
    TimeDecay,
    WeightChannels,
)

NUM_ITEMS = 9
EMBEDDING = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
CLUSTERS = ItemClusters(torch.arange(9) % 3, EMBEDDING[:3])
WEIGHTS = [
    ItemDistance(EMBEDDING, p=1.0),
    ClusterDistance(CLUSTERS, p=1.0),
    T.Compose([]),
]
sessions_of_clicks = st.lists(
    st.lists(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=9),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(sessions=sessions_of_clicks)
def test_channels_equal_dense(graph, dense, same, sessions):
    data_list = [graph(clicks) for clicks in sessions]
    batch = Batch.from_data_list(data_list, follow_batch=['edge_index'])
    channels = WeightChannels(WEIGHTS)
    transform = T.Compose([channels, NormalizeEdges()])
    item = EMBEDDING.double().numpy()
    center = CLUSTERS.centers[CLUSTERS.labels].double().numpy()
    results = transform(batch).to_data_list()
    assert len(results) == len(sessions)
    for clicks, data, result in zip(sessions, data_list, results):
        weights = [
            dense.distance(clicks, item),
            dense.distance(clicks, center),
            dense.binary(clicks),
        ]
        assert result.edge_weight.size() == (data.num_edges, 3)
        assert result.edge_attr.size() == (data.num_edges, 2, 3)
        for i, weight in enumerate(weights):
            out = dense.of(result, result.edge_weight[:, i])[0]
            assert out == pytest.approx(weight, rel=1e-6)
            out = dense.of(result, result.edge_attr[..., i])
            expected = dense.normalized(weight)
            assert out == pytest.approx(expected, rel=1e-5, abs=1e-12)
        same(transform(data), result)
    again = Batch.from_data_list(results, follow_batch=['edge_index'])
    same(again, transform(batch))
    for data, before in zip(batch.to_data_list(), data_list):
        same(data, before)  # The input stays as it was.


def test_channels_draw_on_their_own(graph):
    channel = ItemDistance(EMBEDDING, p=0.5)
    batch = Batch.from_data_list([graph([0, 1, 2])] * 2000)
    torch.manual_seed(1)
    weight = WeightChannels([channel, channel])(batch).edge_weight
    drawn = (weight != 1).double()
    assert drawn.mean(dim=0).tolist() == pytest.approx([0.5] * 2, abs=0.04)
    assert float(drawn.prod(dim=1).mean()) == pytest.approx(0.25, abs=0.035)
    torch.manual_seed(1)
    assert torch.equal(
        WeightChannels([channel, channel])(batch).edge_weight, weight
    )


def test_channels_with_times(graph):
    data = graph([0, 1, 0])
    data.click_time = torch.tensor([0.0, 60, 60]).double()
    transform = WeightChannels([TimeDecay('linear', p=1.0), T.Compose([])])
    assert transform(data).edge_weight.tolist() == [[0, 1], [1, 1]]
    (piped,) = DatasetAdapter([data]).weight_channels([TimeDecay('linear')])
    assert piped.edge_weight.size() == (2, 1)


def test_repr():
    assert str(WeightChannels([TimeDecay(), NormalizeEdges()])) == (
        'WeightChannels([\n'
        "  TimeDecay(form='exponential', scale=60.0, p=0.5),\n"
        '  NormalizeEdges(),\n'
        '])'
    )


def test_errors(graph):
    data = graph([0, 1, 2])
    with pytest.raises(ValueError, match='WeightChannels got no transforms'):
        WeightChannels([])
    blur = T.Compose([NormalizeEdges(), GaussianBlur(p=1.0)])
    with pytest.raises(ValueError, match='changes more than the weights'):
        WeightChannels([blur])(data)
    scalar = data.clone()
    scalar.edge_weight = torch.tensor(1.0)
    with pytest.raises(ValueError, match='changes more than the weights'):
        WeightChannels([T.Compose([])])(scalar)
    with pytest.raises(ValueError, match=r'has shape \[\], but a transform'):
        WEIGHTS[0](scalar)
    out = NormalizeEdges()(WeightChannels(WEIGHTS)(data))
    with pytest.raises(ValueError, match='changes more than the weights'):
        WeightChannels([T.Compose([])])(out)
    with pytest.raises(ValueError, match=r'got \[2, 2, 3\]; it cannot follow'):
        GaussianBlur()(out)
    for transform in (WEIGHTS[0], TimeDecay()):
        out.click_time = torch.zeros(3).double()
        with pytest.raises(ValueError, match=r'shape \[2, 3\], .*not behind'):
            transform(out)
