import pytest
import torch

from pyg_sessaug.counts import VSKNN, NeighborItems
from pyg_sessaug.data.graphs import SessionGraphs
from tests.counts.logs import LATER, NUM_ITEMS, TRAIN, batch, flat, prefixes


class Dataset:
    """What counts read of a training split."""

    split = 'train'

    def __init__(self, sessions):
        self.flat_sessions = flat(sessions)
        number = torch.arange(len(sessions))
        self.graphs = SessionGraphs(self.flat_sessions, number)

    def __len__(self):
        return self.flat_sessions.num_samples


def as_lists(votes):
    count = votes.ptr.diff().tolist()
    pairs = zip(votes.item.split(count), votes.weight.split(count))
    return [dict(zip(x.tolist(), y.tolist())) for x, y in pairs]


def assert_best(votes, clicks, score, k):
    """The k best by a dense matrix of scores, but for the last item."""
    for found, session, row in zip(as_lists(votes), clicks, score):
        row[session[-1]] = 0
        size = min(k, int((row > 0).sum()))
        assert list(found.values()) == pytest.approx(
            row.sort()[0][-size:].tolist() if size else []
        )
        for item, weight in found.items():
            assert weight == pytest.approx(row[item].item())


@pytest.mark.parametrize('k', [1, 6, 100])
def test_items_are_those_that_vsknn_scores_highest(k):
    data = Dataset(TRAIN)
    counts = VSKNN(NUM_ITEMS).fit(data)
    items = NeighborItems(NUM_ITEMS, k).fit(data)
    later = batch(LATER)
    assert_best(items(later), prefixes(LATER), counts.score(later), k)
    # Parts of training sessions, which are looked up:
    part = data.graphs.batch(torch.arange(len(data)))
    score = counts.score(part)
    assert_best(items(part), prefixes(TRAIN), score, k)
    # None of them is looked up, and some:
    looked_up = items(part)
    lists, items._lists = items._lists, None
    for x, y in zip(items(part), looked_up):
        assert torch.equal(x, y)
    items._lists = lists
    other = part.session % 3 == 0
    part.session[other] = -1
    mixed, alone = as_lists(items(part)), as_lists(looked_up)
    items._lists = None
    assert mixed == as_lists(items(part))
    assert [x for x, y in zip(mixed, other) if not y] == [
        x for x, y in zip(alone, other) if not y
    ]


def test_only_older_sessions_are_asked():
    data = Dataset([[1, 2, 3], [1, 2, 4], [1, 5]])
    items = NeighborItems(6, 5).fit(data)
    found = as_lists(items(data.graphs.batch(torch.arange(len(data)))))
    # Those of [1], [1, 2], [1], [1, 2] and [1]:
    assert [set(x) for x in found] == [set(), set(), {2, 3}, {1, 3}, {2, 3, 4}]
    # Changed clicks are not looked up.
    changed = data.graphs.batch(torch.tensor([3]))
    changed.x[0] = 5
    assert set(as_lists(items(changed))[0]) == {1, 3}
    changed.x[1] = 0
    assert as_lists(items(changed)) == [{}]


def test_a_file_keeps_what_was_found(tmp_path, monkeypatch):
    data = Dataset(TRAIN)
    items = NeighborItems(NUM_ITEMS, 6).fit(data, str(tmp_path))
    part = data.graphs.batch(torch.arange(len(data)))
    expected = items(part)
    NeighborItems(NUM_ITEMS, 5).fit(data, str(tmp_path))
    NeighborItems(NUM_ITEMS, 6).fit(Dataset(TRAIN[:-1]), str(tmp_path))
    NeighborItems(NUM_ITEMS, 6, shuffled=True).fit(data, str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(NeighborItems, '_all', None)
    for x, y in zip(
        NeighborItems(NUM_ITEMS, 6).fit(data, str(tmp_path))(part), expected
    ):
        assert torch.equal(x, y)


def test_shuffled_items_are_those_of_a_session_of_other_items():
    torch.manual_seed(0)
    data = Dataset(TRAIN)
    items = NeighborItems(NUM_ITEMS, 6, shuffled=True).fit(data)
    order = items.order
    clicks = data.flat_sessions.item.bincount(minlength=NUM_ITEMS)
    seen = (clicks > 0).nonzero().view(-1)
    assert torch.equal(order.sort()[0], torch.arange(NUM_ITEMS))
    assert torch.equal(order[clicks == 0], (clicks == 0).nonzero().view(-1))
    assert bool((order[seen] != seen).all())
    tenth = torch.empty_like(clicks)
    for i, x in enumerate(
        seen[clicks[seen].argsort(stable=True)].tensor_split(10)
    ):
        tenth[x] = i
    assert torch.equal(tenth[order[seen]], tenth[seen])
    plain = NeighborItems(NUM_ITEMS, 6).fit(data)
    other = [[int(order[i]) for i in session] for session in LATER]
    assert as_lists(items(batch(LATER))) == as_lists(plain(batch(other)))


def drifting(num_sessions, num_items, period):
    """Sessions of three clicks whose last follows from the one before by a
    rule that changes every so many sessions.
    """
    sessions = []
    for i in range(num_sessions):
        if i % period == 0:
            rule = torch.randperm(num_items)
        a, b = torch.randint(num_items, (2,)).tolist()
        sessions.append([a, b, int(rule[b])])
    return sessions


def test_neighbours_know_the_rule_of_the_day_and_shuffled_ones_do_not():
    torch.manual_seed(0)
    data = Dataset(drifting(1200, 40, 400))
    # Samples of two clicks in the second half of each period:
    index = torch.arange(1, len(data), 2)
    index = index[(index // 2) % 400 >= 200]
    part = data.graphs.batch(index)
    share = {}
    for shuffled in (False, True):
        items = NeighborItems(40, 3, shuffled)
        items.vsknn.sample_size = 40
        found = as_lists(items.fit(data)(part))
        hit = [y in x for x, y in zip(found, part.y.tolist())]
        share[shuffled] = sum(hit) / len(hit)
    assert share[False] > 0.6
    assert share[True] < 0.15  # By chance 3 of 40.


def test_errors_name_the_remedy():
    with pytest.raises(ValueError, match='pass at least 1'):
        NeighborItems(3, 0)
    with pytest.raises(ValueError, match='call fit'):
        NeighborItems(NUM_ITEMS)(batch(LATER))
    data = Dataset(TRAIN[:3])
    part = Dataset(TRAIN).graphs.batch(torch.tensor([100]))
    with pytest.raises(ValueError, match='of another data set'):
        NeighborItems(NUM_ITEMS).fit(data)(part)
