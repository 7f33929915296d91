from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.data.datapipes import DatasetAdapter

from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.transforms import (
    GaussianBlur,
    ItemDistance,
    NormalizeEdges,
    VertexInjection,
)

# Items 0 to 3 are of one category, 4 to 6 of another, 7 of a third, and the
# category of item 8 is not known.
CATEGORIES = torch.tensor([0, 0, 0, 0, 2, 2, 2, 1, -1])
click = st.integers(0, 8)
of_one = st.lists(st.integers(0, 3), min_size=1, max_size=7)
sessions_of_clicks = st.lists(
    of_one | st.lists(click, min_size=1, max_size=7), min_size=1, max_size=6
)


def clicks_of(data):
    return data.x[data.click_index].tolist()


def categories_of(clicks):
    return set(CATEGORIES[clicks].tolist())


def places(clicks, longer):
    """Where a click may have been put in."""
    return [
        i for i in range(len(longer)) if longer[:i] + longer[i + 1 :] == clicks
    ]


@settings(max_examples=150, deadline=None)
@given(
    sessions=sessions_of_clicks, own=st.booleans(), seed=st.integers(0, 2**32)
)
def test_graphs_are_those_of_longer_sessions(graph, same, sessions, own, seed):
    torch.manual_seed(seed)
    data_list = [graph(c, target=i) for i, c in enumerate(sessions)]
    batch = Batch.from_data_list(
        data_list, follow_batch=['click_index', 'edge_index']
    )
    out = VertexInjection(CATEGORIES, p=1.0, same=own)(batch)
    results = out.to_data_list()
    assert len(results) == len(sessions)
    for i, (clicks, data) in enumerate(zip(sessions, results)):
        longer = clicks_of(data)
        same(data, graph(longer, target=i))
        known = categories_of(clicks)
        if len(known) == 1 and known != {-1}:
            (new,) = Counter(longer) - Counter(clicks)
            assert places(clicks, longer)
            assert int(CATEGORIES[new]) != -1
            assert (int(CATEGORIES[new]) in known) == own
        else:
            assert longer == clicks
    again = Batch.from_data_list(
        results, follow_batch=['click_index', 'edge_index']
    )
    same(again, out)
    for data, before in zip(batch.to_data_list(), data_list):
        same(data, before)  # The input stays as it was.


@settings(max_examples=60, deadline=None)
@given(clicks=of_one, seed=st.integers(0, 2**32))
def test_single_graph(graph, same, clicks, seed):
    torch.manual_seed(seed)
    data = graph(clicks, target=7)
    out = VertexInjection(CATEGORIES, p=1.0)(data)
    longer = clicks_of(out)
    assert len(longer) == len(clicks) + 1
    assert places(clicks, longer)
    same(out, graph(longer, target=7))
    same(data, graph(clicks, target=7))


def test_num_nodes_set_by_hand(graph):
    data = [graph(clicks, target=7) for clicks in ([0, 1], [0], [5, 4])]
    for x in data:
        x.num_nodes = x.x.numel()
    inject = VertexInjection(CATEGORIES, p=1.0)
    out = inject(data[1].clone())
    assert out.num_nodes == out.x.numel() == 2
    batch = inject(Batch.from_data_list(data))
    assert batch.num_nodes == batch.x.numel()
    for x in batch.to_data_list():
        assert x.num_nodes == x.x.numel()


def test_batches_built_at_once_keep_their_times(graph, same):
    item = torch.tensor([0, 1, 0, 2, 5, 4, 1, 6])
    time = torch.tensor([10.0, 20, 40, 80, 3, 4, 9, 9]).double()
    graphs = SessionGraphs(
        Sessions.from_lengths(item, torch.tensor([4, 4]), time)
    )
    batch = graphs.batch(torch.tensor([2, 3, 5]))
    seen = set()
    for _ in range(40):
        out = VertexInjection(CATEGORIES, p=1.0)(batch)
        first, short, mixed = out.to_data_list()
        same(mixed, graphs.data(5))
        assert clicks_of(mixed) == [5, 4, 1]
        assert len(clicks_of(short)) == 2
        same(
            Batch.from_data_list(
                [first, short, mixed], follow_batch=['click_index']
            ),
            out,
        )
        (place,) = places([0, 1, 0], clicks_of(first))
        times = [0.0, 10, 30]
        times.insert(place, [0, 5, 20, 30][place])
        assert first.click_time.tolist() == times
        assert short.click_time.tolist() == [0, 0]
        seen.add(place)
    assert seen == {0, 1, 2, 3}


