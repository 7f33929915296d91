import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from pyg_sessaug.transforms import ItemDistance, NormalizeEdges

NUM_ITEMS = 12
clicks = st.lists(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=10)
# Every example is at least five sessions:
sessions = st.lists(clicks, min_size=5, max_size=9)


def make_embedding():
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(NUM_ITEMS, 6, generator=generator)
    embedding[4] = embedding[3]  # Two items in the same place,
    embedding[6] = embedding[5] + 1e-3  # and two close together.
    return embedding


EMBEDDING = make_embedding()


def test_item_distance_repr():
    assert str(ItemDistance(torch.zeros(5, 3))) == (
        'ItemDistance(embedding=[5, 3], p=0.5)'
    )


@settings(max_examples=200, deadline=None)
@given(sessions)
def test_item_distance_equals_dense(graph, dense, same, sessions):
    data_list = [graph(clicks) for clicks in sessions]
    batch = Batch.from_data_list(data_list, follow_batch=['click_index'])

    out = ItemDistance(EMBEDDING, p=1.0)(batch).to_data_list()
    assert len(out) == len(sessions)
    for clicks, data, result in zip(sessions, data_list, out):
        expected = dense.distance(clicks, EMBEDDING.double().numpy())
        matrix = dense.of(result, result.edge_weight)[0]
        assert matrix == pytest.approx(expected, rel=1e-6)
        same(ItemDistance(EMBEDDING, p=1.0)(data), result)

    plain = ItemDistance(EMBEDDING, p=0.0)(batch).to_data_list()
    for data, result in zip(data_list, plain):
        same(data, result)

    mixed = ItemDistance(EMBEDDING, p=0.4)(batch).to_data_list()
    for data, augmented, result in zip(data_list, out, mixed):
        is_plain = result.edge_weight == data.edge_weight
        is_augmented = result.edge_weight == augmented.edge_weight
        assert bool((is_plain | is_augmented).all())


def test_item_distance_share_of_drawn_edges(graph):
    batch = Batch.from_data_list([graph([0, 1, 2, 0, 5])] * 2500)
    point = torch.arange(6.0).pow(2).view(-1, 1).add(10)
    torch.manual_seed(12)
    weight = ItemDistance(point, p=0.3)(batch).edge_weight
    share = (weight.view(2500, 4)[:, 1:] != 1).float().mean(dim=0)
    # Five standard deviations of a mean of 2500 draws:
    assert bool(((share - 0.3).abs() < 0.046).all())


def test_item_distance_draws_per_edge(graph):
    batch = Batch.from_data_list([graph([0, 1, 2])] * 2500)
    point = torch.tensor([[0.0], [2.0], [5.0]])
    torch.manual_seed(12)
    weight = ItemDistance(point, p=0.5)(batch).edge_weight
    drawn = (weight.view(2500, 2) != 1).float()
    assert float(drawn.prod(dim=1).mean()) == pytest.approx(0.25, abs=0.044)


def test_item_distance_zero_distance(graph):
    point = torch.tensor([[0.0], [0.25], [10.0]])
    transform = ItemDistance(point, p=1.0)
    # Twice the largest of 4 and 1 / 9.75:
    weight = transform(graph([0, 0, 1, 2])).edge_weight
    assert weight.tolist() == pytest.approx([8, 4, 1 / 9.75])
    # 2 / 9.75 is less than 1:
    assert transform(graph([1, 2, 2])).edge_weight.tolist() == pytest.approx(
        [1 / 9.75, 1]
    )
    # No other edge:
    assert transform(graph([0, 0])).edge_weight.tolist() == [1]


def test_item_distance_zero_distance_ignores_other_graphs(graph):
    point = torch.tensor([[0.0], [0.01], [10.0]])
    batch = Batch.from_data_list([graph([0, 1]), graph([2, 2])])
    out = ItemDistance(point, p=1.0)(batch)
    assert out.edge_weight.tolist() == pytest.approx([100, 1])


def test_item_distance_zero_distance_does_not_depend_on_draw(graph):
    point = torch.tensor([[0.0], [0.25]])
    weights = set()
    for seed in range(40):
        torch.manual_seed(seed)
        data = ItemDistance(point, p=0.5)(graph([0, 0, 1]))
        weights.add(tuple(data.edge_weight.tolist()))
    assert weights == {(1, 1), (1, 4), (8, 1), (8, 4)}


