import copy
import math

import pytest
import torch
import torch.nn.functional as F

from pyg_sessaug.data.graphs import list_batch
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.nn.models.kept_table import KeptTable
from pyg_sessaug.transforms import NormalizeEdges


@pytest.fixture
def calls(monkeypatch):
    """How many rows each call of the model's shape got."""
    seen, shape = [], SRGNN._shape

    def count(self, x):
        seen.append(x.size(0))
        return shape(self, x)

    monkeypatch.setattr(SRGNN, '_shape', count)
    return seen


def make(**kwargs):
    torch.manual_seed(0)
    return SRGNN(30, 6, scale=12.0, **kwargs).eval()


def batch():
    data = NormalizeEdges()(list_batch([[3, 4, 3], [7]]))
    data.y = torch.tensor([1, 2])
    return data


@torch.no_grad()
def scores(model):
    """Checked against cosines that are computed here."""
    found = model.score(batch())
    table = F.normalize(model.item_embedding, dim=1)
    torch.testing.assert_close(found, model(batch()) @ table.t())
    return found


def step(model):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model.loss(batch()).backward()
    optimizer.step()


def load(model):
    torch.manual_seed(1)
    model.load_state_dict(SRGNN(30, 6, scale=12.0).state_dict())


def draw(model):
    model.reset_parameters()


def write(model):
    with torch.no_grad():
        model.item_embedding[5] += 1


def replace(model):
    model.item_embedding.data = torch.randn(30, 6)


def test_table_is_made_once(calls):
    model = make()
    for _ in range(3):
        scores(model)
    assert calls.count(30) == 1


@pytest.mark.parametrize('change', [step, load, draw, write, replace])
def test_change_of_weights_is_seen(change):
    model = make()
    before = scores(model)
    change(model)
    assert not torch.equal(scores(model), before)


def test_type_and_options_are_seen():
    model = make()
    before = scores(model)
    model.double()
    assert scores(model).dtype == torch.float64
    torch.testing.assert_close(scores(model.float()), before)
    model.center = True
    with torch.no_grad():
        table = model._shape(model.item_embedding)
        expected = model(batch()) @ table.t()
        torch.testing.assert_close(model.score(batch()), expected)


def test_gradients_and_training_keep_nothing():
    model = make()
    scores(model)
    assert model.score(batch()).requires_grad
    assert model._kept._entry is None
    scores(model)
    model.loss(batch())
    assert model._kept._entry is None


def test_copies_keep_nothing():
    model = make()
    scores(model)
    other = copy.deepcopy(model)
    assert other._kept._entry is None
    assert model._kept._entry is not None
    write(other)
    assert not torch.equal(scores(other), scores(model))


def test_keeps_what_it_made():
    kept, weight = KeptTable(), torch.ones(2)
    first = kept(weight, 'a', torch.neg)
    assert kept(weight, 'a', torch.neg) is first
    assert kept(weight, 'b', torch.exp).tolist() == pytest.approx([math.e] * 2)
    with torch.inference_mode():
        weight = torch.ones(2)
        assert kept(weight, 'a', torch.neg).tolist() == [-1, -1]
        weight += 1
        assert kept(weight, 'a', torch.neg).tolist() == [-2, -2]


def test_what_inference_asked_for_serves_gradients():
    model = make()
    model.item_embedding.requires_grad_(False)
    with torch.inference_mode():
        expected = model.score(batch())
    found = model.score(batch())
    torch.testing.assert_close(found, expected.clone())
    found.sum().backward()
    assert model.lin.weight.grad.abs().sum() > 0
