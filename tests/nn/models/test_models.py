import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.testing import withCUDA

from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.nn import SRGNN, TAGNN
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.dense import srgnn_scores, tagnn_scores

NUM_ITEMS = 9
REFERENCE = {SRGNN: srgnn_scores, TAGNN: tagnn_scores}
sessions_of_clicks = st.lists(
    st.lists(st.integers(0, NUM_ITEMS - 1), min_size=2, max_size=9),
    min_size=1,
    max_size=6,
)


def last_samples(clicks):
    """Each session without its last click, which is the target."""
    item = torch.tensor([i for session in clicks for i in session])
    length = torch.tensor([len(session) for session in clicks])
    graphs = SessionGraphs(Sessions.from_lengths(item, length))
    return graphs.batch((length - 1).cumsum(0) - 1)


def build(cls, **kwargs):
    torch.manual_seed(1)
    model = cls(NUM_ITEMS, 6, **kwargs).double()
    for parameter in model.parameters():  # Far from the linear regime.
        torch.nn.init.normal_(parameter, std=0.7)
    return model


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
@pytest.mark.parametrize('num_layers', [0, 1, 2])
@settings(max_examples=25, deadline=None)
@given(clicks=sessions_of_clicks)
def test_scores_and_gradients_equal_dense_reference(cls, num_layers, clicks):
    model = build(cls, num_layers=num_layers)
    batch = last_samples(clicks)
    batch.edge_weight = batch.edge_weight.double()
    batch = NormalizeEdges()(batch)
    out = model.score(batch)
    expected = torch.stack([REFERENCE[cls](model, c[:-1]) for c in clicks])
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-8)

    names = [n for n, _ in model.named_parameters()]
    wanted = torch.autograd.grad(
        F.cross_entropy(expected, batch.y),
        list(model.parameters()),
        allow_unused=True,
    )
    model.loss(batch).backward()
    for name, p, grad in zip(names, model.parameters(), wanted):
        if grad is None:
            assert p.grad is None or not p.grad.any(), name
            continue
        torch.testing.assert_close(
            p.grad,
            grad,
            rtol=1e-5,
            atol=1e-8,
            msg=lambda m, name=name: f'{name}: {m}',
        )


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_weighted_edges_equal_dense_reference(cls):
    model = build(cls)
    clicks = [0, 1, 0, 2, 2, 3, 0, 4]
    batch = last_samples([clicks])
    torch.manual_seed(2)
    batch.edge_weight = torch.rand(batch.num_edges) + 0.1
    weight = {
        (int(u), int(v)): float(w)
        for (u, v), w in zip(batch.edge_index.t(), batch.edge_weight)
    }
    out = model.score(NormalizeEdges()(batch))[0]
    expected = REFERENCE[cls](model, clicks[:-1], weight)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
@pytest.mark.parametrize('scale', [None, 4.0])
def test_scores_have_the_gradients_of_the_loss(cls, scale):
    model = build(cls, scale=scale)
    batch = last_samples([[1, 2, 1, 3, 4], [5, 5], [0, 8, 7, 8, 0, 2]])
    batch.edge_weight = batch.edge_weight.double()
    batch = NormalizeEdges()(batch)
    loss, score = model.loss(batch), model.score(batch)
    wanted = torch.autograd.grad(loss, list(model.parameters()))
    own = F.cross_entropy(score, batch.y)
    grads = torch.autograd.grad(own, list(model.parameters()))
    torch.testing.assert_close(own, loss)
    torch.testing.assert_close(grads, wanted)
    with torch.no_grad():
        torch.testing.assert_close(model.score(batch), score)


