import math

import pytest
import torch

from pyg_sessaug import SessionLoader, fit
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import GCEGNN, NISER, SRGNN
from pyg_sessaug.training.loop import best_epoch, validation_loss
from pyg_sessaug.training.schedule import RecencySampler, by_recency
from tests.training.test_fit import Interrupt

OPTIONS = {
    'cosine': dict(schedule='cosine', warmup=3),
    'recency': dict(recency=0.5),
    'ema': dict(ema=0.9),
    'refit': {},  # With a data set of its own
    'all': dict(schedule='cosine', warmup=3, recency=0.5, ema=0.9),
}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    options = dict(num_sessions=120, num_items=30)
    return [
        MultimodalSessions(root, 'train', **options),
        MultimodalSessions(root, 'val', **options),
        MultimodalSessions(root, 'train', val_ratio=0.0, **options),
    ]


def run(data, **kwargs):
    torch.manual_seed(0)
    model = SRGNN(30, 8, num_layers=1)
    kwargs = {'epochs': 4, 'batch_size': 20, 'seed': 1, 'lr': 0.1, **kwargs}
    history = fit(model, data[0], data[1], progress=False, **kwargs)
    for entry in history:
        entry.pop('seconds')
    return model, history


def test_rates_of_a_cosine(data):
    """Those of the formula, at the first step of each epoch."""
    steps = math.ceil(len(data[0]) / 20)
    _, history = run(data, schedule='cosine', warmup=5, lr=0.01)
    total = 4 * steps - 5
    expected = [0.01 / 6] + [
        0.01 * (1 + math.cos(math.pi * (epoch * steps - 5) / total)) / 2
        for epoch in (1, 2, 3)
    ]
    assert [x['lr'] for x in history] == pytest.approx(expected, rel=1e-5)


def test_newer_sessions_are_drawn_more_often(data):
    loader = SessionLoader(data[0], 1)
    sampler = by_recency(loader, 0.5)
    assert len(sampler) == len(data[0])
    sessions = data[0].flat_sessions
    own = sessions.session_of(sessions.target)
    count = torch.zeros(sessions.num_sessions)
    torch.manual_seed(0)
    rounds = 400
    for _ in range(rounds):
        drawn = own[list(sampler)]
        count += torch.bincount(drawn, minlength=count.numel())
    age = torch.arange(count.numel()).flip(0) / count.numel()
    share = torch.exp(-age / 0.5) * torch.bincount(own)
    expected = rounds * len(sampler) * share / share.sum()
    # A session's samples are neighbours, so each round draws them as often as
    # their share says, rounded down or up; five deviations of such rounding:
    assert ((count - expected).abs() < 5 * 0.5 * rounds**0.5).all()

    # Each as often as its share says, rounded down or up.
    drawn = torch.bincount(torch.tensor(list(sampler)), minlength=own.numel())
    mean = len(sampler) * torch.exp(-age / 0.5)[own]
    mean /= torch.exp(-age / 0.5)[own].sum()
    assert ((drawn >= mean.floor()) & (drawn <= mean.ceil())).all()
    assert drawn.max() > 1
    assert not torch.equal(*(torch.tensor(list(sampler)) for _ in range(2)))

    alike = RecencySampler(torch.arange(3), 3, 1e9)
    assert sorted(alike) == [0, 1, 2]


def test_average_of_the_weights(data):
    """The mean of all steps by hand, and that it is what is kept."""
    model, history = run(data, ema=0.5, epochs=1, batch_size=len(data[0]))
    torch.manual_seed(0)
    plain = SRGNN(30, 8, num_layers=1)
    start = plain.item_embedding.detach().clone()
    fit(
        plain,
        data[0],
        data[1],
        epochs=1,
        batch_size=len(data[0]),
        seed=1,
        lr=0.1,
        progress=False,
    )
    # The first step sets the average, as torch's does.
    assert not torch.equal(start, plain.item_embedding)
    torch.testing.assert_close(model.item_embedding, plain.item_embedding)
    assert history[0]['val_loss'] == validation_loss(model, data[1])

    long, history = run(data, ema=0.9, epochs=2)
    best = best_epoch(history)
    loss = validation_loss(long, data[1])
    assert loss == pytest.approx(history[best - 1]['val_loss'])
    assert loss != pytest.approx(run(data, epochs=2)[1][best - 1]['val_loss'])


