import pytest
import torch
import torch.nn.functional as F

from pyg_sessaug.nn.loss.catalogue import catalogue_cross_entropy
from pyg_sessaug.nn.loss.lookup import shared_lookup
from tests.nn.loss_problems import assert_equal


def test_lookup_adds_to_the_gradient_of_the_table():
    weight = torch.randn(50, 4, requires_grad=True)
    index, target = torch.tensor([3, 3, 8]), torch.tensor([1, 2, 3])
    x = weight[index]
    expected = F.cross_entropy(x @ weight.t(), target)
    rows, table = shared_lookup(weight, index)
    assert rows.equal(x)
    loss = catalogue_cross_entropy(rows, table, target)
    assert_equal(loss, expected, (weight,), 1e-5)
    for i in range(2):  # Either one may go unused.
        used = shared_lookup(weight, index)[i]
        grad = torch.autograd.grad(used.sum(), weight)[0]
        assert grad.sum() == used.numel()


@pytest.mark.parametrize('num_items', [5, 2048, 2500])
def test_lookup_of_unit_rows(num_items):
    """As by F.normalize, also for rows too short to have a direction."""
    torch.manual_seed(0)
    weight = torch.randn(num_items, 4, dtype=torch.double)
    weight[2], weight[3] = 0.0, 1e-13
    weight.requires_grad_()
    index, target = torch.tensor([3, 3, 2, 1]), torch.tensor([1, 2, 3, 4])
    table = F.normalize(weight, dim=1)
    x = table[index]
    expected = F.cross_entropy(x @ table.t(), target)
    rows, unit = shared_lookup(weight, index, unit=True)
    assert torch.allclose(unit, table)
    assert torch.allclose(rows, x)
    loss = catalogue_cross_entropy(rows, unit, target)
    assert_equal(loss, expected, (weight,), 1e-12)


@pytest.mark.parametrize('unit', [False, True])
@pytest.mark.parametrize('raw', [False, True])
@pytest.mark.parametrize('dropout', [0.0, 0.3])
@pytest.mark.parametrize('center', [False, True])
def test_options_of_the_table_and_its_rows(unit, raw, dropout, center):
    torch.manual_seed(0)
    weight = torch.randn(2500, 4, dtype=torch.double, requires_grad=True)
    index, target = torch.tensor([3, 3, 2, 1]), torch.tensor([1, 2, 3, 4])
    torch.manual_seed(1)
    _, dropped = shared_lookup(weight, index, dropout=dropout)
    kept, share = (dropped != 0).detach(), round(dropout * 256) / 256
    assert kept.double().mean().item() == pytest.approx(1 - share, abs=0.02)
    torch.manual_seed(1)
    rows, table = shared_lookup(
        weight, index, unit, raw=raw, dropout=dropout, center=center
    )
    x, whole = weight, weight * kept / (1 - share)
    if center:
        x, whole = (a - a.mean(dim=1, keepdim=True) for a in (x, whole))
    if unit:
        x, whole = F.normalize(x, dim=1), F.normalize(whole, dim=1)
    x = (weight if raw else x)[index]
    assert torch.allclose(rows, x)
    assert torch.allclose(table, whole)
    expected = F.cross_entropy(x @ whole.t(), target)
    loss = catalogue_cross_entropy(rows, table, target)
    assert_equal(loss, expected, (weight,), 1e-12)
