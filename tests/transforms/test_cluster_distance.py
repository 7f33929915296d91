import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.transforms import ClusterDistance

NUM_ITEMS = 12
clicks = st.lists(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=10)
# Every example is at least five sessions:
sessions = st.lists(clicks, min_size=5, max_size=9)
CLUSTERS = ItemClusters(
    labels=torch.arange(NUM_ITEMS) % 5,
    centers=torch.randn(5, 4, generator=torch.Generator().manual_seed(0)),
)


def test_cluster_distance_repr():
    assert str(ClusterDistance(CLUSTERS, p=0.25)) == (
        'ClusterDistance(clusters=ItemClusters(num_items=12, num_clusters=5, '
        'channels=4), p=0.25)'
    )


@settings(max_examples=200, deadline=None)
@given(sessions)
def test_cluster_distance_equals_dense(graph, dense, same, sessions):
    data_list = [graph(clicks) for clicks in sessions]
    batch = Batch.from_data_list(data_list, follow_batch=['click_index'])
    point = CLUSTERS.centers[CLUSTERS.labels].double().numpy()

    out = ClusterDistance(CLUSTERS, p=1.0)(batch).to_data_list()
    assert len(out) == len(sessions)
    for clicks, data, result in zip(sessions, data_list, out):
        expected = dense.distance(clicks, point)
        matrix = dense.of(result, result.edge_weight)[0]
        assert matrix == pytest.approx(expected, rel=1e-6)
        same(ClusterDistance(CLUSTERS, p=1.0)(data), result)

    plain = ClusterDistance(CLUSTERS, p=0.0)(batch).to_data_list()
    for data, result in zip(data_list, plain):
        same(data, result)

    mixed = ClusterDistance(CLUSTERS, p=0.6)(batch).to_data_list()
    for data, augmented, result in zip(data_list, out, mixed):
        is_plain = result.edge_weight == data.edge_weight
        is_augmented = result.edge_weight == augmented.edge_weight
        assert bool((is_plain | is_augmented).all())


def test_cluster_distance_share_of_drawn_edges(graph):
    batch = Batch.from_data_list([graph([0, 1, 2, 3])] * 3000)
    torch.manual_seed(12)
    weight = ClusterDistance(CLUSTERS, p=0.7)(batch).edge_weight
    share = (weight != 1).float().mean()
    # Five standard deviations of a mean of 9000 draws:
    assert float(share) == pytest.approx(0.7, abs=0.024)


def test_cluster_distance_within_a_cluster(graph):
    clusters = ItemClusters(
        torch.tensor([0, 0, 1, 2]), torch.tensor([[0.0], [0.25], [10.0]])
    )
    transform = ClusterDistance(clusters, p=1.0)
    assert transform(graph([0, 1, 2, 2])).edge_weight.tolist() == [8, 4, 8]
    assert transform(graph([0, 1, 3])).edge_weight.tolist() == pytest.approx(
        [1, 0.1]
    )
    assert transform(graph([0, 1, 0])).edge_weight.tolist() == [1, 1]


def test_cluster_distance_moves_no_clusters_without_need(graph):
    transform = ClusterDistance(CLUSTERS)
    transform(graph([0, 1, 2]))
    assert transform.clusters is CLUSTERS


def test_cluster_distance_errors(graph):
    with pytest.raises(TypeError, match='clusters of type Tensor'):
        ClusterDistance(CLUSTERS.centers)
    with pytest.raises(ValueError, match='ClusterDistance got p=2'):
        ClusterDistance(CLUSTERS, p=2)
    with pytest.raises(ValueError, match=r'got item 12 .* `clusters` covers'):
        ClusterDistance(CLUSTERS)(graph([1, 12]))
