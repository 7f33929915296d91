from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch

from pyg_sessaug.data.graphs import SessionGraphs, list_batch, select_graphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.transforms import NormalizeEdges

KEYS = ['x', 'edge_index', 'edge_weight', 'click_index', 'y']


def to_graphs(sessions, time=False):
    item = torch.tensor([item for session in sessions for item in session])
    length = torch.tensor([len(session) for session in sessions])
    seconds = torch.arange(item.numel()).double() if time else None
    return SessionGraphs(Sessions.from_lengths(item, length, seconds))


def naive_graph(prefix, target):
    nodes, edges = {}, {}
    for item in prefix:
        nodes.setdefault(item, len(nodes))
    for i, j in pairwise(prefix):
        edges.setdefault((nodes[i], nodes[j]))
    return {
        'x': list(nodes),
        'edge_index': [[i for i, _ in edges], [j for _, j in edges]],
        'edge_weight': [1.0] * len(edges),
        'click_index': [nodes[item] for item in prefix],
        'y': [target],
    }


def assert_equal(out, expected):
    """Same attributes, values and types, PyG's slice records included."""
    assert sorted(out.keys()) == sorted(expected.keys())
    for key, value in expected.items():
        assert out[key].dtype == value.dtype, key
        assert torch.equal(out[key], value), key
    assert out.num_graphs == expected.num_graphs
    assert out.num_nodes == expected.num_nodes


many_sessions = st.lists(
    st.lists(st.integers(0, 4), min_size=2, max_size=9),
    min_size=1,
    max_size=6,
)


def test_session_of_the_thesis():
    # Figure 2.1: V1 V2 V3 V2 V4, and a target.
    graphs = to_graphs([[1, 2, 3, 2, 4, 9]])
    data = graphs.data(4)
    assert data.x.tolist() == [1, 2, 3, 4]
    assert data.edge_index.tolist() == [[0, 1, 2, 1], [1, 2, 1, 3]]
    assert data.edge_weight.tolist() == [1, 1, 1, 1]
    assert data.click_index.tolist() == [0, 1, 2, 1, 3]
    assert data.y.tolist() == [9]
    assert sorted(data.keys()) == sorted(KEYS)
    assert data.num_nodes == 4


def test_self_loops_and_repeated_transitions():
    data = to_graphs([[5, 5, 7, 5, 5, 7, 1]]).data(5)
    assert data.x.tolist() == [5, 7]
    assert data.edge_index.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert data.click_index.tolist() == [0, 0, 1, 0, 0, 1]


def test_one_click():
    data = to_graphs([[5, 7]], time=True).data(0)
    assert data.x.tolist() == [5]
    assert data.edge_index.shape == (2, 0)
    assert data.edge_weight.shape == (0,)
    assert data.click_time.tolist() == [0]


@settings(max_examples=50, deadline=None)
@given(many_sessions)
def test_equals_a_naive_builder(sessions):
    graphs = to_graphs(sessions)
    expected = [
        naive_graph(session[:i], session[i])
        for session in sessions
        for i in range(1, len(session))
    ]
    batch = graphs.batch(torch.arange(len(expected)))
    separate = batch.to_data_list()
    for i, graph in enumerate(expected):
        for data in [graphs.data(i), separate[i]]:
            assert {k: data[k].tolist() for k in data.keys()} == graph


@settings(max_examples=50, deadline=None)
@given(many_sessions, st.booleans(), st.randoms(use_true_random=False))
def test_batch_equals_from_data_list(sessions, time, random):
    graphs = to_graphs(sessions, time)
    size = graphs.sessions.num_samples
    index = [random.randrange(size) for _ in range(random.randrange(1, 9))]
    out = graphs.batch(torch.tensor(index))
    expected = Batch.from_data_list(
        [graphs.data(i) for i in index], follow_batch=['click_index']
    )
    assert_equal(out, expected)
    for ours, theirs in zip(out.to_data_list(), expected.to_data_list()):
        assert ours.to_dict().keys() == theirs.to_dict().keys()
        for key, value in theirs.to_dict().items():
            assert torch.equal(ours[key], value)


