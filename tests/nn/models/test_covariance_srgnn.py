import pytest
import torch
import torch.nn.functional as F

from pyg_sessaug import Recommender
from pyg_sessaug.clusters import ItemMixture
from pyg_sessaug.data.graphs import session_batch
from pyg_sessaug.nn import SRGNN, CovarianceSRGNN
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.dense import encode

NUM_ITEMS = 9
SESSIONS = [[1, 2, 1, 3, 4], [5, 5], [0, 8, 7, 8, 0, 2], [3]]


@pytest.fixture
def mixture():
    root = torch.randn(3, 4, 4)
    return ItemMixture(
        torch.eye(3)[torch.arange(NUM_ITEMS) % 3],
        torch.randn(3, 4),
        root @ root.transpose(1, 2),
    )


@pytest.fixture
def batch():
    item = torch.tensor([i for clicks in SESSIONS for i in clicks])
    batch = session_batch(item, torch.tensor([len(x) for x in SESSIONS]))
    batch.y = torch.tensor([4, 0, 8, 2])
    return NormalizeEdges()(batch)


def test_scores_and_gradients_equal_dense_reference(mixture, batch):
    model = CovarianceSRGNN(mixture, 6).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    batch.edge_attr = batch.edge_attr.double()
    covariances = mixture.covariances.double()
    variance = torch.stack([x.trace() / 4 for x in covariances]).mean()
    rows = []
    for clicks in SESSIONS:
        _, last, pooled = encode(model, clicks)
        sigma = covariances[clicks[-1] % 3] / variance
        part = sigma @ model.reduce.weight[0]
        session = model.lin.weight @ torch.cat([last, pooled, part])
        rows.append(model.item_embedding @ session)
    expected = torch.stack(rows)
    torch.testing.assert_close(
        model.score(batch), expected, rtol=1e-5, atol=1e-6
    )
    wanted = torch.autograd.grad(
        F.cross_entropy(expected, batch.y), list(model.parameters())
    )
    model.loss(batch).backward()
    for parameter, grad in zip(model.parameters(), wanted):
        torch.testing.assert_close(parameter.grad, grad, rtol=1e-4, atol=1e-6)


def test_without_its_part_it_is_srgnn(mixture, batch):
    model, plain = CovarianceSRGNN(mixture, 6), SRGNN(NUM_ITEMS, 6)
    state = {
        key: value
        for key, value in model.state_dict().items()
        if key in plain.state_dict()
    }
    state['lin.weight'] = state['lin.weight'][:, :12]
    plain.load_state_dict(state)
    different = model.score(batch)
    torch.nn.init.zeros_(model.reduce.weight)
    torch.testing.assert_close(model.score(batch), plain.score(batch))
    assert not torch.allclose(different, plain.score(batch))


def test_scale_of_the_embeddings_does_not_matter(mixture, batch):
    model = CovarianceSRGNN(mixture, 6)
    larger = ItemMixture(
        mixture.posterior, 3 * mixture.centers, 9 * mixture.covariances
    )
    again = CovarianceSRGNN(larger, 6)
    state = model.state_dict()
    state['covariances'] = again.covariances
    again.load_state_dict(state)
    torch.testing.assert_close(again.score(batch), model.score(batch))


def test_mixture_is_kept_and_does_not_learn(mixture, batch, tmp_path):
    model = CovarianceSRGNN(mixture, 6)
    assert {'label', 'covariances'} <= set(model.state_dict())
    assert not model.covariances.requires_grad
    assert torch.equal(model.label, mixture.labels)
    with pytest.raises(
        ValueError, match='does not keep its argument `mixture`'
    ):
        Recommender(model, list('abcdefghi')).save(tmp_path / 'x.pt')
    # A single graph is a batch of one.
    data = batch.to_data_list()[0]
    torch.testing.assert_close(model.score(data)[0], model.score(batch)[0])
