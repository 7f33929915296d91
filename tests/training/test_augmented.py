import os

import pytest
import torch
from torch_geometric.transforms import Compose

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import fit
from pyg_sessaug.training.augmented import (
    AUGMENTATIONS,
    checkpoint_files,
    fit_augmented,
    training_transform,
)
from pyg_sessaug.transforms import (
    GaussianBlur,
    ItemDistance,
    NormalizeEdges,
    VertexInjection,
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    return [
        MultimodalSessions(root, split, num_sessions=80, num_items=20)
        for split in ('train', 'val')
    ]


def make_model():
    return SRGNN(20, hidden_channels=6, num_layers=1)


def embedding():
    torch.manual_seed(0)
    return torch.randn(20, 6)


def test_is_algorithm_3(data):
    """A base model, its distances, and a fresh model on augmented graphs."""
    kwargs = {'epochs': 2, 'progress': False}
    model, histories = fit_augmented(
        make_model, *data, 'i2i', seed=4, device='cpu', **kwargs
    )
    torch.manual_seed(4)
    base = make_model()
    fit(base, *data, NormalizeEdges(), seed=4, **kwargs)
    transform = training_transform('i2i', data[0], base.item_embedding)
    torch.manual_seed(4)
    other = make_model()
    history = fit(
        other,
        *data,
        transform,
        weight_decay=1e-6,
        patience=4,
        seed=4,
        **kwargs,
    )
    for key, value in other.state_dict().items():
        assert torch.equal(value, model.state_dict()[key])
    assert list(histories) == ['base', 'augmented']
    losses = [x['val_loss'] for x in histories['augmented']]
    assert losses == [x['val_loss'] for x in history]


def test_injected_items_need_no_base(data):
    """They are trained on like plain graphs, from the same weights."""
    kwargs = {'epochs': 2, 'progress': False}
    model, histories = fit_augmented(
        make_model, *data, 'inject-same', seed=4, weight_decay=1e-2, **kwargs
    )
    assert list(histories) == ['augmented']
    torch.manual_seed(4)
    other = make_model()
    categories, seen = data[0].categories, data[0].seen_items
    transform = Compose(
        [
            VertexInjection(categories, mask=seen, same=True),
            NormalizeEdges(),
        ]
    )
    fit(other, *data, transform, weight_decay=1e-2, seed=4, **kwargs)
    for key, value in other.state_dict().items():
        assert torch.equal(value, model.state_dict()[key])


def test_transforms(data):
    for augment in AUGMENTATIONS:
        steps = training_transform(augment, data[0], embedding(), 3).transforms
        names = [type(x).__name__ for x in steps]
        weights = {
            'i2i': ['ItemDistance'],
            'none': [],
            'blur': [],
            'inject-same': ['VertexInjection'],
        }
        blur = ['GaussianBlur'] * (augment not in ('none', 'inject-same'))
        expected = weights.get(augment, ['ClusterDistance'])
        assert names == [*expected, 'NormalizeEdges', *blur]
    repeated = training_transform('i2i', data[0], embedding())
    steps = [ItemDistance(embedding()), NormalizeEdges(), GaussianBlur()]
    assert [repr(x) for x in repeated.transforms] == [repr(x) for x in steps]


def test_clusters_are_fitted_on_seen_items(data, tmp_path):
    path = str(tmp_path / 'clusters.part')
    seen = data[0].seen_items
    for method in ('gmm', 'kmeans'):
        torch.manual_seed(1)
        training_transform(method, data[0], embedding(), 3, path)
        torch.manual_seed(1)
        expected = ItemClusters.fit(embedding(), method, 3, seen)
        assert torch.equal(ItemClusters.load(path).labels, expected.labels)
    training_transform('kmeans', data[0], -embedding(), 3, path, resume=True)
    assert torch.equal(ItemClusters.load(path).centers, expected.centers)
    with pytest.raises(ValueError, match='num_clusters=3, not 5'):
        training_transform('gmm', data[0], embedding(), 5, path, resume=True)


def test_items_of_unknown_category_share_one(data, tmp_path, monkeypatch):
    path = str(tmp_path / 'clusters.part')
    categories = data[0].categories.clone()
    categories[[3, 8]] = -1
    monkeypatch.setattr(data[0], 'categories', categories)
    training_transform('category', data[0], embedding(), path=path)
    labels = ItemClusters.load(path).labels
    assert labels[3] == labels[8]
    assert (labels == labels[3]).sum() == 2


def test_bad_arguments(data, monkeypatch):
    with pytest.raises(ValueError, match="unknown augmentation 'noise'"):
        fit_augmented(make_model, *data, 'noise')
    with pytest.raises(ValueError, match="'gmm' needs an embedding"):
        training_transform('gmm', data[0])
    monkeypatch.setattr(data[0], 'categories', None)
    for augment in ('category', 'inject-same'):
        match = f"'{augment}' needs a data set with categories"
        with pytest.raises(ValueError, match=match):
            fit_augmented(make_model, *data, augment)
    unknown = torch.full((20,), -1)  # A column that is empty.
    monkeypatch.setattr(data[0], 'categories', unknown)
    with pytest.raises(ValueError, match='needs a data set with categories'):
        fit_augmented(make_model, *data, 'category')


@pytest.mark.parametrize('augment', ['i2i', 'kmeans'])
def test_the_base_stays_once_others_followed(data, tmp_path, augment):
    kwargs = {'num_clusters': 3, 'progress': False}
    kwargs['checkpoint'] = str(tmp_path / 'state')
    fit_augmented(make_model, *data, augment, epochs=1, **kwargs)
    _, histories = fit_augmented(
        make_model, *data, augment, epochs=3, resume=True, **kwargs
    )
    assert len(histories['base']) == 1
    assert len(histories['augmented']) == 3

    # What a run from the start has not made is not gone on with.
    files = checkpoint_files(kwargs['checkpoint'], augment)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_augmented(stop, *data, augment, **kwargs)
    assert not any(os.path.exists(path) for path in files.values())


def test_checkpoints_of_one_base_are_shared():
    gmm, i2i = (checkpoint_files('a', x) for x in ('gmm', 'i2i'))
    assert gmm['base'] == i2i['base']
    assert len({*gmm.values(), *i2i.values()}) == 5