def test_refit_trains_on_everything_for_the_chosen_epochs(data):
    chosen, history = run(data)
    best = best_epoch(history)
    model, both = run(data, refit=data[2])
    assert both[: len(history)] == history
    again = both[len(history) :]
    assert [x['epoch'] for x in again] == list(range(1, best + 1))
    assert all('val_loss' not in x for x in again)
    # As if the data set had been whole, with the same start and order, until
    # validation draws from the generator:
    torch.manual_seed(0)
    whole = SRGNN(30, 8, num_layers=1)
    options = dict(batch_size=20, seed=1, lr=0.1, progress=False)
    (plain,) = fit(whole, data[2], data[1], epochs=1, **options)
    assert plain['train_loss'] == again[0]['train_loss']
    assert not torch.equal(model.item_embedding, chosen.item_embedding)


@pytest.mark.parametrize(
    ('cls', 'options'),
    [
        (GCEGNN, {}),
        (NISER, {'context': 3}),
        (NISER, {'context': 3, 'shuffled_context': True}),
    ],
)
def test_refit_looks_at_all_sessions(data, tmp_path, cls, options):
    """A model that asks training sessions asks those it is trained on, also
    once it goes on from a file.
    """
    kwargs = dict(epochs=2, batch_size=20, seed=1, progress=False)
    kwargs['checkpoint'] = str(tmp_path / 'state')
    torch.manual_seed(0)
    fresh = dict(cls.from_dataset(data[2], 8, **options).named_buffers())
    for resume in (False, True):
        torch.manual_seed(0)
        model = cls.from_dataset(data[0], 8, **options)
        # Items exchanged by popularity stay exchanged as at first.
        order = {x: y for x, y in model.named_buffers() if 'order' in x}
        fit(model, data[0], data[1], refit=data[2], resume=resume, **kwargs)
        for name, value in model.named_buffers():
            assert torch.equal(value, order.get(name, fresh[name]))


def test_refit_needs_whole_sessions(data):
    model = GCEGNN.from_dataset(data[0], 8)
    with pytest.raises(ValueError, match='got the val split; pass the train'):
        model.observe(data[1])
    with pytest.raises(ValueError, match='training split, whole'):
        model.observe(torch.utils.data.Subset(data[2], [0, 1]))
    with pytest.raises(ValueError, match='a slice of 3 samples'):
        GCEGNN.from_dataset(data[0][:3], 8)


@pytest.mark.parametrize('name', OPTIONS)
@pytest.mark.parametrize('call', [9, 40])
def test_each_is_resumed_bit_for_bit(data, tmp_path, name, call):
    options = dict(OPTIONS[name])
    if name in ('refit', 'all'):
        options['refit'] = data[2]
    whole, expected = run(data, transform=Interrupt(0), **options)
    path = str(tmp_path / 'a.part')
    steps = math.ceil(len(data[0]) / 20)
    if call == 40:  # In the refit, if there is one.
        call = steps * len([x for x in expected if 'val_loss' in x])
        call += 3 if 'refit' in options else -3
    with pytest.raises(KeyboardInterrupt):
        run(
            data,
            checkpoint=path,
            transform=Interrupt(call),
            **options,
        )
    model, history = run(
        data,
        checkpoint=path,
        resume=True,
        transform=Interrupt(0),
        **options,
    )
    assert history == expected
    for own, other in zip(model.parameters(), whole.parameters()):
        assert torch.equal(own, other)


def test_callback_gets_the_history(data):
    lengths = []
    _, history = run(data, callback=lambda x: lengths.append(len(x)))
    assert lengths == list(range(1, len(history) + 1))
    # That of training anew goes on.
    lengths.clear()
    _, history = run(
        data, refit=data[2], callback=lambda x: lengths.append(len(x))
    )
    assert lengths == list(range(1, len(history) + 1))


@pytest.mark.parametrize(
    ('kwargs', 'word'),
    [
        (dict(schedule='linear'), "'linear'"),
        (dict(warmup=-1), 'warmup=-1'),
        (dict(recency=0.0), r'recency=0\.0'),
        (dict(ema=1.0), r'ema=1\.0'),
    ],
)
def test_bad_arguments(data, kwargs, word):
    with pytest.raises(ValueError, match=word):
        run(data, **kwargs)