@pytest.mark.parametrize('gap', [1e-8, 1e-20, 1e-30, 1e-45])
def test_item_distance_tiny_distance_stays_finite(graph, gap):
    point = torch.tensor([[0.0], [gap], [1.0]])
    data = ItemDistance(point, p=1.0)(graph([0, 1, 0, 0, 2, 1]))
    assert bool(data.edge_weight.isfinite().all())
    assert float(data.edge_weight[0]) >= 0.9e8
    assert float(data.edge_weight[2]) == 2 * float(data.edge_weight[0])
    share = NormalizeEdges()(data).edge_attr
    assert bool(share.isfinite().all())
    assert bool((share.sum(dim=0) > 0.9).all())


def test_item_distance_without_edges(graph):
    transform = ItemDistance(EMBEDDING)
    data = transform(graph([3]))
    assert data.edge_weight.tolist() == []
    batch = Batch.from_data_list([graph([3]), graph([1, 2]), graph([5])])
    out = transform(batch).to_data_list()
    assert [data.num_edges for data in out] == [0, 1, 0]
    data = graph([])
    data.x = data.x.long()  # No node either.
    assert transform(data).edge_weight.tolist() == []


def test_item_distance_without_weights(graph):
    data = graph([0, 1, 2])
    del data.edge_weight
    out = ItemDistance(EMBEDDING, p=0.0)(data)
    assert out.edge_weight.tolist() == [1, 1]
    batch = Batch.from_data_list([data, data])
    out = ItemDistance(EMBEDDING, p=1.0)(batch).to_data_list()
    assert torch.equal(out[0].edge_weight, out[1].edge_weight)


def test_item_distance_keeps_a_detached_copy(graph):
    embedding = torch.nn.Parameter(EMBEDDING.clone())
    transform = ItemDistance(embedding, p=1.0)
    before = transform(graph([0, 1])).edge_weight
    with torch.no_grad():
        embedding.zero_()
    assert torch.equal(transform(graph([0, 1])).edge_weight, before)
    assert not transform.embedding.requires_grad
    assert transform.embedding.tolist() == EMBEDDING.tolist()


@pytest.mark.parametrize(
    'dtype', [torch.float16, torch.bfloat16, torch.float64]
)
def test_item_distance_dtypes(graph, dtype):
    point = torch.tensor([[0.0], [0.5], [4.0]], dtype=dtype)
    out = ItemDistance(point, p=1.0)(graph([0, 1, 2, 0])).edge_weight
    assert out.dtype == torch.float
    assert out.tolist() == pytest.approx([2, 1 / 3.5, 0.25])


def test_item_distance_draws_from_the_global_generator(graph):
    data = graph([0, 1, 2, 3, 5, 7, 8, 9])
    transform = ItemDistance(EMBEDDING)
    torch.manual_seed(5)
    first = transform(data).edge_weight
    torch.manual_seed(5)
    assert torch.equal(transform(data).edge_weight, first)


@pytest.mark.parametrize('p', [-0.1, 1.5, float('nan')])
def test_item_distance_bad_p(p):
    with pytest.raises(ValueError, match=f'ItemDistance got p={p}'):
        ItemDistance(EMBEDDING, p)


def test_item_distance_bad_embedding():
    with pytest.raises(ValueError, match=r'embedding of shape \[4\]'):
        ItemDistance(torch.zeros(4))
    with pytest.raises(ValueError, match=r'embedding of shape \[4, 2, 1\]'):
        ItemDistance(torch.zeros(4, 2, 1))
    with pytest.raises(ValueError, match=r'type torch.int64'):
        ItemDistance(torch.zeros(4, 2, dtype=torch.long))
    embedding = torch.zeros(4, 2)
    embedding[2, 1] = float('inf')
    with pytest.raises(ValueError, match=r'1 item\(s\), \[2\] first'):
        ItemDistance(embedding)
    embedding[:, 0] = float('nan')
    with pytest.raises(ValueError, match=r'4 item\(s\), \[0, 1, 2\] first'):
        ItemDistance(embedding)


def test_item_distance_unknown_item(graph):
    transform = ItemDistance(EMBEDDING)
    with pytest.raises(ValueError, match=r'got item 12 in `x`.*0 to 11'):
        transform(graph([1, 12]))
    with pytest.raises(ValueError, match='got item 700 in `x`'):
        transform(graph([1, 700]))
    with pytest.raises(ValueError, match='got item -1 in `x`'):
        transform(graph([1, -1]))
    data = graph([1, 2])
    data.x = torch.randn(2, 3)
    with pytest.raises(ValueError, match='needs the item of each node'):
        transform(data)
    with pytest.raises(ValueError, match='got None'):
        transform(Data(edge_index=data.edge_index))
