from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Subset

from pyg_sessaug.data.graphs import list_batch
from pyg_sessaug.nn import SRGNNModes, SRGNNPlus
from pyg_sessaug.transforms import NormalizeEdges

# Modes of the items 0 to 8; that of the last is unknown.
CATEGORY = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, -1])
SESSIONS = [[0, 3, 1, 4, 0], [3], [6, 7, 6], [2, 8, 2, 5], [5, 0, 6]]
LAST = [
    [True, False, True, False, True],
    [True],
    [True, True, True],
    [False, True, False, True],
    [False, False, True],
]


def make(shuffled=False, **kwargs):
    torch.manual_seed(0)
    model = SRGNNModes(9, 8, shuffled_modes=shuffled, **kwargs).double().eval()
    model.observe(SimpleNamespace(categories=CATEGORY))
    return model


def batch_of(sessions):
    batch = NormalizeEdges()(list_batch(sessions))
    batch.edge_attr = batch.edge_attr.double()
    return batch


def test_modes_of_clicks():
    found = make().is_last_mode(batch_of(SESSIONS))
    assert found.tolist() == [x for session in LAST for x in session]


def test_the_control_keeps_how_many_there_are():
    model, sizes = make(shuffled=True), [len(x) for x in SESSIONS]
    differ = 0
    for _ in range(20):
        model.chance = torch.randperm(9)
        found = model.is_last_mode(batch_of(SESSIONS)).split(sizes)
        assert [int(x.sum()) for x in found] == [sum(x) for x in LAST]
        # All clicks on the last item are of the last mode.
        for clicks, mode in zip(SESSIONS, found):
            assert bool(mode[torch.tensor(clicks) == clicks[-1]].all())
        differ += [x.tolist() for x in found] != LAST
        # It is the same, whatever stands beside a session.
        alone = [model.is_last_mode(batch_of([x])) for x in SESSIONS]
        assert all(torch.equal(x, y) for x, y in zip(found, alone))
    assert differ > 0


@pytest.mark.parametrize('shuffled', [False, True])
def test_probabilities_are_a_mixture(shuffled):
    model = make(shuffled)
    batch = batch_of(SESSIONS)
    found = model.score(batch).softmax(dim=1)
    h = model.clicks(model._rows(batch), batch)
    own = model.is_last_mode(batch)
    table = torch.nn.functional.normalize(model.item_embedding, dim=1)
    start, expected = 0, []
    for session in SESSIONS:
        here = slice(start, start + len(session))
        start += len(session)
        vectors = []
        for mask in (own[here], ~own[here]):
            part = h[here][mask]
            if len(part):
                group = torch.zeros(len(part), dtype=torch.long)
                ptr = torch.tensor([0, len(part)])
                vectors.append(model.read(part, group, ptr)[0])
        share = torch.ones(1)
        if len(vectors) > 1:
            share = torch.sigmoid(model.lin_share(torch.cat(vectors)))
        row = 0.0
        for weight, vector in zip((share, 1 - share), vectors):
            score = 12.0 * table @ (vector / vector.norm())
            row = row + weight * score.softmax(dim=0)
        expected.append(row)
    torch.testing.assert_close(found, torch.stack(expected))
    batch.y = torch.tensor([1, 2, 3, 4, 5])
    target = torch.stack(expected)[range(5), batch.y]
    torch.testing.assert_close(model.loss(batch), -target.log().mean())


def test_one_mode_is_the_model_without():
    model = make()
    plain = SRGNNPlus(9, 8).double().eval()
    state = model.state_dict()
    plain.load_state_dict({k: state[k] for k in plain.state_dict()})
    batch = batch_of([SESSIONS[1], SESSIONS[2]])
    torch.testing.assert_close(model.score(batch), plain.score(batch))
    torch.testing.assert_close(model(batch), plain(batch))


def test_all_of_it_is_trained():
    model = make()
    batch = batch_of(SESSIONS)
    batch.y = torch.tensor([1, 2, 3, 4, 5])
    model.loss(batch).backward()
    assert all(x.grad.abs().sum() > 0 for x in model.parameters())


def test_without_categories():
    with pytest.raises(ValueError, match='the data set has none'):
        make().observe(SimpleNamespace(categories=None))
    with pytest.raises(ValueError, match='got 9 categories for 5 items'):
        SRGNNModes(5, 8).observe(SimpleNamespace(categories=CATEGORY))
    with pytest.raises(ValueError, match='knows no categories of items yet'):
        SRGNNModes(9, 8).double().score(batch_of(SESSIONS))
    with pytest.raises(ValueError, match='got context=3'):
        make(context=3)


def test_categories_are_its_own():
    category = CATEGORY.clone()
    model = SRGNNModes(9, 8)
    part = Subset(SimpleNamespace(categories=category), range(3))
    model.observe(part)
    model.load_state_dict(make().state_dict())
    model.category.fill_(0)
    assert torch.equal(category, CATEGORY)
    other = SRGNNModes(9, 8)
    other.load_state_dict(make().state_dict())
    assert torch.equal(other.category, CATEGORY)


def walks(num_sessions, share):
    """Sessions of two walks among ten items each, one click after another at
    random; what follows in the walk of the last click and in the other; and
    the target, which is the first of these with some probability.
    """
    sessions, follows = [], []
    for _ in range(num_sessions):
        start = torch.randint(10, (2,)).tolist()
        steps, clicks = [0, 0], []
        for mode in torch.tensor([0, 0, 1, 1])[torch.randperm(4)].tolist():
            clicks.append(10 * mode + (start[mode] + steps[mode]) % 10)
            steps[mode] += 1
        both = [10 * m + (start[m] + 2) % 10 for m in (mode, 1 - mode)]
        sessions.append(clicks)
        follows.append(both)
    follows = torch.tensor(follows)
    first = torch.rand(num_sessions) < share
    return sessions, follows, torch.where(first, *follows.unbind(1))


def test_it_finds_two_walks_and_their_share():
    torch.manual_seed(0)
    share, found = 0.75, {}
    sessions, _, y = walks(1000, share)
    batch = NormalizeEdges()(list_batch(sessions))
    batch.y = y
    later, follows, _ = walks(300, share)
    later = NormalizeEdges()(list_batch(later))
    for shuffled in (False, True):
        torch.manual_seed(0)
        model = SRGNNModes(20, 16, dropout=0.0, shuffled_modes=shuffled)
        model.observe(SimpleNamespace(categories=torch.arange(20) // 10))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(150):
            optimizer.zero_grad()
            model.loss(batch).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            x, table = model._rows_and_table(later)
            vector, logit, _ = model._modes(x, later)
            best = (vector @ table.t()).argmax(dim=1).view(2, -1)
        right = (best == follows.t()).float().mean(dim=1)
        found[shuffled] = *right.tolist(), float(logit.sigmoid().mean())
    first, rest, own = found[False]
    assert min(first, rest) > 0.9
    assert own == pytest.approx(share, abs=0.05)
    assert found[True][1] < 0.8
