import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets.preprocess import (
    Clicks,
    prepare_clicks,
)
from pyg_sessaug.datasets.yoochoose import newest_samples
from tests.datasets.srgnn_reference import (
    DAY,
    preprocess,
    samples_longest_first,
    to_lists,
    to_samples,
)

EDGE = 2**63 - 1
rows_of_a_log = st.lists(
    st.tuples(
        st.sampled_from([3, 1, -7, 2, EDGE, -EDGE - 1]),
        st.sampled_from([5, 4, EDGE, -EDGE - 1]),
        st.integers(0, 3),
        st.integers(0, 4).map(lambda day: day * DAY),
    ),
    min_size=1,
    max_size=40,
)


def to_clicks(rows):
    session, item, order, date = (
        torch.tensor(x, dtype=torch.int64) for x in zip(*rows)
    )
    time = (date + order).double()
    return Clicks(session, item, time, order, date.double())


@settings(max_examples=300, deadline=None)
@given(rows_of_a_log, st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_equals_srgnn(rows, min_item_clicks, test_days, drop_boundary):
    options = (min_item_clicks, test_days, drop_boundary)
    ids, train, test = preprocess(rows, *options)
    if not train or not test:
        with pytest.raises(ValueError, match='session'):
            prepare_clicks(to_clicks(rows), *options)
        return
    out = prepare_clicks(to_clicks(rows), *options)
    assert out['item_ids'].tolist() == ids
    assert to_lists(out['train']) == train
    assert to_lists(out['test']) == test
    assert to_samples(out['test']) == sorted(samples_longest_first(test))
    assert out['categories'] is None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(0, 3), min_size=2, max_size=6),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 40),
)
def test_newest_samples_equals_a_cut_list(sessions, count):
    flat = Sessions.from_lengths(
        torch.tensor([item for session in sessions for item in session]),
        torch.tensor([len(x) for x in sessions]),
    )
    out = newest_samples(flat, count)
    expected = samples_longest_first(sessions)[-count:]
    assert to_samples(out) == sorted(expected)


def test_a_literal_log():
    clicks = Clicks(
        session=torch.tensor([7, 7, 5, 5, 7, 9, 9, 9]),
        item=torch.tensor([20, 10, 10, 20, 10, 20, 30, 10]),
        time=torch.tensor([2.0, 1.0, 0.0, 9.0, 5.0, 86_411, 86_412, 86_413]),
    )
    out = prepare_clicks(clicks, min_item_clicks=1, test_days=1)
    # By time of last click; the items in order of first training click.
    assert to_lists(out['train']) == [[0, 1, 0], [0, 1]]
    assert out['train'].time.tolist() == [1, 2, 5, 0, 9]
    assert out['item_ids'].tolist() == [10, 20]
    assert to_lists(out['test']) == [[1, 0]]
    assert out['test'].time.tolist() == [86_411, 86_413]


def test_session_gap():
    clicks = Clicks(
        session=torch.tensor([1, 1, 1, 1, 2, 2, 3, 3]),
        item=torch.tensor([0, 1, 0, 1, 0, 1, 0, 1]),
        time=torch.tensor([0.0, 1, 3602, 3603, 0, 3601, 9e5, 9e5 + 3600]),
    )
    out = prepare_clicks(clicks, 1, 1, session_gap=3600)
    assert out['train'].length.tolist() == [2, 2]
    assert out['train'].time.tolist() == [0, 1, 3602, 3603]
    assert out['test'].length.tolist() == [2]


items = st.sampled_from([-(2**63), -2, -1, 0, 1, 2, 2**63 - 1])
rows_with_ties = st.tuples(st.integers(0, 3), items, st.integers(0, 4))


@settings(max_examples=200, deadline=None)
@given(st.lists(rows_with_ties, min_size=5, max_size=40))
def test_duplicates_are_counted(rows):  # Of five rows, two share a session.
    session, item, time = map(torch.tensor, zip(*rows))
    clicks = Clicks(session, item, time.double())
    out = prepare_clicks(clicks, 1, test_days=0)
    assert out['report']['duplicates'] == len(rows) - len(set(rows))


def test_most_frequent_category_of_training_clicks():
    clicks = Clicks(
        session=torch.tensor([1, 1, 1, 1, 1, 1, 1, 2, 2]),
        item=torch.tensor([0, 0, 0, 1, 1, 2, 2, 0, 0]),
        time=torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 9e5, 9e5]),
        category=torch.tensor([9, 4, 9, 7, 4, -1, -1, 4, 4]),
    )
    out = prepare_clicks(clicks, 1, 1)
    # 9 for item 0; the lower of 4 and 7 for item 1; none for item 2.
    assert out['categories'].tolist() == [1, 0, -1]


@pytest.mark.parametrize(
    'time, options, match',
    [
        ([], {}, 'no clicks'),
        ([0.0, 1, float('nan'), 9e5], {}, 'click 2 .* time nan'),
        ([0.0, 1, 9e5, 9e5], {'min_item_clicks': 3}, 'min_item_clicks'),
        (
            [0.0, 1, 9e5, 9e5],
            {'test_days': 99},
            '0 training and 2 test.* span 10.4 days',
        ),
    ],
)
def test_logs_that_leave_nothing(time, options, match):
    session = torch.tensor([0, 0, 1, 1])[: len(time)]
    clicks = Clicks(session, session, torch.tensor(time).double())
    with pytest.raises(ValueError, match=match):
        prepare_clicks(clicks, **{'min_item_clicks': 1, **options})


def test_test_sessions_of_unknown_items():
    session = torch.tensor([0, 0, 1, 1])
    clicks = Clicks(session, session, torch.tensor([0.0, 1, 9e5, 9e5]))
    with pytest.raises(ValueError, match='items of the training sessions'):
        prepare_clicks(clicks, 1)
