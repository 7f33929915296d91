import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.testing import withCUDA

from pyg_sessaug.counts import VSKNN, CoVisits
from pyg_sessaug.data.graphs import session_batch
from tests.counts.logs import (
    LATER,
    NUM_ITEMS,
    TRAIN,
    Log,
    batch,
    flat,
    parts,
    prefixes,
)

MODELS = pytest.mark.parametrize('cls', [CoVisits, VSKNN])
item = st.integers(0, NUM_ITEMS - 1)
logs = st.lists(st.lists(item, min_size=2, max_size=20), min_size=1)
many = settings(max_examples=50, deadline=None)


@MODELS
def test_scores_are_plain_float32(cls):
    score = cls(NUM_ITEMS).update(flat(TRAIN)).score(batch(LATER))
    assert score.size() == (len(prefixes(LATER)), NUM_ITEMS)
    assert score.dtype == torch.float32
    assert not score.requires_grad
    # Nobody who clicked on it clicked on anything else.
    alone = session_batch(torch.tensor([29]), torch.tensor([1]))
    assert cls(NUM_ITEMS).update(flat(TRAIN)).score(alone).count_nonzero() == 0


@MODELS
@many
@given(train=logs, later=logs, seed=st.integers(0, 2**31 - 1))
def test_batches_are_their_samples(cls, train, later, seed):
    model = cls(NUM_ITEMS).update(flat(train))
    for data in (batch(later), parts(train)):
        score = model.score(data)
        order = torch.randperm(
            data.num_graphs, generator=torch.Generator().manual_seed(seed)
        )
        one_by_one = data.to_data_list()
        for i, one in enumerate(one_by_one):
            assert model.score(one).equal(score[i : i + 1])
        # Without `follow_batch`:
        mixed = Batch.from_data_list([one_by_one[i] for i in order])
        assert model.score(mixed).equal(score[order])


@MODELS
@many
@given(train=logs, later=logs)
def test_log_probabilities_are_those_of_the_scores(cls, train, later):
    model = cls(NUM_ITEMS).update(flat(train))
    data = batch(later)
    score = model.score(data)
    votes = score.clamp(min=0)  # Some of VSKNN's may be negative.
    total = votes.sum(dim=1, keepdim=True)
    expected = torch.where(total > 0, votes / total, votes).log()
    torch.testing.assert_close(
        model.log_probability(data), expected, rtol=1e-6, atol=1e-6
    )
    assert model.score(data).equal(score)


@MODELS
@many
@given(train=logs, newer=logs, newest=logs)
def test_updates_are_fits_to_all(cls, train, newer, newest):
    model = cls(NUM_ITEMS).update(flat(train)).update(flat(newer))
    # Tables of folds, which the next update makes old:
    model.score(parts(train + newer))
    model.update(flat(newest))
    train = train + newer + newest
    refit = cls(NUM_ITEMS).update(flat(train))
    assert model.num_sessions == refit.num_sessions == len(train)
    for data in (batch(LATER), parts(train)):
        assert model.score(data).equal(refit.score(data))


@MODELS
def test_fit_takes_a_training_split(cls, tmp_path):
    train = Log(str(tmp_path))
    model = cls(NUM_ITEMS).update(flat(LATER))
    assert model.fit(train) is model  # And forgets the others.
    again = cls(NUM_ITEMS).update(flat(TRAIN))
    for key, value in model.state_dict().items():
        assert value.equal(again.state_dict()[key])
    with pytest.raises(ValueError, match='slice of 3 of'):
        model.fit(train[:3])
    with pytest.raises(ValueError, match='items 0 to 19, but the sessions'):
        cls(20).fit(train)


@MODELS
def test_its_own_session_reads_too_high(cls):
    train = [[2 * i, 2 * i + 1] for i in range(15)]
    model = cls(NUM_ITEMS).update(flat(train))
    data = parts(train)
    known, data.session = data.session, None
    target = torch.arange(15), data.y
    assert (model.score(data)[target] > 0).all()
    data.session = known
    assert (model.score(data)[target] == 0).all()
    data.session = torch.full_like(known, -1)
    assert (model.score(data)[target] > 0).all()


@MODELS
def test_state_is_the_sessions(cls):
    model = cls(NUM_ITEMS).update(flat(TRAIN))
    state = model.state_dict()
    assert list(state) == ['item', 'ptr']
    loaded = cls(NUM_ITEMS)
    loaded.load_state_dict(state)
    for data in (batch(LATER), parts(TRAIN)):
        expected = model.score(data)
        assert loaded.score(data).equal(expected)
        assert copy.deepcopy(model).score(data).equal(expected)
    with pytest.raises(RuntimeError, match='Missing key'):
        loaded.load_state_dict({'item': state['item']})
    with pytest.raises(ValueError, match='items 0 to 8, but'):
        cls(9).load_state_dict(state)
    # Arguments have the names of the signature.
    assert repr(model).startswith(f'{cls.__name__}(num_items={NUM_ITEMS}, ')
    again = eval(repr(model), {cls.__name__: cls})
    assert repr(again) == repr(model)


@MODELS
def test_added_nodes_are_no_clicks(cls):
    model = cls(NUM_ITEMS).update(flat(TRAIN))
    data = batch([[3, 1, 3, 5]], torch.tensor([2]))
    expected = model.score(data)
    data.x, data.batch = torch.tensor([3, 7, 1]), torch.zeros(3).long()
    data.click_index = torch.tensor([0, 2, 0])
    assert model.score(data).equal(expected)


@MODELS
def test_what_cannot_be_scored(cls):
    with pytest.raises(ValueError, match=r'call fit\(dataset\)'):
        cls(NUM_ITEMS).score(batch(LATER))
    model = cls(NUM_ITEMS).update(flat(TRAIN))
    data = batch(LATER, torch.arange(2))
    data.session = torch.tensor([-1, 120])
    with pytest.raises(ValueError, match='session 120, but has counted 120'):
        model.score(data)
    data = batch(LATER, torch.arange(2))
    data.click_index = data.click_index[:1]
    with pytest.raises(ValueError, match='without clicks'):
        model.score(data)
    data = batch(LATER, torch.arange(0))
    with pytest.raises(ValueError, match='holds no session'):
        model.score(data)


@MODELS
@withCUDA
def test_devices(cls, device):
    model = cls(NUM_ITEMS).update(flat(TRAIN))
    for data in (batch(LATER), parts(TRAIN)):
        score = (
            cls(NUM_ITEMS)
            .to(device)
            .update(flat(TRAIN))
            .score(data.clone().to(device))
        )
        torch.testing.assert_close(score.cpu(), model.score(data))
