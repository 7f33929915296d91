from itertools import product

import pytest
import torch
import torch.nn.functional as F

from pyg_sessaug.nn.loss.sampled import Negatives, sampled_cross_entropy
from tests.nn.loss_problems import assert_equal, problem


def test_every_item_once_and_no_correction_is_exact():
    torch.manual_seed(0)
    x, weight, target = problem(7, 50, dtype=torch.double)
    item = torch.randperm(50)
    loss = sampled_cross_entropy(x, weight[target], target, weight[item], item)
    expected = F.cross_entropy(x @ weight.t(), target)
    assert_equal(loss, expected, [x, weight], 1e-12)


@pytest.mark.parametrize('power', [0.0, 0.75])
@pytest.mark.parametrize('num_negatives,size', [(2, 3), (1, 2), (3, 1)])
def test_the_sum_over_items_by_enumeration(power, num_negatives, size):
    """Over all draws and all targets of the others, the mean of the sum
    within the logarithm is that over all items.
    """
    torch.manual_seed(1)
    popularity = torch.tensor([5, 1, 0, 3])
    x, weight, _ = problem(size, 4, channels=2, dtype=torch.double)
    x, weight = x.detach(), weight.detach()
    negatives = Negatives(popularity, num_negatives, power)
    p = popularity.double().clamp(min=1) ** power
    p, r = p / p.sum(), popularity.double() / popularity.sum()
    own, total, mass = 1, 0.0, 0.0
    for drawn in product(range(4), repeat=num_negatives + size - 1):
        drawn = torch.tensor(drawn)
        chance = p[drawn[:num_negatives]].prod()
        chance = chance * r[drawn[num_negatives:]].prod()
        target = torch.cat([torch.tensor([own]), drawn[num_negatives:]])
        item = torch.cat([drawn[:num_negatives], target])
        loss = sampled_cross_entropy(
            x[:1],
            weight[[own]],
            target[:1],
            weight[item],
            item,
            negatives.log_count(item, size),
        )
        total += chance * (loss + x[0] @ weight[own]).exp()
        mass += chance
    assert float(mass) == pytest.approx(1)
    expected = (weight @ x[0]).exp().sum()
    assert float(total) == pytest.approx(float(expected), rel=1e-6)


def test_draws_follow_popularity():
    torch.manual_seed(0)
    popularity = torch.tensor([0, 16, 0, 81, 1])
    weight = torch.tensor([1, 8, 1, 27, 1]) / 38
    negatives = Negatives(popularity, 200_000)
    share = torch.bincount(negatives.draw(), minlength=5) / 200_000
    assert torch.allclose(share, weight, atol=5e-3)
    uniform = Negatives(popularity, 200_000, power=0)
    share = torch.bincount(uniform.draw(), minlength=5) / 200_000
    assert torch.allclose(share, torch.full((5,), 0.2), atol=5e-3)
    torch.manual_seed(3)
    first = negatives.draw()
    torch.manual_seed(3)
    assert torch.equal(first, negatives.draw())


def test_bad_numbers_are_refused():
    for kwargs in ({'num_negatives': 0}, {'power': -1}):
        with pytest.raises(ValueError, match='at least 1 item and a power'):
            Negatives(torch.ones(3), **kwargs)
