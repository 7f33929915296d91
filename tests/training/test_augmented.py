import os
import zlib
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from torch_geometric.transforms import Compose

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import fit
from pyg_sessaug.training.augmented import checkpoint_files, fit_augmented
from pyg_sessaug.transforms import (
    ClusterDistance,
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


def seed_of(purpose, seed=4):
    """The rule of the result tables: a checksum of seed and purpose."""
    return zlib.crc32(f'{seed}/base/{purpose}'.encode())


def train_alone(data, transform, **kwargs):
    """One step of the algorithm by hand."""
    torch.manual_seed(seed_of('model'))
    model = make_model()
    seed = seed_of('training')
    kwargs = {'epochs': 2, 'progress': False, 'seed': seed, **kwargs}
    return model, fit(model, *data, transform, **kwargs)


def assert_same(model, other):
    for key, value in other.state_dict().items():
        assert torch.equal(value, model.state_dict()[key])


@pytest.mark.parametrize('augment', ['i2i', 'kmeans'])
def test_is_algorithm_3(data, augment):
    """A base model, its distances, and a fresh model on augmented graphs."""
    model, histories = fit_augmented(
        make_model, *data, augment, num_clusters=3, seed=4, device='cpu',
        epochs=2, progress=False,
    )  # fmt: skip
    base, _ = train_alone(data, NormalizeEdges())
    weights = ItemDistance(base.item_embedding)
    if augment == 'kmeans':
        torch.manual_seed(zlib.crc32(b'4/kmeans/weights'))
        embedding = base.item_embedding.detach()
        seen = data[0].seen_items
        clusters = ItemClusters.fit(embedding, 'kmeans', 3, seen)
        weights = ClusterDistance(clusters)
    steps = [weights, NormalizeEdges(), GaussianBlur()]
    kwargs = {'weight_decay': 1e-6, 'patience': 4}
    other, history = train_alone(data, Compose(steps), **kwargs)
    assert_same(model, other)
    assert list(histories) == ['base', 'augmented']
    losses = [x['val_loss'] for x in histories['augmented']]
    assert losses == [x['val_loss'] for x in history]


def test_injected_items_need_no_base(data):
    """They are trained on like plain graphs, from the same weights."""
    model, histories = fit_augmented(
        make_model, *data, 'inject-same', seed=4, weight_decay=1e-2, epochs=2,
        progress=False,
    )  # fmt: skip
    assert list(histories) == ['augmented']
    categories, seen = data[0].categories, data[0].seen_items
    injection = VertexInjection(categories, mask=seen, same=True)
    transform = Compose([injection, NormalizeEdges()])
    assert_same(model, train_alone(data, transform, weight_decay=1e-2)[0])


def test_what_cannot_be_augmented(data, monkeypatch):
    with pytest.raises(ValueError, match="unknown augmentation 'noise'"):
        fit_augmented(make_model, *data, 'noise')
    with pytest.raises(ValueError, match='num_clusters=21 must be between 1'):
        fit_augmented(make_model, *data, 'gmm', num_clusters=21)
    # A column that is empty, and none.
    for categories in (torch.full((20,), -1), None):
        monkeypatch.setattr(data[0], 'categories', categories)
        for augment in ('category', 'inject-same'):
            match = f"'{augment}' needs a data set with item categories"
            with pytest.raises(ValueError, match=match):
                fit_augmented(make_model, *data, augment)


def test_a_second_training_changes_nothing(data, tmp_path):
    path = str(tmp_path / 'shop.pt')
    kwargs = {'checkpoint': path, 'epochs': 1, 'progress': False}
    fit_augmented(make_model, *data, 'i2i', **kwargs)
    before = {x.name: x.read_bytes() for x in tmp_path.iterdir()}
    lock = FileLock(f'{path}.lock')
    with lock, pytest.raises(BlockingIOError, match='another process trains'):
        fit_augmented(make_model, *data, 'i2i', **kwargs)
    Path(lock.lock_file).unlink(missing_ok=True)
    assert before == {x.name: x.read_bytes() for x in tmp_path.iterdir()}


@pytest.mark.parametrize('augment', ['i2i', 'kmeans'])
def test_the_base_stays_once_others_followed(data, tmp_path, augment):
    kwargs = {'num_clusters': 3, 'progress': False, 'schedule': 'steps'}
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


def test_the_base_stays_along_a_cosine(data, tmp_path):
    """Its epochs are a setting; patience may be another one."""
    kwargs = {'progress': False, 'schedule': 'cosine', 'min_delta': 9.0}
    kwargs.update(checkpoint=str(tmp_path / 'state'), epochs=6)
    runs = [
        fit_augmented(
            make_model, *data, 'i2i', patience=patience, resume=patience > 2,
            augmented_patience=patience, **kwargs,
        )[1]
        for patience in (2, 4)
    ]  # fmt: skip
    assert [len(run['base']) for run in runs] == [3, 3]
    assert [len(run['augmented']) for run in runs] == [3, 5]


def test_checkpoints_of_one_base_are_shared():
    gmm, i2i = (checkpoint_files('a', x) for x in ('gmm', 'i2i'))
    assert gmm['base'] == i2i['base']
    assert len({*gmm.values(), *i2i.values()}) == 5
