import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_sessaug.data.sessions import Sessions, expand_ranges, gather


@pytest.fixture
def sessions():
    return Sessions.from_lengths(
        torch.tensor([5, 6, 5, 7, 7, 8, 9]),
        torch.tensor([3, 2, 2]),
        torch.arange(7).double(),
    )


def test_from_lengths(sessions):
    assert sessions.ptr.tolist() == [0, 3, 5, 7]
    assert sessions.target.tolist() == [1, 2, 4, 6]
    assert sessions.length.tolist() == [3, 2, 2]
    assert sessions.num_sessions == 3
    assert sessions.num_clicks == 7
    assert sessions.num_samples == 4


def test_from_short_lengths():
    with pytest.raises(ValueError, match=r'session 1 has 1 click'):
        Sessions.from_lengths(torch.zeros(3), torch.tensor([2, 1]))


def test_session_of(sessions):
    position = torch.tensor([[0, 2, 3], [4, 5, 6]])
    assert sessions.session_of(position).tolist() == [[0, 0, 1], [1, 2, 2]]


def test_select(sessions):
    out = sessions.select(torch.tensor([2, 0]))
    assert out.item.tolist() == [8, 9, 5, 6, 5]
    assert out.ptr.tolist() == [0, 2, 5]
    assert out.target.tolist() == [1, 3, 4]
    assert out.time.tolist() == [5, 6, 0, 1, 2]


def test_select_keeps_to_listed_targets():
    sessions = Sessions(
        torch.arange(6), torch.tensor([0, 4, 6]), torch.tensor([2, 5])
    )
    out = sessions.select(torch.tensor([0]))
    assert out.target.tolist() == [2]
    assert out.time is None


def test_select_nothing(sessions):
    out = sessions.select(torch.tensor([], dtype=torch.int64))
    assert out.num_sessions == out.num_clicks == out.num_samples == 0


lengths = st.lists(st.integers(2, 5), min_size=1, max_size=6)


def test_a_click_needs_four_bytes(sessions):
    assert sessions.kept.dtype == torch.int32
    assert sessions.item.dtype == torch.int64
    assert sessions.item.tolist() == [5, 6, 5, 7, 7, 8, 9]
    assert sessions.listed is None
    assert list(sessions.state()) == ['item', 'ptr', 'time']


def test_items_beyond_32_bits_stay():
    huge = torch.tensor([2**31, 0])
    assert Sessions(huge, torch.tensor([0, 2])).item.tolist() == [2**31, 0]


@given(lengths, st.data())
def test_targets_are_listed_unless_they_are_all(length, data):
    size = sum(length)
    ptr = torch.tensor([0, *length]).cumsum(0)
    every = [i for i in range(size) if i not in ptr.tolist()]
    chosen = sorted(data.draw(st.sets(st.sampled_from(every))))
    for target in (every, chosen, every[::-1]):
        sessions = Sessions(torch.arange(size), ptr, torch.tensor(target))
        assert (sessions.listed is None) == (target == every)
        assert sessions.num_samples == len(target)
        assert sessions.target.tolist() == target
        again = Sessions.from_state(sessions.state())
        assert again.target.tolist() == target
        assert again.item.tolist() == list(range(size))
        session, place = sessions.locate(np.arange(len(target)))
        assert place.tolist() == target
        expected = torch.bucketize(torch.tensor(target), ptr, right=True) - 1
        assert session.tolist() == expected.tolist()


def test_locate_counts_from_the_end_and_no_further(sessions):
    session, target = sessions.locate(np.array([-1, -4, 0]))
    assert session.tolist() == [2, 0, 0]
    assert target.tolist() == [6, 1, 1]
    for index in (4, -5):
        with pytest.raises(IndexError, match='samples go from 0 to 3'):
            sessions.locate(np.array([index]))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1))
def test_gather(ranges):
    value = torch.arange(100, 120)
    start, count = (
        torch.tensor([x[i] for x in ranges], dtype=torch.int64)
        for i in range(2)
    )
    expected = [100 + a + k for a, n in ranges for k in range(n)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('pyg_sessaug.data.sessions.CHUNK', 5)
        assert gather(value, start, count).tolist() == expected


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=6))
def test_expand_ranges(ranges):
    start, count = (
        torch.tensor([x[i] for x in ranges], dtype=torch.int64)
        for i in range(2)
    )
    value, owner, ptr = expand_ranges(start, count)
    expected = [
        (a + k, i) for i, (a, n) in enumerate(ranges) for k in range(n)
    ]
    assert list(zip(value.tolist(), owner.tolist())) == expected
    assert ptr.tolist() == [
        sum(n for _, n in ranges[:i]) for i in range(len(ranges) + 1)
    ]
