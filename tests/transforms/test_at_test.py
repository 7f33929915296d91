"""What transforms do where nothing trains."""

import json

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.transforms import BaseTransform, Compose

from pyg_sessaug import Recommender, evaluate, fit
from pyg_sessaug.__main__ import main
from pyg_sessaug.counts import CoVisits, NeighborItems
from pyg_sessaug.data.graphs import session_batch
from pyg_sessaug.datasets import SessionLog
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.nn import SRGNN, Blend, RepeatTerm
from pyg_sessaug.training import fit_blend, validation_loss
from pyg_sessaug.transforms import (
    CovisitContext,
    CovisitWeight,
    GaussianBlur,
    ItemDistance,
    NeighborContext,
    NormalizeEdges,
    TimeBuckets,
    WeightChannels,
)
from pyg_sessaug.transforms.at_test import at_test
from tests.counts.logs import LATER, NUM_ITEMS, TRAIN, Log

EMBEDDING = torch.randn(
    NUM_ITEMS, 4, generator=torch.Generator().manual_seed(0)
)
OPTIONS = dict(epochs=1, batch_size=50, schedule='cosine', progress=False)


class Log2(Log):
    """With validation sessions."""

    def __init__(self, root, split, val_ratio=0.2):
        self.given, self.given_items = TRAIN, NUM_ITEMS
        super(Log, self).__init__(root, split, val_ratio=val_ratio)


@pytest.fixture
def data(tmp_path):
    return [Log2(str(tmp_path), x) for x in ('train', 'val', 'test')]


@pytest.fixture
def covisits(data):
    return CoVisits(NUM_ITEMS).fit(data[0])


class Count(BaseTransform):
    """Counts its calls; for single graphs."""

    def __init__(self, where):
        self.at_test, self.graphs = where, []

    def forward(self, data):
        self.graphs.append(data.y if 'y' in data else None)
        return data


def test_parts_that_belong_there(covisits):
    weight, blur = CovisitWeight(covisits), GaussianBlur()
    distance, shares = ItemDistance(EMBEDDING), NormalizeEdges()
    for thesis in (None, shares, distance, Compose([distance, shares, blur])):
        assert at_test(thesis) is None
    assert at_test(weight) is weight
    part = at_test(Compose([distance, Compose([weight, shares]), blur]))
    assert [x.transforms for x in part.transforms[::2]] == [[], []]
    assert part.transforms[1].transforms == [weight, shares]
    pair = Compose([weight, shares])
    pair.transforms = weight, shares
    assert at_test(pair).transforms == [weight, shares]
    # Channels stay, plain ones.
    channels = at_test(WeightChannels([distance, weight]))
    graphs = session_batch(torch.tensor([1, 2, 3, 1]), torch.tensor([4]))
    out = channels(graphs).edge_weight
    assert torch.equal(out[:, 0], torch.ones(3))
    assert bool((out[:, 1] > 1).any())


@pytest.mark.parametrize('name', ['covisits', 'neighbors', 'weights'])
def test_refit_counts_anew(data, tmp_path, name):
    train, val, _ = data
    everything = Log2(str(tmp_path), 'train', val_ratio=0.0)

    def make(known):
        if name == 'neighbors':
            return NeighborContext(NeighborItems(NUM_ITEMS, 3).fit(known))
        counts = CoVisits(NUM_ITEMS).fit(known)
        cls = CovisitContext if name == 'covisits' else CovisitWeight
        return cls(counts)

    models = []
    for known, refit in ((train, everything), (everything, None)):
        torch.manual_seed(0)
        models.append(SRGNN(NUM_ITEMS, 4))
        steps = Compose([make(known), NormalizeEdges()])
        samples = everything if refit is None else train
        fit(models[-1], samples, val, steps, seed=0, refit=refit, **OPTIONS)
    batch = everything.get_batch(torch.arange(9))
    first, second = (x.eval().score(x.test_transform(batch)) for x in models)
    torch.testing.assert_close(first, second)


def test_what_was_not_clicked_is_not_left_out(data, covisits):
    torch.manual_seed(0)
    model = SRGNN(NUM_ITEMS, 4).eval()
    model.test_transform = Compose([CovisitContext(covisits)])
    recommender = Recommender(model, list(range(NUM_ITEMS)))
    found = recommender.recommend([3, 5], NUM_ITEMS, exclude_clicked=True)
    assert set(found.items) == set(range(NUM_ITEMS)) - {3, 5}


def test_validation_evaluation_and_recommendations(data, covisits, tmp_path):
    train, val, test = data
    torch.manual_seed(0)
    model = SRGNN(NUM_ITEMS, 8)
    transform = Compose([CovisitWeight(covisits), NormalizeEdges()])
    history = fit(model, train, val, transform, seed=0, **OPTIONS)
    assert model.test_transform.transforms == transform.transforms

    def by_hand(graphs):
        return model.score(transform(graphs)).detach()

    model.eval()
    whole = val.get_batch(torch.arange(len(val)))
    scores = by_hand(whole)
    loss = torch.nn.functional.cross_entropy(scores, whole.y)
    assert history[0]['val_loss'] == pytest.approx(float(loss), rel=1e-5)
    whole = test.get_batch(torch.arange(len(test)))
    target = by_hand(whole).gather(1, whole.y.view(-1, 1))
    rank = 1 + (by_hand(whole) > target).sum(dim=1)
    assert torch.equal(rank_samples(model, test), rank)

    recommender = Recommender.from_dataset(model, train)
    sessions = [x[:4] for x in LATER]
    item = torch.cat([torch.tensor(x) for x in sessions])
    size = torch.tensor([len(x) for x in sessions])
    expected = by_hand(session_batch(item, size)).argmax(dim=1).tolist()
    answers = recommender.recommend(sessions, k=1)
    assert [x.items[0] for x in answers] == expected
    # And all of it is in the file.
    recommender.save(tmp_path / 'shop.pt')
    again = Recommender.load(tmp_path / 'shop.pt')
    assert again.recommend(sessions, k=5) == recommender.recommend(
        sessions, k=5
    )
    assert evaluate(again, test) == evaluate(model, test)
    kept = again.model.test_transform.transforms[0].covisits
    before = kept.num_sessions
    again.update(test)
    assert kept.num_sessions > before
    # Trained on plain graphs again, it forgets.
    fit(model, train, val, seed=0, **OPTIONS)
    assert model.test_transform is None


