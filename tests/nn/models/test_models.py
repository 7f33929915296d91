import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch_geometric.data import Data

from pyg_sessaug.nn import SRGNN, TAGNN
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.dense import srgnn_scores, tagnn_scores
from tests.nn.reference import (
    NUM_ITEMS,
    assert_equals_reference,
    build,
    last_samples,
    sessions_of_clicks,
)

REFERENCE = {SRGNN: srgnn_scores, TAGNN: tagnn_scores}


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
@pytest.mark.parametrize('num_layers', [0, 1, 2])
@settings(max_examples=25, deadline=None)
@given(clicks=sessions_of_clicks)
def test_scores_and_gradients_equal_dense_reference(cls, num_layers, clicks):
    model = build(cls, num_layers=num_layers)
    assert_equals_reference(model, REFERENCE[cls], clicks)


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


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
@pytest.mark.parametrize('scale', [None, 4.0])
def test_table_dropout_leaves_what_is_looked_up(cls, scale):
    model = build(cls, scale=scale, table_dropout=0.5).float()
    batch = NormalizeEdges()(last_samples([[1, 2, 1, 3, 4], [5, 5]]))
    torch.manual_seed(0)
    vector, score = model(batch), model.score(batch)
    model.eval()
    torch.testing.assert_close(model(batch), vector)
    assert not torch.equal(model.score(batch), score)
    loss = model.loss(batch)
    torch.testing.assert_close(
        loss, F.cross_entropy(model.score(batch), batch.y)
    )
    model.train()
    torch.manual_seed(0)
    losses = torch.stack([model.loss(batch) for _ in range(2)])
    assert losses[0] != losses[1]
    losses.sum().backward()
    assert model.item_embedding.grad.isfinite().all()


@pytest.mark.parametrize(
    ('kwargs', 'word'),
    [
        (dict(precision='fp8'), 'fp8'),
        (dict(scale=-1.0), '-1.0'),
        (dict(dropout=1.0), 'dropout must.* 1.0'),
        (dict(table_dropout=-0.1), 'table_dropout must.* -0.1'),
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
        f'context=0, shuffled_context=False, scale=None, dropout=0.0, '
        f"table_dropout=0.0, precision='float32'"
    )
