import pytest
import torch

from pyg_sessaug import Recommender, evaluate, fit
from pyg_sessaug.counts import VSKNN, CoVisits
from pyg_sessaug.data.graphs import list_batch
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN, TAGNN, Blend, RepeatTerm
from pyg_sessaug.training import fit_blend, validation_loss
from pyg_sessaug.transforms import NormalizeEdges

NUM_ITEMS = 40


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    return [
        MultimodalSessions(root, x, num_sessions=300, num_items=NUM_ITEMS)
        for x in ('train', 'val', 'test')
    ]


@pytest.fixture(scope='module')
def members(data):
    torch.manual_seed(0)
    network = SRGNN(NUM_ITEMS, 8, scale=8.0)
    fit(network, *data[:2], epochs=2, lr=1e-2, progress=False)
    return [network.eval(), VSKNN(NUM_ITEMS).fit(data[0])]


def whole(dataset):
    return NormalizeEdges()(dataset.get_batch(torch.arange(len(dataset))))


def test_scores_are_those_of_the_mixture(data, members):
    batch = whole(data[2])
    blend = Blend(members, [3.0, 1.0])
    network = members[0].score(batch).double().softmax(dim=1)
    counts = members[1].score(batch).double()
    mixed = 0.75 * network + 0.25 * counts / counts.sum(dim=1, keepdim=True)
    score = blend.score(batch)
    torch.testing.assert_close(
        score.double().exp(), mixed, rtol=1e-4, atol=1e-7
    )
    assert blend.num_items == NUM_ITEMS
    # A blend in a blend, of its own weight:
    outer = Blend([blend, members[0]], [0.5, 0.5])
    torch.testing.assert_close(
        outer.score(batch).double().exp(),
        0.5 * mixed + 0.5 * network,
        rtol=1e-4,
        atol=1e-7,
    )
    alone = Blend(members, [1.0, 0.0]).score(batch)
    torch.testing.assert_close(alone, network.log().float())


def test_a_term_upon_counts_leaves_a_session_of_new_items(data, members):
    """To the network, as the counts do."""
    counts = VSKNN(NUM_ITEMS + 1).fit(data[0])
    network = SRGNN(NUM_ITEMS + 1, 8).eval()
    batch = NormalizeEdges()(list_batch([[1, 2], [NUM_ITEMS]]))
    blend = Blend([network, RepeatTerm(Blend([counts]))])
    score = blend.score(batch)
    assert bool(score.isfinite().all())
    expected = network.score(batch).log_softmax(dim=1)
    torch.testing.assert_close(score[1], expected[1])


def test_a_silent_member_leaves_a_session_to_the_others(data, members):
    class Silent(torch.nn.Module):
        num_items = NUM_ITEMS

        def log_probability(self, data):
            return torch.full([data.num_graphs, NUM_ITEMS], -torch.inf)

    batch = whole(data[2])
    score = Blend([members[0], Silent()]).score(batch)
    torch.testing.assert_close(
        score, members[0].score(batch).log_softmax(dim=1)
    )


def test_nobody_knows_a_session(data):
    counts = CoVisits(NUM_ITEMS).fit(data[0])
    shy = VSKNN(NUM_ITEMS).fit(data[0])
    empty = [NUM_ITEMS - 1]
    for model in (counts, shy):  # Sessions without the item
        item = model.item
        kept = torch.where(item == empty[0], 0, item)
        model._take(kept, model.ptr)
    blend = Blend([counts, shy])
    score = blend.score(list_batch([empty, [0]]))
    assert bool((score[0] == -torch.inf).all())
    assert score[1].exp().sum().item() == pytest.approx(1.0)
    found = Recommender(blend, list(range(NUM_ITEMS))).recommend([empty, [0]])
    assert [bool(x.items) for x in found] == [False, True]


def test_weights_maximise_the_likelihood(data, members):
    """No other weights do better, by a grid that knows nothing of EM."""
    blend = fit_blend(members, data[1])
    batch = whole(data[1])

    def loss(weights):
        score = Blend(members, weights).score(batch)
        return -score.gather(1, batch.y.view(-1, 1)).double().mean()

    grid = torch.arange(0.01, 1, 0.01).tolist()
    losses = torch.stack([loss([w, 1 - w]) for w in grid])
    best = grid[int(losses.argmin())]
    assert float(blend.weight[0]) == pytest.approx(best, abs=0.011)
    assert loss(blend.weight.tolist()) <= losses.min() + 1e-6
    assert losses.min() < validation_loss(members[0], data[1])


def test_weights_of_a_known_mixture():
    torch.manual_seed(0)
    blend = Blend([SRGNN(3, 4), SRGNN(3, 4), SRGNN(3, 4)])
    p = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    truth = torch.tensor([0.6, 0.3, 0.1])
    target = torch.multinomial(truth @ p, 100_000, replacement=True)
    blend.fit_weights(p[:, target].t().log())
    torch.testing.assert_close(blend.weight, truth, rtol=0, atol=0.02)
    with pytest.raises(ValueError, match=r'shape \[5, 2\]; pass \[n, 3\]'):
        blend.fit_weights(torch.zeros(5, 2))
    with pytest.raises(ValueError, match='no member'):
        blend.fit_weights(torch.full((5, 3), -torch.inf))


def test_one_file_with_its_members(data, members, tmp_path):
    torch.manual_seed(1)
    inner = Blend([CoVisits(NUM_ITEMS).fit(data[0]), TAGNN(NUM_ITEMS, 6)])
    blend = Blend([*members, inner], [0.5, 0.3, 0.2])
    recommender = Recommender.from_dataset(blend, data[0])
    recommender.save(tmp_path / 'a.pt')
    loaded = Recommender.load(tmp_path / 'a.pt')
    sessions = [x.tolist() for x in data[0].item_ids[:30].split(3)]
    for exclude in (False, True):
        out = loaded.recommend(sessions, 5, exclude, return_scores=True)
        assert out == recommender.recommend(
            sessions, 5, exclude, return_scores=True
        )
    assert evaluate(loaded.model, data[2]) == evaluate(blend, data[2])


def test_bad_arguments():
    with pytest.raises(ValueError, match='pass at least one'):
        Blend([])
    with pytest.raises(ValueError, match=r'\[3, 4\] items'):
        Blend([SRGNN(3, 4), SRGNN(4, 4)])
    for weights in ([1.0], [1.0, -1.0], [0.0, 0.0], [1.0, float('nan')]):
        with pytest.raises(ValueError, match='pass one for each'):
            Blend([SRGNN(3, 4), SRGNN(3, 4)], weights)
