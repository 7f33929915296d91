import subprocess
import sys

import pytest
import torch

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.registry import AUGMENTATIONS
from pyg_sessaug.training.augmentations import (
    Source,
    derive,
    training_transform,
)


@pytest.fixture(scope='module')
def train(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    return MultimodalSessions(root, num_sessions=80, num_items=20)


@pytest.fixture
def source(train, tmp_path):
    torch.manual_seed(0)
    path = str(tmp_path / 'clusters.part')
    return Source(train, torch.randn(20, 6), 3, seed=1, path=path)


def test_names_need_no_torch():
    code = (
        'import sys; from pyg_sessaug.registry import AUGMENTATIONS; '
        'print(*AUGMENTATIONS, "torch" in sys.modules)'
    )
    out = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True
    ).stdout
    names = 'none blur i2i gmm kmeans category inject-same'
    names += ' covisit-weight covisit-context neighbor-context time-buckets'
    assert out == f'{names} False\n'


def test_seeds_are_those_of_the_result_tables():
    assert derive(0, 'base', 'model') == 4170059206
    assert derive(1, 'kmeans', 'weights') == 1711221039


@pytest.mark.parametrize('name', AUGMENTATIONS)
def test_transforms(source, name):
    augmentation = AUGMENTATIONS[name]
    assert augmentation.name == name
    weights = source.weights(augmentation)
    steps = training_transform(augmentation, weights).transforms
    expected = {
        'none': ['NormalizeEdges'],
        'blur': ['NormalizeEdges', 'GaussianBlur'],
        'i2i': ['ItemDistance', 'NormalizeEdges', 'GaussianBlur'],
        'inject-same': ['VertexInjection', 'NormalizeEdges'],
        'covisit-weight': ['CovisitWeight', 'NormalizeEdges'],
        'covisit-context': ['CovisitContext', 'NormalizeEdges'],
        'neighbor-context': ['NeighborContext', 'NormalizeEdges'],
        'time-buckets': ['NormalizeEdges', 'TimeBuckets'],
    }.get(name, ['ClusterDistance', 'NormalizeEdges', 'GaussianBlur'])
    assert [type(x).__name__ for x in steps] == expected


def test_options_reach_transforms(source):
    source.options = {
        'edge': {'p': 0.1},
        'inject': {'p': 0.2},
        'covisit-weight': {'shuffled': True},
        'covisit-context': {'k': 3},
        'neighbor-context': {'k': 4},
        'time-buckets': {'bounds': [5.0]},
    }
    assert source.weights(AUGMENTATIONS['covisit-weight']).shuffled
    assert source.weights(AUGMENTATIONS['covisit-context']).k == 3
    assert source.weights(AUGMENTATIONS['neighbor-context']).neighbors.k == 4
    assert source.weights(AUGMENTATIONS['time-buckets']).bounds == [5.0]
    for name, p in (('i2i', 0.1), ('gmm', 0.1), ('inject-same', 0.2)):
        assert source.weights(AUGMENTATIONS[name]).p == p
    steps = training_transform(AUGMENTATIONS['blur'], p=0.3, std=0.4)
    blur = steps.transforms[1]
    assert (blur.p, blur.std) == (0.3, 0.4)


def test_clusters_are_fitted_on_seen_items(source):
    embedding, seen = source.embedding, source.train.seen_items
    for method in ('gmm', 'kmeans'):
        weights = source.weights(AUGMENTATIONS[method])
        torch.manual_seed(derive(1, method, 'weights'))
        expected = ItemClusters.fit(embedding, method, 3, seen)
        kept = ItemClusters.load(source.path)
        for clusters in (weights.clusters, kept):
            assert torch.equal(clusters.labels, expected.labels)
            assert torch.equal(clusters.centers, expected.centers)
    # Resumed, they are those of the file, if it fits.
    source.resume, source.embedding = True, -embedding
    weights = source.weights(AUGMENTATIONS['kmeans'])
    assert torch.equal(weights.clusters.centers, expected.centers)
    source.num_clusters = 5
    with pytest.raises(ValueError, match='num_clusters=3, not 5'):
        source.weights(AUGMENTATIONS['kmeans'])


def test_items_of_unknown_category_share_one(source, monkeypatch):
    categories = source.train.categories.clone()
    categories[[3, 8]] = -1
    monkeypatch.setattr(source.train, 'categories', categories)
    labels = source.weights(AUGMENTATIONS['category']).clusters.labels
    assert labels[3] == labels[8]
    assert (labels == labels[3]).sum() == 2


def test_distances_need_a_base(source):
    source.embedding = None
    for augmentation in AUGMENTATIONS.values():
        if augmentation.from_base:
            with pytest.raises(ValueError, match='need an embedding'):
                source.weights(augmentation)
        else:
            source.weights(augmentation)