@pytest.mark.parametrize('name', ['neighbors', 'shuffled', 'averaged'])
def test_files_hold_what_a_transform_keeps(data, covisits, tmp_path, name):
    train, val, test = data
    shuffled = name == 'shuffled'
    torch.manual_seed(1)
    if name == 'neighbors':
        part = NeighborContext(NeighborItems(NUM_ITEMS, 3).fit(train))
    else:
        part = CovisitWeight(covisits, shuffled=shuffled)
    model = SRGNN(NUM_ITEMS, 8)
    ema = 0.5 if name == 'averaged' else None
    transform = Compose([part, NormalizeEdges()])
    history = fit(model, train, val, transform, ema=ema, **OPTIONS)
    assert model.test_transform.transforms[0] is part
    value = history[0]['val_loss']
    assert value == pytest.approx(validation_loss(model, val))
    Recommender.from_dataset(model, train).save(tmp_path / 'shop.pt')
    torch.manual_seed(2)
    again = Recommender.load(tmp_path / 'shop.pt')
    assert torch.equal(rank_samples(again, test), rank_samples(model, test))
    plain = SRGNN(NUM_ITEMS, 8)
    plain.load_state_dict(model.state_dict())
    assert validation_loss(plain, val) != value


def test_members_of_a_mixture_have_their_own(data, covisits, tmp_path):
    train, val, test = data
    transform = Compose([CovisitWeight(covisits), NormalizeEdges()])
    torch.manual_seed(0)
    one, other = SRGNN(NUM_ITEMS, 8), SRGNN(NUM_ITEMS, 8)
    fit(one, train, val, transform, **OPTIONS)
    fit(other, train, val, **OPTIONS)
    term = RepeatTerm(one)
    blend = fit_blend([term, other], val)
    weight = blend.weight.tolist()
    graphs = test.get_batch(torch.arange(9))
    parts = [
        one.score(transform(graphs)),
        other.score(NormalizeEdges()(graphs)),
    ]
    mixed = sum(w * x.softmax(1) for w, x in zip(weight, parts)).log()
    out = blend.score(NormalizeEdges()(graphs))
    torch.testing.assert_close(out, mixed)
    Recommender.from_dataset(blend, train).save(tmp_path / 'shop.pt')
    again = Recommender.load(tmp_path / 'shop.pt')
    assert isinstance(again.model, Blend)
    assert torch.equal(rank_samples(again, test), rank_samples(blend, test))
    before = covisits.num_sessions
    Recommender.from_dataset(blend, train).update(test)
    assert covisits.num_sessions == before + test.sessions


@pytest.mark.filterwarnings('ignore:Count is applied')
@pytest.mark.parametrize('where', [False, True])
def test_a_transform_of_ones_own(data, where, tmp_path):
    """Graph by graph; the thesis' own, and others, never run there."""
    train, val, _ = data
    count = Count(where)
    model = SRGNN(NUM_ITEMS, 8)
    fit(model, train, val, Compose([count, NormalizeEdges()]), **OPTIONS)
    assert len(count.graphs) == len(train) + where * len(val)
    recommender = Recommender.from_dataset(model, train)
    recommender.recommend([[1, 2], [3]])
    assert count.graphs[len(train) + where * len(val) :] == [None] * 2 * where
    assert all(not isinstance(x, Batch) for x in count.graphs)
    if where:
        with pytest.raises(ValueError, match='none of pyg_sessaug'):
            recommender.save(tmp_path / 'shop.pt')


@pytest.mark.parametrize('name', ['covisit-context', 'time-buckets'])
def test_the_command_line_reaches_them(tmp_path, name, capsys):
    torch.manual_seed(0)
    lines = ['session_id,item_id,time']
    for session in range(90):
        for click in range(4):
            item = (session + click * click) % 9
            lines.append(f'{session},{item},{session * 9000 + 30 * click}')
    log = tmp_path / 'clicks.csv'
    log.write_text('\n'.join(lines) + '\n')
    path, model = str(tmp_path / 'shop.pt'), ['--hidden', '4']
    if name == 'time-buckets':
        model += ['--set', 'num_channels=6']
    data = ['--log', str(log), '--test-days', '2']
    options = ['--epochs', '1', '--quiet', '--device', 'cpu', *model]
    main(['train', *data, '--augment', name, '--output', path, *options])
    recommender = Recommender.load(path)
    kept = recommender.model.test_transform.transforms
    kinds = {type(x) for x in kept}
    assert kinds & {CovisitContext, TimeBuckets}
    capsys.readouterr()
    main(['evaluate', path, '--log', str(log), '--format', 'json'])
    found = json.loads(capsys.readouterr().out)
    test = SessionLog(tmp_path, 'test', file=str(log), test_days=2)
    assert found['HR@20'] == evaluate(recommender, test)['HR@20']
    main(['recommend', path, '1', '2', '-k', '3'])
    items = recommender.recommend([1, 2], k=3).items
    assert all(str(x) in capsys.readouterr().out for x in items[:1])
