import pytest
import torch
from torch_geometric.transforms import Compose

from pyg_sessaug.counts import CoVisits
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.evaluation import session_vectors
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import fit, switch_case, validation_loss
from pyg_sessaug.training.switch_case import fit_switch_case, session_labels
from pyg_sessaug.transforms import CovisitContext, NormalizeEdges

QUIET = {'progress': False, 'epochs': 2}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    return [
        MultimodalSessions(
            root, split, num_sessions=150, num_items=20, val_ratio=0.3
        )
        for split in ('train', 'val')
    ]


@pytest.fixture(scope='module')
def model(data):
    torch.manual_seed(0)
    model = SRGNN(20, hidden_channels=6, num_layers=1)
    fit(model, *data, lr=0.01, seed=0, **QUIET)
    return model


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_vectors_and_labels_are_those_of_samples_alone(data, model):
    ensemble, _ = fit_switch_case(model, *data, 3, lr=0.01, **QUIET)
    val = data[1]
    alone = [NormalizeEdges()(val[i]) for i in range(len(val))]
    vector = torch.cat([model(graph) for graph in alone])
    torch.testing.assert_close(session_vectors(model, val), vector)
    label = torch.cat([ensemble.label(graph) for graph in alone])
    assert torch.equal(session_labels(ensemble, val), label)


def test_clusters_are_trained_on_the_graphs_of_the_model(data):
    train, val = data
    torch.manual_seed(0)
    model = SRGNN(train.num_items, 6)
    context = CovisitContext(CoVisits(train.num_items).fit(train))
    fit(model, train, val, Compose([context, NormalizeEdges()]), **QUIET)
    ensemble, _ = fit_switch_case(model, train, val, 2, **QUIET)
    for own in ensemble.models:
        assert own.test_transform.transforms[0] is context


def test_is_algorithm_1(data, model, monkeypatch):
    """Own samples alone train a cluster's model, from the global weights."""
    calls = []

    def record(own, train, val, **kwargs):
        calls.append((weights(own), train.indices, val.indices, kwargs))
        return fit(own, train, val, **kwargs)

    monkeypatch.setattr(switch_case, 'fit', record)
    before = weights(model)
    ensemble, clusters = fit_switch_case(
        model, *data, 3, seed=5, lr=0.01, weight_decay=0.1, **QUIET
    )
    assert torch.equal(weights(model), before)
    assert len(calls) == len(clusters) == 3
    labels = [session_labels(ensemble, x) for x in data]
    for cluster, (start, *indices, kwargs) in enumerate(calls):
        assert torch.equal(start, before)
        for label, index in zip(labels, indices):
            assert index == (label == cluster).nonzero().view(-1).tolist()
        assert kwargs == {
            'lr': 0.01, 'seed': 5, 'weight_decay': 0.1, 'schedule': 'steps',
            **QUIET,
        }  # fmt: skip
        about = clusters[cluster]
        own, val = ensemble.models[cluster], data[1][labels[1] == cluster]
        assert about['train'] == int((labels[0] == cluster).sum())
        assert about['val'] == len(val)
        assert about['val_loss'] == pytest.approx(validation_loss(model, val))
        best = min(x['val_loss'] for x in about['history'])
        assert about['improved'] == (best < about['val_loss'])
        expected = best if about['improved'] else about['val_loss']
        assert validation_loss(own, val) == pytest.approx(expected)
    assert any(x['improved'] for x in clusters)

    # Clusters come from the session vectors of validation samples.
    torch.manual_seed(5)
    again = type(ensemble)(model, 3)
    again.fit_clusters(session_vectors(model, data[1]))
    assert torch.equal(again.mean, ensemble.mean)


def test_what_does_not_help_is_not_kept(data, model):
    ensemble, clusters = fit_switch_case(model, *data, 2, lr=10.0, **QUIET)
    assert [x['improved'] for x in clusters] == [False, False]
    for own in ensemble.models:
        assert torch.equal(weights(own), weights(model))


def test_a_cluster_without_training_samples(data, model):
    train, val = data
    vector = session_vectors(model, val)
    # Training on the one sample leaves other clusters without any.
    ensemble, clusters = fit_switch_case(model, train[:1], val, 3, **QUIET)
    assert sorted(x['train'] for x in clusters) == [0, 0, 1]
    assert sum(x['val'] for x in clusters) == len(vector)
    for own, about in zip(ensemble.models, clusters):
        if about['train'] == 0:
            assert about['history'] == []
            assert torch.equal(weights(own), weights(model))
