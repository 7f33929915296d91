import pytest
import torch
import torch_geometric.transforms as T
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from pyg_sessaug.transforms import GaussianBlur, ItemDistance, NormalizeEdges

NUM_ITEMS = 12
clicks = st.lists(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=10)
# Every example is at least five sessions:
sessions = st.lists(clicks, min_size=5, max_size=9)
EMBEDDING = torch.randn(
    NUM_ITEMS, 6, generator=torch.Generator().manual_seed(0)
)
# Six distinct items in nine clicks: 36 cells, 8 edges.
SESSION = [0, 1, 0, 2, 3, 3, 4, 1, 5]


def test_gaussian_blur_repr():
    assert str(GaussianBlur()) == 'GaussianBlur(p=0.5, mean=0.01, std=0.01)'
    assert str(GaussianBlur(0.1, 0.2, 0.3)) == (
        'GaussianBlur(p=0.1, mean=0.2, std=0.3)'
    )


@settings(max_examples=200, deadline=None)
@given(sessions)
def test_gaussian_blur_equals_dense(graph, dense, same, sessions):
    data_list = [graph(clicks) for clicks in sessions]
    batch = Batch.from_data_list(data_list, follow_batch=['click_index'])
    prepare = T.Compose([ItemDistance(EMBEDDING, p=1.0), NormalizeEdges()])
    batch = prepare(batch)
    data_list = [prepare(data) for data in data_list]

    # No cell is touched:
    out = GaussianBlur(p=0.0)(batch).to_data_list()
    for data, result in zip(data_list, out):
        same(data, result)

    # Noise without variance touches every cell of both halves alike:
    blur = GaussianBlur(p=1.0, mean=0.25, std=0.0)
    out = blur(batch).to_data_list()
    assert len(out) == len(sessions)
    for data, result in zip(data_list, out):
        expected = dense.of(data, data.edge_attr) + 0.25
        matrix = dense.of(result, result.edge_attr)
        assert matrix == pytest.approx(expected, rel=1e-6)
        same(blur(data), result)

    # In between, every cell is its old value or one with noise:
    blurred = GaussianBlur(p=0.5, mean=0.25, std=0.0)(batch)
    graph_of_edge = blurred.batch[blurred.edge_index]
    assert torch.equal(graph_of_edge[0], graph_of_edge[1])
    assert bool((graph_of_edge[0].diff() >= 0).all())
    for data, result in zip(data_list, blurred.to_data_list()):
        assert_base_edges_first(data, result)
        before = dense.of(data, data.edge_attr)
        matrix = dense.of(result, result.edge_attr)
        is_old = matrix == before
        is_blurred = abs(matrix - before - 0.25) < 1e-6
        assert (is_old | is_blurred).all()
        # Pairs that no half touched are no edges:
        touched = set(zip(*is_blurred.any(0).nonzero()))
        assert touched <= set(zip(*result.edge_index.tolist()))
        base = set(zip(*data.edge_index.tolist()))
        assert set(zip(*result.edge_index.tolist())) == touched | base


def assert_base_edges_first(data, result):
    count = data.num_edges
    assert torch.equal(result.edge_index[:, :count], data.edge_index)
    assert torch.equal(result.edge_weight[:count], data.edge_weight)
    assert not result.edge_weight[count:].any()
    for key in ('x', 'click_index', 'y'):
        assert torch.equal(result[key], data[key])


def noise_of(data, transform, dense, as_batch, count):
    before = torch.from_numpy(dense.of(data, data.edge_attr))
    if as_batch:
        batch = transform(Batch.from_data_list([data] * count))
        out = batch.to_data_list()
    else:
        out = [transform(data) for _ in range(count)]
    for result in out:
        assert_base_edges_first(data, result)
    return torch.stack(
        [
            torch.from_numpy(dense.of(result, result.edge_attr)) - before
            for result in out
        ]
    )


