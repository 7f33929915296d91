import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.metrics import LinkPredMRR, LinkPredNDCG, LinkPredRecall

from pyg_sessaug.metrics import list_metrics, ranking_metrics, target_rank


def full_order(score):
    # A stable sort puts the lower of two equal items first.
    return score.sort(dim=1, descending=True, stable=True)[1]


def test_target_rank_by_hand():
    score = torch.tensor([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0], [0.0, -1.0, 0.0]])
    assert target_rank(score, torch.tensor([2, 1, 2])).tolist() == [2, 2, 2]
    assert target_rank(score, torch.tensor([1, 0, 1])).tolist() == [1, 1, 3]


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_target_rank_equals_full_ranking_with_ties(data):
    rows = data.draw(st.integers(1, 6))
    items = data.draw(st.integers(1, 30))
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    score = torch.randint(-2, 3, (rows, items), generator=draw).float()
    target = torch.randint(items, (rows,), generator=draw)
    place = (full_order(score) == target.view(-1, 1)).nonzero()[:, 1]
    assert target_rank(score, target).tolist() == (place + 1).tolist()


@pytest.mark.parametrize(
    'target, match',
    [
        ([-1, 0], 'holds item -1: expected indices of the 6 items'),
        ([6, 0], 'holds item 6'),
        ([1], r'shape \[1\]: expected \[2\]'),
        ([1, 2, 3], r'shape \[3\]'),
    ],
)
def test_target_rank_needs_an_item_for_each_row(target, match):
    with pytest.raises(ValueError, match=match):
        target_rank(torch.randn(2, 6), torch.tensor(target))


def test_target_rank_of_other_types_and_of_no_rows():
    score, target = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([2])
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        assert target_rank(score.to(dtype), target).tolist() == [2]
    assert target_rank(score[:0], target[:0]).tolist() == []


def test_metrics_equal_those_of_pyg():
    torch.manual_seed(0)
    score = torch.randint(0, 9, (200, 50)).float()
    target = torch.randint(50, (200,))
    ranked = full_order(score)[:, :20]
    label = torch.stack([torch.arange(200), target])
    out = ranking_metrics(target_rank(score, target))
    # Of one target, the recall is the hit ratio, which PyG 2.6 lacks.
    for name, metric in [
        ('HR@20', LinkPredRecall(k=20)),
        ('MRR@20', LinkPredMRR(k=20)),
        ('NDCG@20', LinkPredNDCG(k=20)),
    ]:
        metric.update(ranked, label)
        assert out[name] == pytest.approx(float(metric.compute()))
    assert 0 < out['MRR@20'] < out['HR@20'] < 1


@pytest.mark.parametrize('k', [0, -1])
def test_lists_of_no_items(k):
    with pytest.raises(ValueError, match=f'k={k}; pass at least 1'):
        ranking_metrics(torch.tensor([1, 2]), k)
    with pytest.raises(ValueError, match='got no ranks'):
        ranking_metrics(torch.tensor([]).long())


def test_ranking_metrics_by_hand():
    out = ranking_metrics(torch.tensor([1, 2, 3, 4]), k=[2, 1])
    discounted = (1 + 1 / math.log2(3)) / 4
    assert out == pytest.approx(
        {
            'HR@2': 0.5,
            'MRR@2': 0.375,
            'NDCG@2': discounted,
            'HR@1': 0.25,
            'MRR@1': 0.25,
            'NDCG@1': 0.25,
        }
    )


def test_list_metrics_by_hand():
    lists = {1: torch.tensor([0, 3, 0, 0]), 2: torch.tensor([0, 3, 2, 1])}
    out = list_metrics(lists, torch.tensor([90, 4, 1, 7]))
    assert out == pytest.approx(
        {
            'Coverage@1': 0.25,
            'Popularity@1': 4.0,
            'Coverage@2': 0.75,
            'Popularity@2': (12 + 2 + 7) / 6,
        }
    )


@pytest.mark.parametrize('rank', [[1, 0], [-3], [0.5, float('nan')]])
def test_ranks_count_from_one(rank):
    with pytest.raises(ValueError, match=f'rank {min(rank)}; ranks count'):
        ranking_metrics(torch.tensor(rank))
    with pytest.raises(ValueError, match='rank nan; ranks count'):
        ranking_metrics(torch.tensor([float('nan'), 2.0]))


def test_excluded_items_rank_behind_the_others():
    torch.manual_seed(0)
    score = torch.randn(40, 9).round()  # Ties too
    out = torch.rand(40, 9) < 0.4
    target = torch.randint(9, (40,))
    rank = target_rank(score.masked_fill(out, -torch.inf), target)
    lowest = score.masked_fill(out, -100.0)
    assert rank.equal(target_rank(lowest, target))


@pytest.mark.parametrize('value', ['nan', 'inf'])
def test_scores_that_are_not_finite(value):
    score = torch.zeros(3, 4)
    score[1, 2] = float(value)
    score[2, 1] = score[1, 3] = -torch.inf
    with pytest.raises(ValueError, match='row 1 of the scores'):
        target_rank(score, torch.tensor([0, 0, 0]))


def test_large_scores_whose_sum_is_infinite_are_ranked():
    score = torch.tensor([[3e38, 2e38, 3e38]])
    assert target_rank(score, torch.tensor([1])).tolist() == [3]
