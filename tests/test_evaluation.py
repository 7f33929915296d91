import math
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Subset
from torch_geometric import metrics
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

from pyg_sessaug import evaluate, evaluation, fit
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.evaluation import (
    rank_samples,
    run_batches,
    session_vectors,
    split_sessions,
)
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.transforms import GaussianBlur, NormalizeEdges

BLUR = Compose([NormalizeEdges(), GaussianBlur()])


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return tmp_path_factory.mktemp('multimodal')


@pytest.fixture(scope='module')
def data(root):
    return [
        MultimodalSessions(root, split, num_sessions=120, num_items=30)
        for split in ('train', 'val', 'test')
    ]


def make_model():
    torch.manual_seed(0)
    return SRGNN(30, hidden_channels=8, num_layers=1)


def test_evaluate_ranks_the_full_catalogue(root, data):
    model = make_model()
    fit(model, *data[:2], epochs=3, batch_size=20, lr=0.01, progress=False)
    blurred = MultimodalSessions(
        root, 'test', num_sessions=120, num_items=30, transform=BLUR
    )
    model.eval()
    ranks, lists = [], []
    for graph in DataLoader(data[2]):
        score = model.score(NormalizeEdges()(graph)).detach()[0]
        order = score.sort(descending=True, stable=True)[1]
        ranks.append(int((order == graph.y).nonzero()) + 1)
        lists += order[:5].tolist()
    clicks = data[0].flat_sessions.item.tolist()
    hits = [rank <= 5 for rank in ranks]
    expected = {
        'HR@5': sum(hits) / len(ranks),
        'MRR@5': sum(h / r for h, r in zip(hits, ranks)) / len(ranks),
        'NDCG@5': sum(h / math.log2(r + 1) for h, r in zip(hits, ranks))
        / len(ranks),
        'Coverage@5': len(set(lists)) / 30,
        'Popularity@5': sum(map(clicks.count, lists)) / len(lists),
    }
    model.train()
    for dataset in (data[2], blurred):  # Graphs are plain, whatever.
        out = evaluate(model, dataset, k=5, batch_size=7)
        assert out == pytest.approx(expected)
    assert model.training
    assert rank_samples(model, data[2]).tolist() == ranks


@pytest.mark.skipif(
    not hasattr(metrics, 'LinkPredCoverage'), reason='PyG 2.6 lacks them'
)
def test_lists_are_measured_as_pyg_does(data):
    model = make_model().eval()
    out = evaluate(model, data[2], k=[3, 10], batch_size=7)
    clicks = data[0].flat_sessions.item
    popularity = torch.tensor([int((clicks == i).sum()) for i in range(30)])
    for k in (3, 10):
        coverage = metrics.LinkPredCoverage(k, 30)
        popular = metrics.LinkPredAveragePopularity(k, popularity)
        for batch in SessionLoader(data[2], 50, transform=NormalizeEdges()):
            best = model.score(batch).topk(k)[1]
            label = torch.stack([torch.arange(len(batch)), batch.y])
            coverage.update(best, label)
            popular.update(best, label)
        assert out[f'Coverage@{k}'] == pytest.approx(float(coverage.compute()))
        expected = pytest.approx(float(popular.compute()))
        assert out[f'Popularity@{k}'] == expected
    assert 0 < out['Coverage@3'] < out['Coverage@10']


def test_lists_longer_than_the_catalogue(data):
    out = evaluate(make_model(), data[2], k=99)
    assert out['Coverage@99'] == 1
    clicks = data[0].flat_sessions.num_clicks
    assert out['Popularity@99'] == pytest.approx(clicks / 30)


def test_items_that_only_the_model_knows_have_no_clicks(data):
    torch.manual_seed(0)
    model = SRGNN(35, hidden_channels=8)
    out = evaluate(model, data[2], k=35)
    clicks = data[0].flat_sessions.num_clicks
    assert out['Popularity@35'] == pytest.approx(clicks / 35)


