import math
from itertools import chain, pairwise

import pytest
import torch
from torch.utils.data import Subset
from torch_geometric.data import Batch
from torch_geometric.nn import GATv2Conv
from torch_geometric.transforms import Compose

from pyg_sessaug import Recommender, evaluate, fit
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.transforms import NormalizeEdges, TimeBuckets, usual_gaps

# Items and seconds:
TRAIN = [
    [(0, 0), (1, 5), (0, 65), (1, 75)],
    [(2, 0), (0, 1000), (1, 1002)],
    [(3, 7), (3, 7.5)],
]
NUM_ITEMS = 5


class Timed(SessionDataset):
    """Sessions of pairs of item and time."""

    def __init__(self, root, given, split='train', num_items=NUM_ITEMS):
        self.given, self.given_items = given, num_items
        super().__init__(root, split, val_ratio=0.1 * (len(given) > 9))

    def prepare(self):
        clicks = list(chain(*self.given))
        length = torch.tensor([len(x) for x in self.given])
        item, time = (torch.tensor(x) for x in zip(*clicks))
        time = time.double() + 1.6e9  # Of an epoch, as in logs.
        flat = Sessions.from_lengths(item, length, time)
        return {
            'train': flat,
            'test': flat,
            'item_ids': torch.arange(self.given_items),
            'categories': None,
        }


@pytest.fixture
def data(tmp_path):
    return Timed(str(tmp_path), TRAIN)


def test_times_are_seconds_since_the_session_began(data):
    batch = data.get_batch(torch.arange(len(data)))
    assert batch.click_time.dtype == torch.float
    for i in range(len(data)):
        assert data.get(i).click_time.dtype == torch.float
    assert data.get(2).click_time.tolist() == [0, 5, 65]
    assert batch.to_data_list()[2].click_time.tolist() == [0, 5, 65]
    assert data.get(3).click_time.tolist() == [0]


def by_hand(pairs, bounds, gaps=None):
    """The bucket of each transition, by its shortest time."""
    found = {}
    for (i, s), (j, t) in pairwise(pairs):
        found[i, j] = min(found.get((i, j), math.inf), t - s)
    return {
        edge: sum(gap / (1 if gaps is None else gaps[edge[0]]) > b
                  for b in bounds)
        for edge, gap in found.items()
    }  # fmt: skip


@pytest.mark.parametrize('scaled', [False, True])
def test_channels_are_those_of_the_times(data, scaled):
    gaps = torch.tensor([8.0, 60.0, 900.0, 1.0, 1.0]) if scaled else None
    bounds = [0.5, 1.2] if scaled else [5.0, 60.0, 100.0]
    transform = TimeBuckets(bounds, gaps)
    size, place = len(bounds) + 1, 0
    for pairs in TRAIN:
        for end in range(1, len(pairs)):
            graph = transform(data.get(place))
            place += 1
            expected = by_hand(pairs[:end], bounds, gaps)
            assert graph.edge_attr.size() == (len(expected), 2, size)
            for edge, value in zip(graph.edge_index.t(), graph.edge_attr):
                one_hot = torch.zeros(2, size)
                one_hot[:, expected[tuple(graph.x[edge].tolist())]] = 1
                assert torch.equal(value, one_hot)
    # Behind NormalizeEdges the shares stand there:
    shares = NormalizeEdges()(data.get(2))
    both = Compose([NormalizeEdges(), transform])(data.get(2))
    assert torch.equal(both.edge_attr.sum(dim=2), shares.edge_attr)
    assert bool(((both.edge_attr > 0).sum(dim=2) == 1).all())


@pytest.mark.parametrize('shares', [False, True])
def test_one_graph_or_a_batch(data, shares):
    steps = [NormalizeEdges()] * shares
    transform = Compose([*steps, TimeBuckets([5.0, 60.0])])
    index = torch.arange(len(data))
    single = [transform(data.get(i)) for i in range(len(data))]
    batch = transform(data.get_batch(index))
    both = Batch.from_data_list(single, ['click_index'])
    assert set(both.keys()) == set(batch.keys())
    for key, value in both.to_dict().items():
        assert torch.equal(value, batch[key]), key
    for one, back in zip(single, batch.to_data_list()):
        assert torch.equal(one.edge_attr, back.edge_attr)
    # Among the edges of the batch, if shuffled:
    torch.manual_seed(0)
    shuffled = TimeBuckets([5.0, 60.0], shuffled=True)
    out = shuffled(data.get_batch(index)).edge_attr
    plain = TimeBuckets([5.0, 60.0])(data.get_batch(index)).edge_attr
    assert not torch.equal(out, plain)
    assert torch.equal(out.sum(dim=0), plain.sum(dim=0))


