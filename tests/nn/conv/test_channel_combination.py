import pytest
import torch
import torch_geometric.transforms as T
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_sessaug import Recommender
from pyg_sessaug.data.graphs import session_batch
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.metrics import target_rank
from pyg_sessaug.nn import SRGNN, TAGNN, ChannelCombination, GatedSessionConv
from pyg_sessaug.transforms import (
    ItemDistance,
    NormalizeEdges,
    WeightChannels,
)
from tests.nn.dense import adjacency, gated_cell

NUM_ITEMS = 9
EMBEDDING = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
PLAIN = T.Compose([])
sessions_of_clicks = st.lists(
    st.integers(0, NUM_ITEMS - 1), min_size=2, max_size=9
)


def graphs(*sessions):
    item = torch.tensor([i for clicks in sessions for i in clicks])
    batch = session_batch(item, torch.tensor([len(x) for x in sessions]))
    batch.y = torch.arange(len(sessions))
    return batch


@settings(max_examples=60, deadline=None)
@given(clicks=sessions_of_clicks)
def test_combination_before_the_layer_equals_dense(clicks):
    torch.manual_seed(1)
    batch = graphs(clicks)
    weight = torch.rand(batch.num_edges, 3, dtype=torch.double) + 0.1
    batch.edge_weight = weight
    batch = NormalizeEdges()(batch)
    conv = GatedSessionConv(5).double()
    combine = ChannelCombination(3).double()
    torch.nn.init.normal_(combine.weight)
    x = torch.randn(batch.num_nodes, 5).double()
    out = conv(x, batch.edge_index, combine(batch.edge_attr))

    edges = list(map(tuple, batch.edge_index.t().tolist()))
    kernel = combine.weight.detach().clone().requires_grad_()
    a_in, a_out = 0.0, 0.0
    for i in range(3):
        channel = dict(zip(edges, weight[:, i].tolist()))
        _, into, back = adjacency(clicks, channel)
        a_in, a_out = a_in + kernel[i] * into, a_out + kernel[i] * back
    expected = gated_cell(conv, a_in, a_out, x)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    (grad,) = torch.autograd.grad(expected.square().sum(), kernel)
    torch.testing.assert_close(combine.weight.grad, grad)


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
@pytest.mark.parametrize('weigh', [PLAIN, ItemDistance(EMBEDDING, p=1.0)])
def test_one_channel_of_weight_one_is_the_plain_model(cls, weigh):
    plain, one = cls(NUM_ITEMS, 6), cls(NUM_ITEMS, 6, num_channels=1)
    state = {**plain.state_dict(), 'combine.weight': torch.ones(1)}
    one.load_state_dict(state)
    batch = graphs([1, 2, 1, 3, 4], [5, 5], [0, 8, 7, 8, 0, 2], [3])
    of_one = T.Compose([weigh, NormalizeEdges()])(batch)
    of_channel = T.Compose([WeightChannels([weigh]), NormalizeEdges()])(batch)
    assert of_channel.edge_attr.dim() == 3
    for data in (of_channel, of_one):
        assert torch.equal(one.score(data), plain.score(of_one))
        assert torch.equal(one(data), plain(of_one))
        plain.zero_grad()
        one.zero_grad()
        plain.loss(of_one).backward()
        one.loss(data).backward()
        grads = dict(one.named_parameters())
        assert grads['combine.weight'].grad.isfinite().all()
        for name, parameter in plain.named_parameters():
            assert torch.equal(parameter.grad, grads[name].grad), name


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_plain_graphs_stand_for_plain_channels(cls):
    model = cls(NUM_ITEMS, 6, num_channels=3)
    assert model.combine.weight.tolist() == pytest.approx([1 / 3] * 3)
    torch.nn.init.normal_(model.combine.weight)
    batch = graphs([1, 2, 1, 3, 4], [5, 5], [0, 8, 7, 8, 0, 2])
    channels = WeightChannels([PLAIN] * 3)(batch)
    torch.testing.assert_close(
        model.score(NormalizeEdges()(batch)),
        model.score(NormalizeEdges()(channels)),
    )


def test_channels_of_a_data_set_are_seen_in_evaluation(tmp_path):
    options = dict(num_sessions=60, num_items=NUM_ITEMS, num_modes=3)
    channels = WeightChannels([ItemDistance(EMBEDDING, p=1.0), PLAIN])
    plain = MultimodalSessions(tmp_path, 'test', **options)
    data = MultimodalSessions(
        tmp_path, 'test', pre_transform=channels, **options
    )
    model = SRGNN(NUM_ITEMS, 6, num_channels=2)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    batch = data.get_batch(torch.arange(len(data)))
    expected = target_rank(model.score(NormalizeEdges()(batch)), batch.y)
    assert torch.equal(rank_samples(model, data), expected)
    assert not torch.equal(rank_samples(model, plain), expected)


def test_recommender_keeps_the_channels(tmp_path):
    model = SRGNN(NUM_ITEMS, 6, num_channels=2)
    torch.nn.init.normal_(model.combine.weight)
    Recommender(model, list('abcdefghi')).save(tmp_path / 'shop.pt')
    again = Recommender.load(tmp_path / 'shop.pt').model
    batch = NormalizeEdges()(graphs([1, 2, 1, 3, 4], [5, 5]))
    assert torch.equal(again.score(batch), model.score(batch))


def test_repr():
    assert str(ChannelCombination(3)) == 'ChannelCombination(3)'
    assert 'ChannelCombination(2)' in str(TAGNN(9, 6, num_channels=2))
    assert 'ChannelCombination' not in str(TAGNN(9, 6))
    assert 'combine.weight' not in SRGNN(9, 6).state_dict()


def test_errors():
    with pytest.raises(ValueError, match='num_channels=0; pass at least 1'):
        SRGNN(9, 6, num_channels=0)
    batch = NormalizeEdges()(WeightChannels([PLAIN] * 3)(graphs([0, 1, 2])))
    with pytest.raises(ValueError, match='3 channels, but num_channels=2'):
        SRGNN(9, 6, num_channels=2).score(batch)
    with pytest.raises(ValueError, match='make it with num_channels=3'):
        SRGNN(9, 6).score(batch)
