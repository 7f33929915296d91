import pytest
import torch
from torch_geometric.data import Batch

from pyg_sessaug import evaluate
from pyg_sessaug.clusters.item_clusters import gaussian_mixture
from pyg_sessaug.data.graphs import select_graphs
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN, TAGNN, SwitchCase
from pyg_sessaug.transforms import NormalizeEdges

MODELS = pytest.mark.parametrize('cls', [SRGNN, TAGNN])
NUM_ITEMS = 20


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    return MultimodalSessions(
        root,
        'test',
        num_sessions=200,
        num_items=NUM_ITEMS,
        transform=NormalizeEdges(),
    )


def make(cls=SRGNN, num_clusters=3):
    """An ensemble whose models score very differently."""
    torch.manual_seed(1)
    ensemble = SwitchCase(
        cls(NUM_ITEMS, hidden_channels=5, num_layers=1), num_clusters
    )
    for model in ensemble.models:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.7)
    return ensemble


def fitted(data, cls=SRGNN):
    ensemble = make(cls)
    with torch.no_grad():
        ensemble.fit_clusters(ensemble.model(whole(data)))
    return ensemble


def whole(data):
    return Batch.from_data_list(list(data), follow_batch=['click_index'])


@MODELS
def test_labels_are_those_of_the_mixture(data, cls):
    ensemble = make(cls)
    vector = ensemble.model(whole(data)).detach()
    torch.manual_seed(3)
    ensemble.fit_clusters(vector)
    torch.manual_seed(3)
    mixture = gaussian_mixture(vector.double(), 3)
    label = ensemble.label(whole(data))
    assert label.tolist() == mixture.predict(vector.double()).tolist()
    assert label.unique().numel() == 3


@MODELS
@pytest.mark.parametrize('follow', [[], ['click_index']])
def test_a_batch_equals_sessions_alone_by_their_own_models(data, cls, follow):
    ensemble = fitted(data, cls)
    batch = Batch.from_data_list(list(data[:30]), follow_batch=follow)
    label = ensemble.label(batch).tolist()
    assert len(set(label)) == 3
    assert label != sorted(label)  # The order of a batch is not the routing.
    alone = [
        (
            ensemble.models[cluster].score(graph),
            ensemble.models[cluster](graph),
        )
        for cluster, graph in zip(label, data[:30])
    ]
    scores, vectors = (torch.cat(parts) for parts in zip(*alone))
    torch.testing.assert_close(ensemble.score(batch), scores)
    torch.testing.assert_close(ensemble(batch), vectors)
    torch.testing.assert_close(ensemble.score(data[7]), scores[7:8])
    assert ensemble.score(batch).dtype == torch.float32


@MODELS
def test_loss_is_the_mean_of_own_losses(data, cls):
    ensemble = fitted(data, cls)
    batch = Batch.from_data_list(list(data[:30]))
    label = ensemble.label(batch)
    losses = [
        ensemble.models[cluster].loss(graph)
        for cluster, graph in zip(label.tolist(), data[:30])
    ]
    expected = torch.stack(losses).mean()
    loss = ensemble.loss(batch)
    torch.testing.assert_close(loss, expected)

    parameters = list(ensemble.models.parameters())
    wanted = torch.autograd.grad(expected, parameters)
    loss.backward()
    for parameter, grad in zip(parameters, wanted):
        torch.testing.assert_close(parameter.grad, grad)
    assert all(p.grad is None for p in ensemble.model.parameters())


@MODELS
def test_no_sessions(data, cls):
    ensemble = fitted(data, cls)
    batch = select_graphs(whole(data), torch.zeros(len(data)).bool())
    for run in (ensemble, ensemble.score, ensemble.loss):
        with pytest.raises(ValueError, match='batch without sessions'):
            run(batch)


def test_evaluation_ranks_by_own_models(data):
    ensemble = fitted(data)
    hits = []
    for cluster, graph in zip(ensemble.label(whole(data)).tolist(), data):
        score = ensemble.models[cluster].score(graph)[0]
        rank = 1 + int((score > score[graph.y]).sum())
        hits.append((rank <= 5, (rank <= 5) / rank))
    hit, gain = torch.tensor(hits).double().mean(dim=0).tolist()
    result = evaluate(ensemble, data, k=5)
    assert result['HR@5'] == pytest.approx(hit)
    assert result['MRR@5'] == pytest.approx(gain)
    assert 0 < hit < 1


def test_state_holds_the_clusters(data):
    ensemble = fitted(data)
    other = make(num_clusters=3)
    other.load_state_dict(ensemble.state_dict())
    batch = whole(data)
    assert torch.equal(other.label(batch), ensemble.label(batch))
    assert torch.equal(other.score(batch), ensemble.score(batch))


def test_copies_start_equal_and_the_global_model_never_trains():
    model = SRGNN(NUM_ITEMS, hidden_channels=5, dropout=0.5)
    ensemble = SwitchCase(model, 2).train()
    assert [x.training for x in ensemble.models] == [True, True]
    assert not ensemble.model.training
    assert ensemble.model is model
    for copied in ensemble.models:
        for p, q in zip(copied.parameters(), model.parameters()):
            assert torch.equal(p, q)
            assert p.data_ptr() != q.data_ptr()
    assert ensemble.num_items == NUM_ITEMS
    assert ensemble.item_embedding is model.item_embedding
    assert repr(ensemble).startswith('SwitchCase(SRGNN(')
    assert repr(ensemble).endswith('num_clusters=2)')


@pytest.mark.parametrize('training', [True, False])
def test_mode_is_that_of_the_model(training):
    ensemble = SwitchCase(SRGNN(NUM_ITEMS, 5).train(training), 2)
    modes = [x.training for x in (ensemble, *ensemble.models)]
    assert modes == [training] * 3
    assert not ensemble.model.training


def test_bad_arguments(data):
    with pytest.raises(ValueError, match='num_clusters=0'):
        make(num_clusters=0)
    with pytest.raises(ValueError, match='2 session vectors for 3 clusters'):
        make().fit_clusters(torch.randn(2, 5))
    with pytest.raises(RuntimeError, match='no clusters yet'):
        make().score(data[0])