@pytest.mark.parametrize('as_batch', [False, True])
@pytest.mark.parametrize('p', [0.2, 0.5])
def test_gaussian_blur_distribution(graph, dense, as_batch, p):
    data = NormalizeEdges()(graph(SESSION))
    torch.manual_seed(12)
    blur = GaussianBlur(p, mean=0.02, std=0.1)
    noise = noise_of(data, blur, dense, as_batch, count=1000)
    assert noise.shape == (1000, 2, 6, 6)
    touched = noise != 0

    # Each bound is about five standard deviations.
    cells = noise[:, 0].numel()
    share_bound = 5 * (p * (1 - p) / cells) ** 0.5
    for half in range(2):
        share = touched[:, half].double().mean()
        assert float(share) == pytest.approx(p, abs=share_bound)
        value = noise[:, half][touched[:, half]]
        bound = 5 * 0.1 / value.numel() ** 0.5
        assert float(value.mean()) == pytest.approx(0.02, abs=bound)
        assert float(value.std()) == pytest.approx(0.1, abs=bound)
        # A normal distribution keeps 68 % within one standard deviation:
        near = ((value - 0.02).abs() < 0.1).double().mean()
        assert float(near) == pytest.approx(
            0.6827, abs=5 * 0.465 / value.numel() ** 0.5
        )

    # No cell is favoured, be it an edge or empty:
    share = touched.double().mean(dim=0)
    bound = 5 * (p * (1 - p) / 1000) ** 0.5
    assert float((share - p).abs().max()) < bound

    # The halves have masks and noise of their own:
    both = touched[:, 0] & touched[:, 1]
    assert float(both.double().mean()) == pytest.approx(
        p * p, abs=5 * (p * p * (1 - p * p) / cells) ** 0.5
    )
    pair = torch.stack([noise[:, 0][both], noise[:, 1][both]])
    assert abs(float(pair.corrcoef()[0, 1])) < 5 / both.sum() ** 0.5
    # So have the graphs:
    pair = torch.stack([touched[1:].flatten(), touched[:-1].flatten()])
    assert abs(float(pair.double().corrcoef()[0, 1])) < 5 / cells**0.5


def test_gaussian_blur_defaults_may_turn_negative(graph):
    data = NormalizeEdges()(graph(SESSION))
    torch.manual_seed(12)
    batch = GaussianBlur()(Batch.from_data_list([data] * 200))
    noise = batch.edge_attr[batch.edge_weight == 0]
    noise = noise[noise != 0]
    # One standard deviation below the mean:
    assert float((noise < 0).float().mean()) == pytest.approx(0.159, abs=0.03)


def test_gaussian_blur_without_edges(graph):
    data = NormalizeEdges()(graph([3]))
    blur = GaussianBlur(p=1.0, mean=0.5, std=0.0)
    out = blur(data)
    assert out.edge_index.tolist() == [[0], [0]]
    assert out.edge_attr.tolist() == [[0.5, 0.5]]
    assert out.edge_weight.tolist() == [0]

    other = NormalizeEdges()(graph([1, 2]))
    out = blur(Batch.from_data_list([data, other, data])).to_data_list()
    assert [data.num_edges for data in out] == [1, 4, 1]


def test_gaussian_blur_graph_without_nodes(graph):
    data = NormalizeEdges()(graph([1, 2]))
    empty = NormalizeEdges()(graph([]))
    blur = GaussianBlur(p=1.0)
    assert blur(empty).num_edges == 0
    out = blur(Batch.from_data_list([empty, data, empty, empty, data, empty]))
    assert [data.num_edges for data in out.to_data_list()] == [
        0,
        4,
        0,
        0,
        4,
        0,
    ]


def test_gaussian_blur_without_weights(graph):
    data = NormalizeEdges()(graph([1, 2]))
    del data.edge_weight
    out = GaussianBlur(p=1.0)(data)
    assert out.edge_weight.tolist() == [1, 0, 0, 0]
    out = GaussianBlur(p=1.0)(Batch.from_data_list([data, data]))
    assert out[1].edge_weight.tolist() == [1, 0, 0, 0]


def test_gaussian_blur_twice(graph, dense):
    data = NormalizeEdges()(graph(SESSION))
    blur = GaussianBlur(p=1.0, mean=0.25, std=0.0)
    out = blur(blur(data))
    expected = dense.of(data, data.edge_attr) + 0.5
    assert dense.of(out, out.edge_attr) == pytest.approx(expected)


