"""Trainings with transforms that change, or that are told apart."""

import threading

import pytest
import torch
from torch_geometric.transforms import Compose, ComposeFilters

from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.training.loop import tell_epoch
from pyg_sessaug.transforms import (
    GaussianBlur,
    ItemDistance,
    NormalizeEdges,
)
from tests.training.test_fit import BLUR, Interrupt, make_model, run, weights


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    return [
        MultimodalSessions(root, split, num_sessions=120, num_items=30)
        for split in ('train', 'val', 'test')
    ]


class Annealed(ItemDistance):
    """Writes down the epochs it is told of; its p is another in each."""

    def __init__(self, embedding, epochs):
        super().__init__(embedding)
        self.epochs = epochs

    def __getstate__(self):
        return {k: v for k, v in vars(self).items() if k != 'epochs'}

    def set_epoch(self, epoch):
        self.epochs.append(epoch)
        self.p = 0.8 / (1 + epoch)


class Half(torch.nn.Module):
    """As torchvision's wrappers: transforms in a list of modules."""

    batchwise = True

    def __init__(self, *transforms):
        super().__init__()
        self.transforms = transforms

    def forward(self, batch):
        return Compose(list(self.transforms))(batch)


@pytest.mark.parametrize(
    'wrap',
    [
        lambda x: Compose([x, NormalizeEdges()]),
        lambda x: Compose([Half(Compose([x])), NormalizeEdges()]),
        lambda x: Interrupt(0, transform=Compose([x, NormalizeEdges()])),
    ],
)
def test_transforms_at_every_depth_are_told_of_epochs(data, wrap):
    epochs = []
    transform = Annealed(torch.randn(30, 4), epochs)
    run(data, transform=wrap(transform))
    assert epochs == [0, 1, 2]
    assert transform.p == pytest.approx(0.8 / 3)


@pytest.mark.parametrize('batchwise', [False, True])
def test_how_often_a_transform_is_called(data, batchwise):
    """Once for each sample of each epoch, or for each batch if it says so."""
    seen = []

    def count(graphs):
        seen.append(getattr(graphs, 'num_graphs', None))
        return NormalizeEdges()(graphs)

    train, size = data[0], 20
    options = {'transform': count, 'epochs': 2, 'batch_size': size}
    if batchwise:
        count.batchwise = True
        run(data, **options)
        assert len(seen) == 2 * -(-len(train) // size)
        assert sum(seen) == 2 * len(train)
    else:
        with pytest.warns(UserWarning, match=r'count is .*batchwise = True'):
            run(data, **options)
        assert seen == [None] * (2 * len(train))


def test_filters_are_told_of_epochs():
    epochs = []
    transform = Annealed(torch.randn(30, 4), epochs)
    tell_epoch(ComposeFilters([Compose([transform])]), 3)
    assert epochs == [3]


def test_annealed_transforms_are_resumed(data, tmp_path):
    """By where they start; the same object does as well as a new one."""
    embedding, epochs = torch.randn(30, 4), []
    kwargs = {'checkpoint': str(tmp_path / 'state.pt')}

    def make():
        annealed = Annealed(embedding, epochs)
        return Compose([annealed, NormalizeEdges()])

    whole, history = run(data, transform=make(), epochs=4)
    transform = make()
    run(data, transform=transform, epochs=2, **kwargs)
    for again in (transform, make()):
        epochs.clear()
        model, losses = run(
            data,
            make_model(5),
            transform=again,
            epochs=4,
            resume=True,
            **kwargs,
        )
        assert losses == history
        assert torch.equal(weights(model), weights(whole))
    other = make()
    other.transforms[0].embedding += 1
    with pytest.raises(ValueError, match='was made with transform='):
        run(data, transform=other, resume=True, **kwargs)


def test_min_delta_is_a_setting_and_patience_none(data, tmp_path):
    kwargs = {'checkpoint': str(tmp_path / 'state.pt')}
    run(data, min_delta=0.5, epochs=2, **kwargs)
    with pytest.raises(ValueError, match=r'min_delta=0\.5, not 0\.0001'):
        run(data, resume=True, **kwargs)
    _, history = run(
        data, min_delta=0.5, patience=9, epochs=3, resume=True, **kwargs
    )
    assert len(history) == 3


class Bare:
    batchwise = True

    def __call__(self, batch):
        return BLUR(batch)


def closure(p):
    def blur(batch):
        return GaussianBlur(p)(NormalizeEdges()(batch))

    blur.batchwise = True
    return blur


def test_any_callable_is_resumed(data, tmp_path):
    for i, make in enumerate([Bare, lambda: closure(0.1)]):
        kwargs = {'checkpoint': str(tmp_path / f'{i}')}
        run(data, transform=make(), epochs=1, **kwargs)
        _, history = run(data, transform=make(), resume=True, **kwargs)
        assert history == run(data, transform=make())[1]
    with pytest.raises(ValueError, match='was made with transform='):
        run(data, transform=closure(0.2), resume=True, **kwargs)


def test_what_cannot_be_told_takes_no_checkpoint(data, tmp_path):
    path = tmp_path / 'state.pt'
    transform = Interrupt(0)
    transform.transform = Compose([BLUR])
    transform.transform.lock = threading.Lock()
    run(data, transform=transform, epochs=1)
    with pytest.raises(ValueError, match=r'lock.*__getstate__'):
        run(data, transform=transform, checkpoint=str(path))
    assert not path.exists()
