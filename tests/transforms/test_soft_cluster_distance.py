from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch
from torch_geometric.data.datapipes import DatasetAdapter
from torch_geometric.testing import withCUDA

from pyg_sessaug.clusters import ItemMixture
from pyg_sessaug.transforms import ClusterDistance, SoftClusterDistance

NUM_ITEMS = 10
sessions_of_clicks = st.lists(
    st.lists(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=10),
    min_size=3,
    max_size=7,
)


def make(certain):
    generator = torch.Generator().manual_seed(0)
    posterior = torch.rand(NUM_ITEMS, 4, generator=generator) ** 3
    posterior /= posterior.sum(dim=1, keepdim=True)
    if certain:
        posterior = torch.eye(4)[posterior.argmax(dim=1)]
    centers = torch.randn(4, 3, generator=generator)
    return ItemMixture(posterior, centers, torch.eye(3).repeat(4, 1, 1))


SOFT, CERTAIN = make(False), make(True)


def reference(clicks, mixture):
    """Weight of each pair of items, by sums over pairs of components."""
    gamma, center = mixture.posterior.double(), mixture.centers.double()
    distance, between = {}, [0.0]
    for i, j in pairwise(clicks):
        distance[i, j] = sum(
            float(gamma[i, a] * gamma[j, b] * (center[a] - center[b]).norm())
            for a in range(4)
            for b in range(4)
        )
        if gamma[i].argmax() != gamma[j].argmax():
            between.append(1 / distance[i, j])
    top = max(1, 2 * max(between))
    weight = {}
    for (i, j), length in distance.items():
        within = gamma[i].argmax() == gamma[j].argmax()
        plain = 1 / length if length > 0 else top
        weight[i, j] = min(plain, top) if within else plain
    return weight


@settings(max_examples=80, deadline=None)
@given(sessions=sessions_of_clicks)
def test_weights_equal_reference(graph, same, sessions):
    data_list = [graph(clicks) for clicks in sessions]
    batch = Batch.from_data_list(data_list, follow_batch=['click_index'])
    transform = SoftClusterDistance(SOFT, p=1.0)
    results = transform(batch).to_data_list()
    for clicks, data, result in zip(sessions, data_list, results):
        pairs = map(tuple, data.x[data.edge_index].t().tolist())
        weight = dict(zip(pairs, result.edge_weight.tolist()))
        assert weight == pytest.approx(reference(clicks, SOFT), rel=1e-5)
        same(transform(data), result)
    plain = SoftClusterDistance(SOFT, p=0.0)(batch)
    same(plain, batch)


@settings(max_examples=80, deadline=None)
@given(sessions=sessions_of_clicks)
def test_certain_items_have_the_weights_of_hard_clusters(
    graph, same, sessions
):
    batch = Batch.from_data_list([graph(clicks) for clicks in sessions])
    for p in (1.0, 0.5):
        torch.manual_seed(1)
        soft = SoftClusterDistance(CERTAIN, p)(batch)
        torch.manual_seed(1)
        same(soft, ClusterDistance(CERTAIN.clusters, p)(batch))


def test_weights_go_to_the_hard_ones(graph):
    # No matter how sure the mixture is, an edge within a cluster does not
    # outweigh one between clusters by more than two times.
    centers = torch.tensor([[0.0], [4.0]])
    for rest in (1e-2, 1e-4, 1e-6, 0.0):
        sure = torch.tensor([[1 - rest, rest]] * 2 + [[rest, 1 - rest]])
        mixture = ItemMixture(sure, centers, torch.ones(2, 1, 1))
        out = SoftClusterDistance(mixture, p=1.0)(graph([0, 1, 2]))
        assert out.edge_weight.tolist() == pytest.approx([1, 0.25], rel=0.03)


def test_repr_and_name(graph):
    transform = SoftClusterDistance(SOFT, p=0.25)
    assert str(transform) == (
        'SoftClusterDistance(mixture=ItemMixture(num_items=10, '
        'num_clusters=4, channels=3), p=0.25)'
    )
    pipe = DatasetAdapter([graph([0, 1])]).soft_cluster_distance(SOFT)
    assert len(list(pipe)) == 1


def test_errors(graph):
    with pytest.raises(TypeError, match='a mixture of type ItemClusters'):
        SoftClusterDistance(SOFT.clusters)
    with pytest.raises(ValueError, match='SoftClusterDistance got p=2'):
        SoftClusterDistance(SOFT, p=2)
    with pytest.raises(ValueError, match=r'got item 10 .* `mixture` cov'):
        SoftClusterDistance(SOFT)(graph([1, 10]))


@withCUDA
def test_device(graph, device):
    out = SoftClusterDistance(SOFT, p=1.0)(graph([0, 1, 2]).to(device))
    assert out.edge_weight.device == device
