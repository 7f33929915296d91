import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch

from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.transforms import GaussianBlur, NormalizeEdges, TimeDecay

FORMS = {
    'linear': lambda x: max(0.0, 1 - x),
    'exponential': lambda x: math.exp(-x),
    'logarithmic': lambda x: 1 / (1 + math.log(1 + x)),
}
click = st.tuples(st.integers(0, 4), st.sampled_from([0.0, 0.5, 7.25, 90.0]))
sessions_of_clicks = st.lists(
    st.lists(click, min_size=1, max_size=9), min_size=1, max_size=6
)


@pytest.fixture(scope='session')
def timed(graph):
    def make(clicks, times):
        data = graph(clicks)
        data.click_time = torch.tensor(times, dtype=torch.double)
        return data

    return make


def reference(clicks, times, form, scale):
    """Weight of each pair of items, by its shortest gap."""
    gap = {}
    steps = zip(pairwise(clicks), pairwise(times))
    for pair, (start, end) in steps:
        gap[pair] = min(end - start, gap.get(pair, math.inf))
    return {pair: FORMS[form](x / scale) for pair, x in gap.items()}


def by_pair(data):
    pairs = data.x[data.edge_index].t().tolist()
    return dict(zip(map(tuple, pairs), data.edge_weight.tolist()))


@pytest.mark.parametrize('form', FORMS)
@settings(max_examples=60, deadline=None)
@given(sessions=sessions_of_clicks)
def test_time_decay_equals_reference(timed, same, form, sessions):
    clicks = [[item for item, _ in session] for session in sessions]
    times = [
        torch.tensor([gap for _, gap in session]).cumsum(0).tolist()
        for session in sessions
    ]
    data_list = [timed(c, t) for c, t in zip(clicks, times)]
    batch = Batch.from_data_list(data_list, follow_batch=['click_index'])
    transform = TimeDecay(form, scale=9.0, p=1.0)
    out = transform(batch).to_data_list()
    for c, t, data, result in zip(clicks, times, data_list, out):
        assert by_pair(result) == pytest.approx(reference(c, t, form, 9.0))
        same(transform(data), result)
    assert bool((batch.edge_weight == 1).all())  # The input stays as it was.
    plain = TimeDecay(form, p=0.0)(batch).to_data_list()
    for data, result in zip(data_list, plain):
        same(data, result)


def test_time_decay_by_hand(timed):
    # 0 -> 1 takes 30 s, then 10 s; 1 -> 0 takes 60 s; 0 -> 0 is at once.
    data = timed([0, 1, 0, 1, 0, 0], [0, 30, 90, 100, 300, 300])
    edges = [[0, 1, 0], [1, 0, 0]]
    assert data.edge_index.tolist() == edges
    for form, weight in (
        ('linear', [0.8, 0.0, 1.0]),
        ('exponential', [math.exp(-0.2), math.exp(-1.2), 1.0]),
        ('logarithmic', [0.8457936, 0.5591408, 1.0]),
    ):
        out = TimeDecay(form, scale=50.0, p=1.0)(data)
        assert out.edge_weight.tolist() == pytest.approx(weight)
        assert out.edge_weight.dtype == torch.float
        assert out.edge_index.tolist() == edges


def test_time_decay_on_batches_built_at_once(timed, same):
    item = torch.tensor([0, 1, 0, 1, 3, 5, 5, 2])
    time = torch.tensor([0.0, 5, 5, 95, 96, 7, 9, 12]).double()
    graphs = SessionGraphs(
        Sessions.from_lengths(item, torch.tensor([5, 3]), time)
    )
    transform = TimeDecay(p=1.0)
    batch = transform(graphs.batch(torch.tensor([5, 3, 0])))
    prefixes = [slice(5, 7), slice(0, 4), slice(0, 1)]
    for data, prefix in zip(batch.to_data_list(), prefixes):
        expected = timed(item[prefix].tolist(), time[prefix].tolist())
        expected.y = data.y
        since = expected.click_time - expected.click_time[0]
        expected.click_time = since.float()
        same(data, transform(expected))


def test_time_decay_draws_edges(timed):
    batch = Batch.from_data_list([timed([0, 1, 2], [0, 60, 120])] * 3000)
    torch.manual_seed(5)
    weight = TimeDecay(p=0.3)(batch).edge_weight
    drawn = weight != 1
    assert weight[drawn].tolist() == pytest.approx(
        [math.exp(-1)] * int(drawn.sum())
    )
    # Five standard deviations of a mean of 6000 draws:
    assert float(drawn.float().mean()) == pytest.approx(0.3, abs=0.03)
    torch.manual_seed(5)
    assert torch.equal(TimeDecay(p=0.3)(batch).edge_weight, weight)


def test_time_decay_leaves_edges_without_clicks_alone(timed):
    data = NormalizeEdges()(timed([0, 1, 2], [0, 30, 60]))
    blurred = GaussianBlur(p=1.0)(data)
    assert blurred.num_edges == 9
    weight = TimeDecay('linear', p=1.0)(blurred).edge_weight
    assert weight.tolist() == [0.5, 0.5] + [0] * 7


def test_time_decay_repr():
    assert str(TimeDecay()) == (
        "TimeDecay(form='exponential', scale=60.0, p=0.5)"
    )


def test_time_decay_errors(graph, timed):
    with pytest.raises(ValueError, match=r"form='cubic'; choose .*linear"):
        TimeDecay('cubic')
    for scale in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=f'scale={scale}; pass a pos'):
            TimeDecay(scale=scale)
    with pytest.raises(ValueError, match=r'TimeDecay got p=1\.5'):
        TimeDecay(p=1.5)
    with pytest.raises(
        ValueError, match=r'`click_time`, \[2\], got None; .*l'
    ):
        TimeDecay()(graph([1, 2]))
    with pytest.raises(ValueError, match=r'\[2\], got \[3\]'):
        TimeDecay()(timed([1, 2], [0, 1, 2]))
    with pytest.raises(ValueError, match=r'\[2\], got \[1\]'):
        TimeDecay()(timed([1, 2], [0]))
    with pytest.raises(ValueError, match=r'got -2\.0 seconds between'):
        TimeDecay()(timed([1, 2, 3], [0, 3, 1]))
    for time in (math.nan, math.inf):
        with pytest.raises(ValueError, match='pass finite times'):
            TimeDecay()(timed([1, 2], [0, time]))
