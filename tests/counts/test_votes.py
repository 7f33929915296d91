import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_sessaug.counts.votes import most_votes


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 39)),
        st.integers(0, 5),
        max_size=120,
    ),
    st.integers(1, 9),
)
def test_most_votes(votes, k):
    """Item by item, many of them with as many votes as others."""
    key = torch.tensor([40 * s + i for s, i in sorted(votes)]).long()
    total = torch.tensor([votes[x] for x in sorted(votes)]).double()
    out = most_votes(key, total, 40, 4, k)
    for session, (low, high) in enumerate(zip(out.ptr, out.ptr[1:])):
        found = [
            (votes[s, i], i)
            for s, i in votes
            if s == session and votes[s, i] > 0
        ]
        expected = sorted(found)[-k:]
        assert out.item[low:high].tolist() == [i for _, i in expected]
        assert out.weight[low:high].tolist() == [x for x, _ in expected]
