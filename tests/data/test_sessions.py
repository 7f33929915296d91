import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_sessaug.data.sessions import Sessions, expand_ranges


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
