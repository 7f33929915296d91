"""What a recommender takes for ids, and what it refuses."""

import pytest
import torch

from pyg_sessaug import Recommender
from pyg_sessaug.counts import CoVisits
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.nn import SRGNN, Blend

IDS = list(range(12))


def make(item_ids=IDS, popularity=None):
    return Recommender(SRGNN(12, hidden_channels=6), item_ids, popularity)


@pytest.mark.parametrize(
    'given', [{1, 2}, frozenset({1}), {1: 2}, {1: 2}.keys()]
)
def test_what_has_no_order_is_no_session(given):
    with pytest.raises(TypeError, match='has no order of clicks'):
        make().recommend(given)


@pytest.mark.parametrize(
    'sessions',
    [
        [[1], {2}],
        [True, 3],
        [[1], [False]],
        torch.tensor([True, False]),
        [frozenset({1})],
    ],
)
def test_what_is_no_id(sessions):
    with pytest.raises(TypeError):
        make().recommend(sessions)
    with pytest.raises(TypeError, match='where an id should be'):
        make().recommend([1], block=[True])


def test_a_set_may_block_and_allow():
    recommender = make()
    ranked = recommender.recommend([3], k=12).items
    out = recommender.recommend([3], k=12, block={0, 5}).items
    assert out == [x for x in ranked if x not in (0, 5)]
    for allow in ({1, 4, 5}, [5, 4, 1, 5, 99], torch.tensor([1, 4, 5])):
        out = recommender.recommend([3], 12, block={5}, allow=allow).items
        assert out == [x for x in ranked if x in (1, 4)]


def test_only_what_is_allowed_where_nothing_is_known():
    recommender = make(popularity=torch.arange(12))
    out = recommender.recommend([[], [99]], k=3, allow=[2, 7, 3, 9], block=[9])
    assert [x.items for x in out] == [[7, 3, 2]] * 2
    assert recommender.recommend([], allow=[]).items == []
    assert recommender.recommend([1], allow=[]).items == []


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_popularity_is_finite(value):
    popularity = torch.ones(12)
    popularity[7] = value
    with pytest.raises(ValueError, match=r"popularity .* of the item 'x7'"):
        make([f'x{i}' for i in IDS], popularity)


@pytest.mark.parametrize('kind', [int, str])
def test_similar_items(kind):
    ids = [kind(3 * i) for i in IDS]
    recommender = make(ids)
    table = recommender.model.item_embedding.detach().double()
    for index in (0, 7):
        cosine = [
            float(torch.cosine_similarity(table[index], row, dim=0))
            for row in table
        ]
        order = sorted(IDS, key=lambda i: -cosine[i])[1:]
        out = recommender.similar_items(ids[index], k=30)
        assert out.items == [ids[i] for i in order]
        assert out.scores == pytest.approx(
            [cosine[i] for i in order], abs=1e-6
        )
        assert recommender.similar_items(ids[index], 2).items == out.items[:2]
    with pytest.raises(ValueError, match="does not know the item 'y'"):
        recommender.similar_items('y')
    with pytest.raises(ValueError, match='k=0'):
        recommender.similar_items(ids[0], k=0)
    with pytest.raises(TypeError, match='where an id should be'):
        recommender.similar_items(True)


def test_counts_have_no_similar_items():
    counts = CoVisits(12)
    item = torch.tensor([1, 2, 3])
    counts.update(Sessions.from_lengths(item, torch.tensor([3])))
    for model in (counts, Blend([counts])):
        with pytest.raises(TypeError, match='has no item_embedding'):
            Recommender(model, IDS).similar_items(1)
    network = make(IDS)
    blend = Recommender(Blend([counts, network.model]), IDS)
    assert blend.similar_items(1, 3) == network.similar_items(1, 3)
