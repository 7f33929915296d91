r"""Session graphs and dense matrices, written down from their definitions."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch_geometric.data import Data


def session_data(clicks, target=0):
    r"""The graph of one session, click by click."""
    nodes = list(dict.fromkeys(clicks))
    edges = list(dict.fromkeys(pairwise(clicks)))
    edge_index = [[nodes.index(a), nodes.index(b)] for a, b in edges]
    return Data(
        x=torch.tensor(nodes),
        edge_index=torch.tensor(edge_index, dtype=torch.long).view(-1, 2).t(),
        edge_weight=torch.ones(len(edges)),
        click_index=torch.tensor([nodes.index(item) for item in clicks]),
        y=torch.tensor([target]),
    )


def distance_matrix(clicks, point):
    r"""Equations (6.2) to (6.4): `point[item]` is where an item lies."""
    nodes = list(dict.fromkeys(clicks))
    out = np.zeros((len(nodes), len(nodes)))
    same = []
    for a, b in pairwise(clicks):
        i, j = nodes.index(a), nodes.index(b)
        distance = np.sqrt(np.sum((point[a] - point[b]) ** 2))
        if distance == 0:
            same.append((i, j))
        else:
            out[i, j] = 1 / distance
    largest = out.max()
    for i, j in same:
        out[i, j] = max(1, 2 * largest)
    return out


def normalized(matrix):
    r"""Both halves of SR-GNN's matrix, `[2, k, k]`, each indexed i, j."""
    column, row = matrix.sum(0, keepdims=True), matrix.sum(1, keepdims=True)
    return np.stack(
        [
            matrix / np.where(column == 0, 1, column),
            matrix / np.where(row == 0, 1, row),
        ]
    )


def binary_matrix(clicks):
    r"""The plain adjacency matrix of a session."""
    nodes = list(dict.fromkeys(clicks))
    out = np.zeros((len(nodes), len(nodes)))
    for a, b in pairwise(clicks):
        out[nodes.index(a), nodes.index(b)] = 1
    return out


def to_matrix(data, value):
    r"""Edge values of one graph as matrices, `[..., k, k]`."""
    cells = data.edge_index.t().tolist()
    assert len({tuple(cell) for cell in cells}) == len(cells)
    value = value.double().view(len(cells), *value.shape[1:] or (1,)).numpy()
    out = np.zeros((value.shape[1], data.num_nodes, data.num_nodes))
    for (i, j), entry in zip(cells, value):
        out[:, i, j] = entry
    return out


def assert_equal(a, b):
    r"""Two graphs with the same tensors, bit by bit."""
    assert sorted(a.keys()) == sorted(b.keys())
    for key in a.keys():
        assert a[key].dtype == b[key].dtype, key
        assert torch.equal(a[key], b[key]), key


@pytest.fixture(scope='session')
def dense():
    return SimpleNamespace(
        distance=distance_matrix,
        normalized=normalized,
        binary=binary_matrix,
        of=to_matrix,
    )


@pytest.fixture(scope='session')
def graph():
    return session_data


@pytest.fixture(scope='session')
def same():
    return assert_equal


@pytest.fixture
def table_7_3():
    r"""The session of Tables 7.3 and 7.4, its target, and its items in the
    order of the printed rows 1 to 7.
    """
    clicks = [1708, 9040, 1708, 16172, 1708, 28275, 9040, 4960, 19859, 4951]
    return SimpleNamespace(
        clicks=clicks,
        target=19859,
        rows=sorted(set(clicks)),
    )