@given(many_sessions)
@settings(deadline=None)
def test_lists_are_normalized_as_by_the_transform(sessions):
    out = list_batch(sessions, normalized=True)
    expected = NormalizeEdges()(list_batch(sessions))
    assert_equal(out, expected)
    for ours, theirs in zip(out.to_data_list(), expected.to_data_list()):
        assert ours.edge_attr.equal(theirs.edge_attr)


def test_listed_targets_only():
    sessions = Sessions(
        torch.tensor([4, 3, 4, 8]), torch.tensor([0, 4]), torch.tensor([3])
    )
    batch = SessionGraphs(sessions).batch(torch.tensor([0]))
    assert batch.x.tolist() == [4, 3]
    assert batch.y.tolist() == [8]


def test_no_sessions():
    none = torch.tensor([], dtype=torch.int64)
    graphs = SessionGraphs(Sessions.from_lengths(none, none))
    assert graphs.sessions.num_samples == 0


def test_graphs_are_no_views():
    """A transform in place reaches neither other prefixes nor epochs."""
    graphs = to_graphs([[1, 2, 1, 3]], time=True)
    for key in [*KEYS, 'click_time']:
        graphs.data(2)[key].zero_()
    data = graphs.data(2)
    assert data.x.tolist() == [1, 2]
    assert data.y.tolist() == [3]
    assert data.click_time.tolist() == [0, 1, 2]
    assert graphs.sessions.item.tolist() == [1, 2, 1, 3]


def test_weights_are_float32_whatever_the_default():
    torch.set_default_dtype(torch.float64)
    try:
        graphs = to_graphs([[1, 2, 1, 3]])
        single, batch = graphs.data(2), graphs.batch(torch.tensor([2]))
    finally:
        torch.set_default_dtype(torch.float32)
    assert single.edge_weight.dtype == torch.float32
    assert batch.edge_weight.dtype == torch.float32


def test_sessions_stay_untouched():
    graphs = to_graphs([[1, 2, 1, 3]])
    batch = graphs.batch(torch.tensor([2, 2]))
    for key in KEYS:
        batch[key].zero_()
    assert graphs.data(2).click_index.tolist() == [0, 1, 0]
    assert graphs.sessions.item.tolist() == [1, 2, 1, 3]


@pytest.mark.parametrize('index', [7, -8])
def test_index_out_of_range(index):
    with pytest.raises(IndexError):
        to_graphs([[1, 2, 3]]).data(index)


@given(clicks=many_sessions, seed=st.integers(0, 2**16))
def test_selected_graphs_are_a_batch_of_their_own(clicks, seed):
    graphs = to_graphs(clicks)
    index = torch.arange(graphs.sessions.num_samples)
    batch = NormalizeEdges()(graphs.batch(index))
    torch.manual_seed(seed)
    keep = torch.rand(index.numel()) < 0.5
    keep[seed % keep.numel()] = True
    out = select_graphs(batch, keep)
    expected = NormalizeEdges()(graphs.batch(index[keep]))
    for key in out.keys():
        assert torch.equal(out[key], expected[key]), key
    own = ['edge_weight', 'click_index_batch']
    assert sorted([*out.keys(), *own]) == sorted(expected.keys())


@pytest.mark.parametrize('items', [[3, 9, -1, 2, 4], [2**62, 5, 1, 7, 5]])
def test_items_that_are_no_numbers_of_items(items):
    sessions = Sessions.from_lengths(torch.tensor(items), torch.tensor([2, 3]))
    match = f'items from {min(items)} to {max(items)}; number them 0 to num'
    with pytest.raises(ValueError, match=match):
        SessionGraphs(sessions)
