"""What holds for every registered model; its equations have tests apart."""

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.testing import withCUDA

from pyg_sessaug import Recommender, evaluate, fit
from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn.constructor import arguments_of
from pyg_sessaug.registry import MODELS, find_class
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.reference import build, last_samples, with_categories

#: Models that look at the order of clicks alone.
SEQUENCE_MODELS = {'attenmixer', 'core', 'sasrec', 'gru4rec'}
#: Models whose messages only go along the edges, for which column 0 counts.
ALONG_EDGES = {'lessr'}
CLICKS = [[1, 2, 1, 3, 4], [5, 5], [0, 8, 7, 8, 0, 2, 6, 1], [3, 3, 3], [6, 2]]
each_model = pytest.mark.parametrize('name', MODELS)


def make(name, dtype=torch.double, **kwargs):
    return build(find_class(name), **kwargs).to(dtype).eval()


def graphs(clicks, dtype=torch.double):
    batch = last_samples(clicks)
    batch.edge_weight = batch.edge_weight.to(dtype)
    return NormalizeEdges()(batch)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    options = dict(num_sessions=300, num_items=30)
    return [
        MultimodalSessions(root, split, NormalizeEdges(), **options)
        for split in ('train', 'val')
    ]


@each_model
def test_scores_ignore_batch_mates_and_their_order(name):
    model = make(name)
    together = model.score(graphs(CLICKS))
    order = [2, 0, 4, 3, 1]
    shuffled = model.score(graphs([CLICKS[i] for i in order]))
    torch.testing.assert_close(shuffled, together[order])
    for i, session in enumerate(CLICKS):
        alone = model.score(graphs([session]))[0]
        torch.testing.assert_close(alone, together[i])
    assert not torch.allclose(together[0], together[2])


@each_model
@pytest.mark.parametrize('scale', [None, 4.0])
def test_scores_have_the_gradients_of_the_loss(name, scale):
    model, batch = make(name, scale=scale), graphs(CLICKS)
    parameters = list(model.parameters())
    loss, score = model.loss(batch), model.score(batch)
    wanted = torch.autograd.grad(loss, parameters)
    own = F.cross_entropy(score, batch.y)
    torch.testing.assert_close(own, loss)
    torch.testing.assert_close(torch.autograd.grad(own, parameters), wanted)
    with torch.no_grad():
        torch.testing.assert_close(model.score(batch), score)


@each_model
def test_every_parameter_learns_and_starts_anew(name):
    model = with_categories(find_class(name)(9, 8))
    model.train().loss(graphs(CLICKS, torch.float)).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        with torch.no_grad():
            parameter.fill_(7.0)
    model.reset_parameters()
    for key, parameter in model.named_parameters():
        assert parameter.abs().max() < 7.0, key


@each_model
def test_a_graph_is_a_batch_of_one(name):
    model, transform = make(name, torch.float), NormalizeEdges()
    batch = last_samples(CLICKS)
    together = model.score(transform(batch))
    samples = [transform(x) for x in batch.to_data_list()]
    for i, sample in enumerate(samples):
        assert model(sample).size() == (1, 6)
        torch.testing.assert_close(model.score(sample)[0], together[i])
        model.loss(sample).backward()
    # Batched without `follow_batch`, the clicks are found all the same.
    plain = Batch.from_data_list(samples)
    assert 'click_index_ptr' not in plain
    torch.testing.assert_close(model.score(plain), together)


@each_model
def test_sessions_of_one_click(name):
    model = make(name)
    batch = graphs([[3, 1], [0, 2], [3, 4]])
    assert batch.num_edges == 0
    score = model.score(batch)
    assert score.isfinite().all()
    torch.testing.assert_close(score[0], score[2])
    model.loss(batch).backward()
    assert model.item_embedding.grad.isfinite().all()


@each_model
def test_both_columns_of_edges_count(name):
    model, batch = make(name), graphs(CLICKS)
    score = model.score(batch)
    for column in (0, 1):
        changed = batch.clone()
        # Not all by one factor: some models compare those of a node.
        factor = torch.linspace(0.3, 1.0, batch.num_edges).double()
        changed.edge_attr[:, column] *= factor
        change = (model.score(changed) - score).abs()
        if name in SEQUENCE_MODELS or (column and name in ALONG_EDGES):
            assert change.max() == 0
        else:
            assert change[2].max() > 1e-3
        assert change[[1, 4]].max() == 0  # No edges.


@each_model
def test_missing_edges_name_the_transform(name):
    model, batch = make(name, torch.float), last_samples(CLICKS)
    if name in SEQUENCE_MODELS:
        model.score(batch)
        return
    with pytest.raises(ValueError, match=r'needs edge_attr.*NormalizeEdges'):
        model.score(batch)


@each_model
def test_no_sessions(name):
    sessions = Sessions.from_lengths(torch.tensor([1, 2]), torch.tensor([2]))
    empty = SessionGraphs(sessions).batch(torch.tensor([], dtype=torch.long))
    with pytest.raises(ValueError, match='batch without sessions'):
        make(name, torch.float).score(NormalizeEdges()(empty))


@each_model
def test_bfloat16(name):
    torch.manual_seed(2)
    model, exact = (
        with_categories(find_class(name)(9, 8, precision=x)).eval()
        for x in ('bf16', 'float32')
    )
    exact.load_state_dict(model.state_dict())
    batch = graphs(CLICKS, torch.float)
    wanted = exact.loss(batch)
    torch.testing.assert_close(model.score(batch), exact.score(batch))
    for context in (torch.bfloat16, None):
        with torch.autocast('cpu', dtype=context, enabled=context is not None):
            loss = model.loss(batch)
            assert model.score(batch).dtype == torch.float32
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, wanted, rtol=0.05, atol=0.05)
        model.zero_grad()
        loss.backward()
        assert model.item_embedding.grad.isfinite().all()


@each_model
def test_trains_ranks_and_recommends(name, data, tmp_path):
    torch.manual_seed(0)
    model = find_class(name).from_dataset(data[0], 16)
    before = evaluate(model, data[1])['HR@20']
    history = fit(model, *data, epochs=3, lr=1e-2, progress=False, seed=0)
    assert history[-1]['val_loss'] < history[0]['val_loss']
    assert evaluate(model, data[1])['HR@20'] > before
    model.eval()
    batch = next(iter(DataLoader(data[1], 7, follow_batch=['click_index'])))
    recommender = Recommender.from_dataset(model, data[0])
    recommender.save(tmp_path / 'a.pt')
    loaded = Recommender.load(tmp_path / 'a.pt')
    assert type(loaded.model) is find_class(name)
    assert repr(loaded.model) == repr(model)
    assert arguments_of(loaded.model).keys() == arguments_of(model).keys()
    assert torch.equal(loaded.model.score(batch), model.score(batch))
    sessions = [data[0].item_ids[:3].tolist(), data[0].item_ids[4:5].tolist()]
    assert loaded.recommend(sessions, 5) == recommender.recommend(sessions, 5)


@withCUDA
@each_model
def test_device(name, device):
    model = make(name, torch.float).to(device)
    batch = graphs(CLICKS, torch.float).to(device)
    model.loss(batch).backward()
    assert model.score(batch).device == device