def test_evaluate_some_samples(data):
    model = make_model()
    rank = rank_samples(model, data[2])
    part = rank_samples(model, Subset(data[2], [5, 1]))
    assert part.tolist() == rank[[5, 1]].tolist()
    with pytest.raises(ValueError, match='without samples'):
        evaluate(model, data[2][:0])


@given(
    length=st.lists(st.integers(1, 40), max_size=50),
    size=st.integers(1, 10),
)
def test_batches_are_bounded_by_clicks(length, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, 'MAX_CLICKS', 30)
        batches = split_sessions(length, size)
    assert [i for batch in batches for i in batch] == list(range(len(length)))
    for batch, following in zip(batches, [*batches[1:], None]):
        sizes = [length[i] for i in batch]
        assert 1 <= len(sizes) <= size
        assert len(sizes) * max(sizes) <= 30 or len(sizes) == 1
        if following is not None and len(sizes) < size:
            # It could not have taken one more.
            sizes.append(length[following[0]])
            assert len(sizes) * max(sizes) > 30


def test_long_sessions_change_no_result(data, monkeypatch):
    model = make_model()
    whole = [f(model, data[2]) for f in (evaluate, session_vectors)]
    sizes, score = [], model.score

    def watched(batch):
        sizes.append(batch.click_index.numel())
        return score(batch)

    monkeypatch.setattr(evaluation, 'MAX_CLICKS', 9)
    monkeypatch.setattr(model, 'score', watched)
    parts = [f(model, data[2]) for f in (evaluate, session_vectors)]
    assert max(sizes) <= max(9, *SessionLoader(data[2]).num_clicks.tolist())
    assert parts[0] == pytest.approx(whole[0])
    torch.testing.assert_close(parts[1], whole[1])
    graphs = [int(graph.click_index.numel()) for graph in data[2]]
    assert SessionLoader(data[2]).num_clicks.tolist() == graphs
    part = Subset(data[2], [5, 1])
    assert SessionLoader(part).num_clicks.tolist() == [graphs[5], graphs[1]]


def test_results_are_joined_as_they_come(data):
    """Kept one by one, they would pin the memory of their batches' scores."""
    parts, alive = [], []

    def run(batch):
        alive.append(sum(x() is not None for x in refs))
        graph = torch.arange(batch.num_graphs).repeat_interleave(2)
        rows = torch.stack([graph, graph.new_tensor(parts).sum() + graph], 1)
        parts.append(2 * batch.num_graphs)
        refs.append(weakref.ref(rows))
        return rows

    refs = []
    rows = run_batches(make_model(), run, data[2], batch_size=7)
    assert rows.tolist() == [
        [i, sum(parts[:n]) + i]
        for n, size in enumerate(parts)
        for i in torch.arange(size // 2).repeat_interleave(2).tolist()
    ]
    assert len(parts) > 3
    assert max(alive) <= 1


def test_evaluate_items_beyond_the_model(data):
    model = SRGNN(3, hidden_channels=4)
    with pytest.raises(ValueError, match='was made for 3; make it with'):
        evaluate(model, data[2])


def test_no_list(data, monkeypatch):
    monkeypatch.setattr('pyg_sessaug.evaluation.run_batches', None)
    with pytest.raises(ValueError, match='got k=0; pass at least 1'):
        evaluate(make_model(), data[2], k=0)


def test_evaluation_keeps_the_modes_of_parts(data):
    model = make_model().train()
    model.readout.eval()
    evaluate(model, data[2])
    assert model.training
    assert model.conv.training
    assert not model.readout.training


def test_a_failed_evaluation_keeps_the_mode(data, monkeypatch):
    model = make_model().train()
    monkeypatch.setattr(model, 'score', None)
    with pytest.raises(TypeError):
        evaluate(model, data[2])
    assert model.training


def test_evaluate_a_foreign_model(data):
    with pytest.raises(TypeError, match='Linear has no num_items and no sco'):
        evaluate(torch.nn.Linear(2, 2), data[2])


def test_evaluate_a_diverged_model(data):
    model = make_model()
    with torch.no_grad():
        model.item_embedding[3, 0] = float('nan')
    with pytest.raises(ValueError, match='not finite'):
        evaluate(model, data[2])