def test_loss_without_targets():
    batch = NormalizeEdges()(last_samples([[1, 2, 3]]))
    del batch.y
    for cls in (SRGNN, TAGNN):
        with pytest.raises(ValueError, match=r"'target' is None.* `y`"):
            build(cls).float().loss(batch)


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_float32_gradients(cls):
    model = build(cls).float()
    clicks = [[1, 2, 1, 3, 4], [5, 5], [0, 8, 7, 8, 0, 2], [3, 3, 3]]
    batch = NormalizeEdges()(last_samples(clicks))
    expected = torch.stack([REFERENCE[cls](model, c[:-1]) for c in clicks])
    wanted = torch.autograd.grad(
        F.cross_entropy(expected, batch.y), list(model.parameters())
    )
    loss = model.loss(batch)
    loss.backward()
    torch.testing.assert_close(
        loss, F.cross_entropy(expected, batch.y), rtol=1e-4, atol=1e-5
    )
    for p, grad in zip(model.parameters(), wanted):
        torch.testing.assert_close(p.grad, grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_scores_ignore_batch_mates(cls):
    model = build(cls).float()
    clicks = [[1, 2, 1, 3], [4, 5], [0, 8, 7, 8, 0, 2, 6, 1], [3, 3, 3]]
    transform = NormalizeEdges()
    together = model.score(transform(last_samples(clicks)))
    order = [2, 0, 3, 1]
    shuffled = model.score(transform(last_samples([clicks[i] for i in order])))
    torch.testing.assert_close(shuffled, together[order])
    for i, session in enumerate(clicks):
        alone = model.score(transform(last_samples([session])))[0]
        torch.testing.assert_close(alone, together[i])


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_data_is_a_batch_of_one(cls):
    model = build(cls).float()
    batch = last_samples([[1, 2, 1, 3], [4, 5, 4]])
    transform = NormalizeEdges()
    together = model.score(transform(batch))
    for i, data in enumerate(batch.to_data_list()):
        data = transform(data)
        assert model(data).size() == (1, 6)
        torch.testing.assert_close(model.score(data)[0], together[i])
        model.loss(data).backward()
    # Batched without `follow_batch`, the clicks are found all the same.
    plain = Batch.from_data_list(batch.to_data_list())
    assert 'click_index_ptr' not in plain
    torch.testing.assert_close(model.score(transform(plain)), together)


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_missing_edge_attr_names_the_transform(cls):
    with pytest.raises(ValueError, match='NormalizeEdges'):
        build(cls).score(last_samples([[1, 2, 3]]))


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_session_vectors_score_by_dot_product(cls):
    model = build(cls).float()
    batch = NormalizeEdges()(last_samples([[1, 2, 1, 3], [4, 5, 4]]))
    if cls is TAGNN:  # Without its target-dependent part.
        torch.nn.init.zeros_(model.lin_target.weight)
    torch.testing.assert_close(
        model.score(batch), model(batch) @ model.item_embedding.t()
    )


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_scale_gives_scaled_cosines(cls):
    model = build(cls, scale=16.0).float()
    batch = NormalizeEdges()(last_samples([[1, 2], [4, 5, 4], [0, 0]]))
    score = model.score(batch)
    assert score.abs().max() <= 16.0 + 1e-4
    # One node: the attention has nothing to choose, so this is one cosine.
    with torch.no_grad():
        model.item_embedding.mul_(torch.rand(NUM_ITEMS, 1) + 0.5)
    torch.testing.assert_close(model.score(batch), score, rtol=1e-4, atol=1e-4)
    model.loss(batch).backward()
    assert model.item_embedding.grad.isfinite().all()


def test_tagnn_without_target_transform_is_identity():
    plain = build(TAGNN, transform_target=False)
    full = build(TAGNN)
    full.load_state_dict(
        {**plain.state_dict(), 'lin_target.weight': torch.eye(6)}
    )
    batch = NormalizeEdges()(last_samples([[1, 2, 1, 3], [4, 5, 4]]))
    torch.testing.assert_close(plain.score(batch), full.score(batch))


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
@pytest.mark.parametrize('num_layers', [0, 1])
def test_autocast(cls, num_layers):
    batch = NormalizeEdges()(last_samples([[1, 2, 1, 3], [4, 5]]))
    model = build(cls, num_layers=num_layers).float()
    expected, wanted = model.score(batch), model.loss(batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        score, loss = model.score(batch), model.loss(batch)
    assert score.dtype == loss.dtype == torch.float32
    torch.testing.assert_close(score, expected, rtol=0.1, atol=0.1)
    torch.testing.assert_close(loss, wanted, rtol=0.1, atol=0.1)
    loss.backward()
    assert model.item_embedding.grad.isfinite().all()


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_no_sessions(cls):
    graphs = SessionGraphs(
        Sessions.from_lengths(torch.tensor([1, 2]), torch.tensor([2]))
    )
    batch = NormalizeEdges()(graphs.batch(torch.tensor([], dtype=torch.long)))
    with pytest.raises(ValueError, match='batch without sessions'):
        build(cls).float().score(batch)


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_a_node_without_clicks_counts_for_messages_alone(cls):
    data = Data(
        x=torch.tensor([1, 2, 7]),
        edge_index=torch.tensor([[0, 2, 1], [1, 0, 2]]),
        edge_weight=torch.ones(3, dtype=torch.double),
        click_index=torch.tensor([0, 1]),
        y=torch.tensor([3]),
    )
    data, model = NormalizeEdges()(data), build(cls)
    score = model.score(data)
    with torch.no_grad():
        torch.testing.assert_close(model.score(data), score)
    loss = F.cross_entropy(score, data.y)
    torch.testing.assert_close(model.loss(data), loss)


def test_dropout_only_in_training():
    model = build(SRGNN, dropout=0.5)
    batch = NormalizeEdges()(last_samples([[1, 2, 1, 3], [4, 5, 4]]))
    assert not torch.equal(model.score(batch), model.score(batch))
    model.eval()
    torch.testing.assert_close(model.score(batch), model.score(batch))


@pytest.mark.parametrize(
    ('kwargs', 'word'),
    [
        (dict(precision='fp8'), 'fp8'),
        (dict(scale=-1.0), '-1.0'),
        (dict(dropout=1.0), '1.0'),
        (dict(num_layers=-3), '-3'),
    ],
)
def test_bad_arguments(kwargs, word):
    with pytest.raises(ValueError, match=word):
        SRGNN(NUM_ITEMS, 6, **kwargs)


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_repr(cls):
    own = 'transform_target=True, ' if cls is TAGNN else ''
    assert repr(cls(9, 6)).startswith(
        f'{cls.__name__}(\n  9, 6, {own}num_layers=2, num_channels=None, '
        f"scale=None, dropout=0.0, precision='float32'"
    )


@withCUDA
@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_device(cls, device):
    model = build(cls).float().to(device)
    batch = NormalizeEdges()(last_samples([[1, 2, 1, 3], [4, 5, 4]]))
    model.loss(batch.to(device)).backward()
    assert model.score(batch.to(device)).device == device
