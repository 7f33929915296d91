import pytest
import torch

from pyg_sessaug import Recommender, evaluate
from pyg_sessaug.data.graphs import session_batch
from pyg_sessaug.datasets import Diginetica, MultimodalSessions
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.nn import SRGNN, Blend, RepeatTerm
from pyg_sessaug.training import fit_repeats
from pyg_sessaug.transforms import NormalizeEdges

SESSIONS = [[3, 1, 3, 2], [5], [4, 4, 4, 4, 0]]


class Known(torch.nn.Module):
    """Scores that are no model's."""

    num_items = 9

    def score(self, data):
        generator = torch.Generator().manual_seed(int(data.num_graphs))
        size = (data.num_graphs, self.num_items)
        return torch.randn(size, generator=generator)


def batch_of(sessions):
    item = torch.tensor([x for session in sessions for x in session])
    length = torch.tensor([len(x) for x in sessions])
    return NormalizeEdges()(session_batch(item, length))


@pytest.mark.parametrize('num_clicks', [1, 3, 12])
def test_scores_by_hand(num_clicks):
    term = RepeatTerm(Known(), num_clicks)
    term.bias.copy_(torch.randn(2, num_clicks))
    batch = batch_of(SESSIONS)
    expected = Known().score(batch)
    for row, session in enumerate(SESSIONS):
        for item in set(session):
            since = session[::-1].index(item)
            before = session.count(item) - 1
            for part, k in zip(term.bias, (since, before)):
                expected[row, item] += part[min(k, num_clicks - 1)]
    torch.testing.assert_close(term.score(batch), expected)


def test_items_that_nobody_clicked_get_nothing():
    batch = batch_of(SESSIONS)
    term = RepeatTerm(Known())
    term.bias.fill_(1.0)
    more = batch.clone()
    more.x = torch.cat([batch.x, torch.tensor([7])])
    more.batch = torch.cat([batch.batch, batch.batch[-1:]])
    change = term.score(more) - Known().score(more)
    for row, session in enumerate(SESSIONS):
        assert set(change[row].nonzero().view(-1).tolist()) == set(session)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    options = dict(num_sessions=300, num_items=30)
    return [MultimodalSessions(root, x, **options) for x in ('train', 'val')]


def test_the_likeliest_values(data):
    """No step away from them, not even a small one, raises the likelihood
    with its prior; and they are found where they were put in.
    """
    torch.manual_seed(0)
    model = SRGNN(30, 8).eval()
    _, val = data
    term = fit_repeats(model, val, num_clicks=4)

    def likelihood(bias):
        term.bias.copy_(bias)
        prior = float(bias.square().sum()) / 2
        return -len(val) * validation_loss_of(term, val) - prior

    best = term.bias.clone()
    highest = likelihood(best)
    assert highest > likelihood(torch.zeros(2, 4)) + 1
    for _ in range(10):
        step = torch.randn(2, 4)
        assert highest > likelihood(best + 0.2 * step / step.norm()) - 1e-2
    term.bias.copy_(best)


class Unsure(torch.nn.Module):
    """Scores of sessions of one click: those that begin with item 0 repeat
    it, ranked first with 5 %; those that begin with item 1 go on to item 2,
    with 50 %, before item 1 itself, with 40 %.
    """

    num_items = 50

    def score(self, data):
        share = torch.full((data.num_graphs, 50), 0.02)
        first = data.x[data.click_index[data.click_index_ptr[:-1]]]
        share[first == 0, 0] = 0.05
        share[first == 1, 1], share[first == 1, 2] = 0.4, 0.5
        return share.log()


def test_likelier_targets_may_stand_lower(srgnn_root):
    """Many sessions repeat and stood first before; some fall behind what
    the term raises. A likelihood with more of them than lists can gain is
    left as it was.
    """
    every = [*range(1, 51), 1]
    sessions = [every, *[[1, 1]] * 20, *[[2, 3]] * 5]
    root = srgnn_root(sessions, ([[1]], [2]))
    data = Diginetica(root, val_ratio=0.0)
    samples = [i for i in range(len(data)) if data[i].session > 0]
    val = torch.utils.data.Subset(data, samples)
    assert len(val) == 25
    model = Unsure()
    assert (rank_samples(model, val) == 1).all()
    assert (fit_repeats(model, val).bias == 0).all()


@pytest.mark.parametrize('times, kept', [(1, False), (25, True)])
def test_few_samples_tell_of_chance(srgnn_root, times, kept):
    """Six of ten repeat item 1, which stands second; the gain of raising it
    is 0.2 of the step from second to first, and needs many samples to show.
    """
    every = [*range(1, 51), 1]
    sessions = [every, *[[2, 2]] * 6 * times, *[[2, 3]] * 4 * times]
    data = Diginetica(srgnn_root(sessions, ([[1]], [2])), val_ratio=0.0)
    samples = [i for i in range(len(data)) if data[i].session > 0]
    val = torch.utils.data.Subset(data, samples)
    model = Unsure()
    rank = rank_samples(model, val)
    assert ((rank == 2).sum(), (rank == 1).sum()) == (6 * times, 4 * times)
    term = fit_repeats(model, val)
    assert bool((term.bias != 0).any()) == kept
    if kept:
        assert (rank_samples(term, val) == 1).sum() == 6 * times


def validation_loss_of(model, val):
    batch = NormalizeEdges()(val.get_batch(torch.arange(len(val))))
    score = model.score(batch).double()
    return torch.nn.functional.cross_entropy(score, batch.y).item()


def test_saved_with_its_model(data, tmp_path):
    torch.manual_seed(0)
    train, val = data
    network = SRGNN(30, 8).eval()
    term = fit_repeats(network, val)
    blend = Blend([term, network], [0.3, 0.7])
    for model in (term, blend):
        path = str(tmp_path / 'model.pt')
        Recommender.from_dataset(model, train).save(path)
        again = Recommender.load(path).model
        assert evaluate(again, val) == evaluate(model, val)
        batch = NormalizeEdges()(val.get_batch(torch.arange(9)))
        assert torch.equal(again.score(batch), model.score(batch))
    assert again.members[0].num_clicks == 12


def test_bad_arguments():
    with pytest.raises(ValueError, match='num_clicks=0'):
        RepeatTerm(Known(), 0)