def test_usual_gaps_are_medians(data):
    # 0: 5, 10 and 2 seconds; 1: 60; 2: 1000; 3: half a second; of all 5 or 10
    gaps = usual_gaps(data)
    assert gaps.dtype == torch.float
    assert gaps.tolist() == [5, 60, 1000, 1, 5]


def test_unknown_times_are_in_all_channels(data):
    transform = TimeBuckets([5.0, 60.0, 90.0])
    graph = data.get(2)
    del graph.click_time
    with pytest.raises(ValueError, match='from its log'):
        transform(graph)
    graph.session[0] = -1
    out = transform(graph)
    assert torch.equal(out.edge_attr, torch.full((2, 2, 4), 0.25))
    # An edge that no clicks are behind:
    graph = data.get(2)
    graph.edge_index = torch.cat(
        [graph.edge_index, torch.tensor([[0], [0]])], dim=1
    )
    del graph.edge_weight
    assert transform(graph).edge_attr[-1, 0].tolist() == [0.25] * 4


def slow_step_matters(num_sessions):
    """The target follows from the item before the slow one of two steps to
    the same item.
    """
    sessions = []
    for _ in range(num_sessions):
        a, b = torch.randperm(6)[:2].tolist()
        slow = int(torch.rand(1) < 0.5)
        time = [0, 100 if slow else 3, 4, 7 if slow else 104]
        time = torch.tensor(time).cumsum(0).tolist()
        item = [a, 6, b, 6, 7 + (a if slow else b)]
        sessions.append(list(zip(item, [*time, time[-1] + 1])))
    return sessions


def last_samples(data):
    return Subset(data, range(3, len(data), 4))


def test_a_model_learns_what_time_tells_and_shuffled_does_not(tmp_path):
    torch.manual_seed(0)
    train, val, test = (
        Timed(str(tmp_path), slow_step_matters(600), x, 13)
        for x in ('train', 'val', 'test')
    )
    hits = {}
    for shuffled in (False, True):
        torch.manual_seed(0)
        model = SRGNN(13, 16, num_layers=1, num_channels=2)
        buckets = TimeBuckets([20.0], shuffled=shuffled)
        fit(
            model, last_samples(train), last_samples(val),
            Compose([NormalizeEdges(), buckets]), epochs=12, batch_size=20,
            lr=0.02, schedule='cosine', patience=12, progress=False,
        )  # fmt: skip
        hits[shuffled] = evaluate(model, last_samples(test), k=1)['HR@1']
        if not shuffled:
            weight = model.combine.weight.detach()
            # In the file, too; where there are no times, it still answers.
            Recommender.from_dataset(model, train).save(tmp_path / 'x.pt')
            again = Recommender.load(tmp_path / 'x.pt')
            assert again.model.test_transform.transforms[1].bounds == [20.0]
            assert len(again.recommend([0, 6, 1, 6], k=2).items) == 2
    assert hits[False] > 0.95
    assert hits[True] < 0.7
    assert abs(float(weight[0] - weight[1])) > 0.5


def test_a_stock_layer_takes_it(data):
    graph = TimeBuckets([5.0, 60.0])(data.get_batch(torch.arange(3)))
    conv = GATv2Conv(4, 4, edge_dim=3)
    x = torch.randn(graph.num_nodes, 4)
    out = conv(x, graph.edge_index, graph.edge_attr[:, 0])
    assert not torch.allclose(out, conv(x, graph.edge_index))


def test_shares_come_first(data):
    buckets = Compose([TimeBuckets([10.0]), NormalizeEdges()])
    with pytest.raises(ValueError, match=r'2 channels.*before TimeBuckets'):
        buckets(data.get_batch(torch.arange(2)))


def test_repr_and_errors(data):
    assert repr(TimeBuckets([5, 60])) == (
        'TimeBuckets([5.0, 60.0], scaled=False, shuffled=False)'
    )
    for bounds in ([], [0.0], [5.0, 5.0], [math.inf], [math.nan]):
        with pytest.raises(ValueError, match='that ascend'):
            TimeBuckets(bounds)
    with pytest.raises(ValueError, match='what usual_gaps finds'):
        TimeBuckets([1.0], torch.zeros(3))
    with pytest.raises(ValueError, match='covers items 0 to 0'):
        TimeBuckets([1.0], torch.ones(1))(data.get(2))
    twice = TimeBuckets([1.0])(data.get(2))
    with pytest.raises(ValueError, match='one weight for each edge'):
        TimeBuckets([1.0])(twice)
