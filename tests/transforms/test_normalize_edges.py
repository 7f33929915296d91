import os
import os.path as osp
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch

from pyg_sessaug.transforms import ItemDistance, NormalizeEdges

NUM_ITEMS = 12
clicks = st.lists(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=10)
# Every example is at least five sessions:
sessions = st.lists(clicks, min_size=5, max_size=9)
EMBEDDING = torch.randn(
    NUM_ITEMS, 6, generator=torch.Generator().manual_seed(0)
)
DATA = os.environ.get(
    'SESSAUG_DATA',
    osp.join(osp.dirname(__file__), '..', '..', '..', 'shared', 'data'),
)


def test_normalize_edges_repr():
    assert str(NormalizeEdges()) == 'NormalizeEdges()'


@settings(max_examples=200, deadline=None)
@given(sessions)
def test_normalize_edges_equals_dense(graph, dense, same, sessions):
    data_list = [graph(clicks) for clicks in sessions]
    batch = Batch.from_data_list(data_list, follow_batch=['click_index'])
    transform = NormalizeEdges()

    out = transform(batch).to_data_list()
    assert len(out) == len(sessions)
    for clicks, data, result in zip(sessions, data_list, out):
        expected = dense.normalized(dense.binary(clicks))
        matrix = dense.of(result, result.edge_attr)
        # The same float32 numbers as SR-GNN's, which divides in float64:
        assert (matrix == expected.astype(np.float32)).all()
        same(transform(data), result)

    weigh = ItemDistance(EMBEDDING, p=1.0)
    out = transform(weigh(batch)).to_data_list()
    for clicks, data, result in zip(sessions, data_list, out):
        expected = dense.normalized(
            dense.distance(clicks, EMBEDDING.double().numpy())
        )
        matrix = dense.of(result, result.edge_attr)
        assert matrix == pytest.approx(expected, rel=1e-5)
        same(transform(weigh(data)), result)


def test_normalize_edges_table_7_3(graph, table_7_3):
    data = NormalizeEdges()(graph(table_7_3.clicks))
    node = [data.x.tolist().index(item) for item in table_7_3.rows]
    matrix = torch.zeros(7, 7)
    matrix[data.edge_index[0], data.edge_index[1]] = data.edge_attr[:, 1]
    matrix = matrix[node][:, node]
    printed = torch.tensor(
        [
            [0, 0, 0, 0.333, 0.333, 0, 0.333],
            [0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 1.0, 0],
            [0.5, 0, 0.5, 0, 0, 0, 0],
            [1.0, 0, 0, 0, 0, 0, 0],
            [0, 1.0, 0, 0, 0, 0, 0],
            [0, 0, 0, 1.0, 0, 0, 0],
        ]
    )
    assert torch.equal(matrix.mul(1000).round(), printed.mul(1000).round())


def test_normalize_edges_table_7_4(graph, table_7_3):
    # Item 1 in the origin, items 4, 5 and 7 as far off as printed:
    point = torch.randn(30000, 3, generator=torch.Generator().manual_seed(0))
    point[table_7_3.rows[0]] = 0
    distance = torch.tensor([1.078, 1.226, 1.118])
    point[[table_7_3.rows[row - 1] for row in (4, 5, 7)]] = distance.diag()

    data = ItemDistance(point, p=1.0)(graph(table_7_3.clicks))
    data = NormalizeEdges()(data)
    item = data.x[data.edge_index]
    share = {
        int(dst): round(float(value), 3)
        for src, dst, value in zip(*item, data.edge_attr[:, 1])
        if src == table_7_3.rows[0]
    }
    assert share == {
        table_7_3.rows[3]: 0.352,
        table_7_3.rows[4]: 0.309,
        table_7_3.rows[6]: 0.339,
    }


@pytest.mark.data
def test_table_7_3_is_a_test_session(table_7_3):
    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            raise pickle.UnpicklingError(f'{module}.{name}')

    path = osp.join(DATA, 'diginetica', 'raw', 'test.txt')
    if not osp.exists(path):
        pytest.skip(f'{path} is absent')
    with open(path, 'rb') as f:
        sessions, targets = Unpickler(f).load()
    found = [
        target
        for session, target in zip(sessions, targets)
        if session == table_7_3.clicks
    ]
    assert found == [table_7_3.target]


def test_normalize_edges_literal(graph):
    data = graph([0, 1, 0, 2, 1])
    data.edge_weight = torch.tensor([3.0, 1.0, 1.0, 1.0])
    out = NormalizeEdges()(data)
    # 0 -> 1, 1 -> 0, 0 -> 2, 2 -> 1
    assert out.edge_attr.tolist() == [
        [0.75, 0.75],
        [1, 1],
        [1, 0.25],
        [0.25, 1],
    ]
    assert out.edge_attr.is_contiguous()
    assert out.edge_weight.tolist() == [3, 1, 1, 1]


def test_normalize_edges_without_weight_between_nodes(graph):
    data = graph([0, 1, 2])
    data.edge_weight = torch.tensor([0.0, 2.0])
    assert NormalizeEdges()(data).edge_attr.tolist() == [[0, 0], [1, 1]]


def test_normalize_edges_of_negative_weights(graph):
    # The sign of all weights cancels in their shares.
    data = graph([0, 1, 0, 2])
    data.edge_weight = torch.tensor([-1.0, -2.0, -3.0])
    out = NormalizeEdges()(data)
    assert out.edge_attr.tolist() == [[1, 0.25], [1, 1], [1, 0.75]]


def test_normalize_edges_without_weights(graph):
    data = graph([0, 1, 2])
    del data.edge_weight
    out = NormalizeEdges()(data)
    assert out.edge_attr.tolist() == [[1, 1], [1, 1]]
    assert 'edge_weight' not in out


def test_normalize_edges_without_edges(graph):
    assert NormalizeEdges()(graph([3])).edge_attr.shape == (0, 2)
    batch = Batch.from_data_list([graph([3]), graph([4])])
    out = NormalizeEdges()(batch).to_data_list()
    assert [data.edge_attr.tolist() for data in out] == [[], []]