def test_gaussian_blur_other_edge_tensors(graph):
    data_list = []
    for clicks in ([0, 1, 2], [3], [4, 5]):
        data = NormalizeEdges()(graph(clicks))
        data.edge_time = torch.arange(1.0, data.num_edges + 1)
        data_list.append(data)
    batch = Batch.from_data_list(data_list, follow_batch=['edge_weight'])
    out = GaussianBlur(p=1.0)(batch)
    assert out.edge_time.tolist() == [1, 2] + [0] * 7 + [0] + [1] + [0] * 3
    assert out[0].edge_time.tolist() == [1, 2] + [0] * 7
    assert out[2].edge_time.tolist() == [1, 0, 0, 0]
    # `follow_batch` still tells the graph of each edge:
    assert out.edge_weight_batch.tolist() == [0] * 9 + [1] + [2] * 4
    assert out.edge_weight_ptr.tolist() == [0, 9, 10, 14]


def test_what_has_fewer_entries_than_edges_is_left_alone():
    data = Data(x=torch.arange(3), edge_index=torch.tensor([[0, 1], [1, 2]]))
    data.edge_label = torch.tensor([7])  # One for the whole graph
    out = GaussianBlur(p=1.0)(NormalizeEdges()(data))
    assert out.num_edges == 9
    assert out.edge_label.tolist() == [7]


def test_gaussian_blur_edges_not_grouped_by_graph(graph, dense):
    batch = Batch.from_data_list([graph([0, 1, 2]), graph([3, 4])])
    # PyG appends the loops behind the edges of all graphs:
    transform = T.Compose(
        [
            T.AddSelfLoops('edge_weight', fill_value=1.0),
            NormalizeEdges(),
            GaussianBlur(p=1.0, mean=0.25, std=0.0),
        ]
    )
    out = transform(batch).to_data_list()
    for data, clicks in zip(out, ([0, 1, 2], [3, 4])):
        matrix = dense.binary(clicks)
        matrix[range(len(matrix)), range(len(matrix))] = 1
        assert dense.of(data, data.edge_attr) == pytest.approx(
            dense.normalized(matrix) + 0.25
        )


def test_gaussian_blur_batch_without_records(graph, dense):
    data = NormalizeEdges()(graph(SESSION))
    batch = Batch.from_data_list([data, data])
    plain = graph(SESSION)
    for key in ('x', 'edge_index', 'edge_weight', 'edge_attr', 'batch'):
        plain[key] = batch[key]
    out = GaussianBlur(p=1.0)(plain)
    assert out.num_edges == 72


def test_gaussian_blur_leaves_scalars_alone(graph):
    data = NormalizeEdges()(graph(SESSION))
    data.edge_scale = torch.tensor(2.0)
    assert GaussianBlur(p=1.0)(data).edge_scale == 2


def test_gaussian_blur_names_a_session_that_is_too_large(graph):
    sizes = [4, 6, 5]
    batch = Batch.from_data_list(
        [NormalizeEdges()(graph(list(range(size)))) for size in sizes]
    )
    assert GaussianBlur(p=1.0, max_pairs=36)(batch.clone()).num_edges == 77
    with pytest.raises(ValueError, match='graph 1 of the batch with 6 dist'):
        GaussianBlur(max_pairs=35)(batch.clone())
    batch.session = torch.tensor([70, 71, 72])
    with pytest.raises(ValueError, match='of session 71, with 6 distinct'):
        GaussianBlur(max_pairs=35)(batch)


@pytest.mark.parametrize(
    'edge_attr',
    [None, *map(torch.ones, [(8,), (8, 1), (8, 3), (7, 2), (9, 2)])],
)
def test_gaussian_blur_needs_normalized_edges(graph, edge_attr):
    data = graph(SESSION)
    data.edge_attr = edge_attr
    with pytest.raises(ValueError, match='apply NormalizeEdges before it'):
        GaussianBlur()(data)


@pytest.mark.parametrize(
    'name, value',
    [
        ('p', -0.5),
        ('p', 1.01),
        ('p', float('nan')),
        ('mean', float('inf')),
        ('mean', float('nan')),
        ('std', -0.1),
        ('std', float('nan')),
        ('std', float('inf')),
        ('max_pairs', 0),
    ],
)
def test_gaussian_blur_bad_arguments(name, value):
    with pytest.raises(ValueError, match=f'GaussianBlur got {name}={value}'):
        GaussianBlur(**{name: value})