def test_draws_are_uniform(graph):
    batch = Batch.from_data_list([graph([0, 1]), graph([4, 7])] * 6000)
    torch.manual_seed(3)
    out = VertexInjection(CATEGORIES, p=0.25)(batch).to_data_list()
    longer = [clicks_of(data) for data in out[::2]]
    changed = [x for x in longer if len(x) == 3]
    # Five standard deviations of 6000, and then 1500 draws:
    assert len(changed) / 6000 == pytest.approx(0.25, abs=0.028)
    item = Counter(next(i for i in x if i > 1) for x in changed)
    assert set(item) == {4, 5, 6, 7}
    for count in item.values():
        assert count / len(changed) == pytest.approx(0.25, abs=0.056)
    place = Counter(places([0, 1], x)[0] for x in changed)
    assert set(place) == {0, 1, 2}
    for count in place.values():
        assert count / len(changed) == pytest.approx(1 / 3, abs=0.061)
    assert all(clicks_of(data) == [4, 7] for data in out[1::2])
    torch.manual_seed(3)
    again = VertexInjection(CATEGORIES, p=0.25)(batch).to_data_list()
    assert [clicks_of(data) for data in again[::2]] == longer


def test_mask_holds_what_may_be_injected(graph):
    mask = torch.tensor([1, 0, 0, 0, 0, 0, 1, 0, 1]).bool()
    transform = VertexInjection(CATEGORIES, p=1.0, mask=mask)
    assert str(transform) == (
        'VertexInjection(categories=[9], items=2, p=1.0, same=False)'
    )
    for clicks, new in (([1, 2], 6), ([4], 0), ([7], None)):
        found = {
            next(i for i in clicks_of(transform(graph(clicks))) if i in (0, 6))
            for _ in range(20)
        }
        assert found == ({0, 6} if new is None else {new})
    # None of the last category:
    transform = VertexInjection(CATEGORIES, p=1.0, mask=CATEGORIES < 2)
    for _ in range(10):
        new = set(clicks_of(transform(graph([4, 5])))) - {4, 5}
        assert len(new) == 1
        assert new <= {0, 1, 2, 3, 7}


def test_mask_of_the_same_category(graph):
    mask = torch.tensor([0, 1, 1, 1, 0, 0, 0, 1, 1]).bool()
    transform = VertexInjection(CATEGORIES, p=1.0, mask=mask, same=True)
    torch.manual_seed(0)
    out = transform(Batch.from_data_list([graph([0])] * 3000)).to_data_list()
    item = Counter(max(clicks_of(data)) for data in out)
    assert set(item) == {1, 2, 3}
    for count in item.values():  # Five standard deviations of 3000 draws
        assert count / 3000 == pytest.approx(1 / 3, abs=0.043)
    for clicks in ([4, 5], [8], [0, 7]):
        assert clicks_of(transform(graph(clicks))) == clicks
    assert clicks_of(transform(graph([7]))) == [7, 7]
    VertexInjection(CATEGORIES, mask=CATEGORIES == 2, same=True)
    match = r'0 item\(s\) to inject of fewer than one category'
    with pytest.raises(ValueError, match=match):
        VertexInjection(CATEGORIES, mask=CATEGORIES < 0, same=True)


def test_before_other_transforms(graph, same):
    embedding = torch.randn(9, 3)
    transform = VertexInjection(CATEGORIES, p=1.0)
    batch = Batch.from_data_list([graph([0, 1, 2]), graph([4, 0])])
    out = batch
    for step in (
        transform,
        ItemDistance(embedding),
        NormalizeEdges(),
        GaussianBlur(),
    ):
        out = step(out)
    same(Batch.from_data_list(out.to_data_list()), out)
    with pytest.raises(ValueError, match='`edge_weight` is not 1; apply it b'):
        transform(ItemDistance(embedding, p=1.0)(batch))
    data = graph([0, 1, 2])
    for weight in (0.5, 2.0):
        data.edge_weight = torch.tensor([1.0, weight])
        with pytest.raises(ValueError, match='`edge_weight` is not 1'):
            transform(data)
    with pytest.raises(ValueError, match=r'`edge_attr` of shape \[3, 2\]'):
        transform(NormalizeEdges()(batch))


def test_functional_name(graph):
    pipe = DatasetAdapter([graph([0, 1])]).vertex_injection(CATEGORIES, p=1.0)
    assert [data.num_nodes for data in pipe] == [3]


def test_errors(graph):
    with pytest.raises(ValueError, match='VertexInjection got p=-1'):
        VertexInjection(CATEGORIES, p=-1)
    with pytest.raises(ValueError, match=r'type torch\.float32'):
        VertexInjection(CATEGORIES.float())
    with pytest.raises(ValueError, match=r'a mask of shape \[8\]'):
        VertexInjection(CATEGORIES, mask=torch.ones(8).bool())
    with pytest.raises(ValueError, match=r'4 item\(s\) .* fewer than two cat'):
        VertexInjection(CATEGORIES, mask=CATEGORIES == 0)
    with pytest.raises(ValueError, match='got item 9 in `x`, but its `categ'):
        VertexInjection(CATEGORIES)(graph([1, 9]))
    one_edge = NormalizeEdges()(graph([0, 1]))
    with pytest.raises(ValueError, match='does not know `edge_attr`'):
        VertexInjection(CATEGORIES)(one_edge)
