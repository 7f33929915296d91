from contextlib import ExitStack

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.transforms import Compose

from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.files import load_state
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import best_epoch, fit
from pyg_sessaug.training import loop as training
from pyg_sessaug.transforms import GaussianBlur, ItemDistance, NormalizeEdges

BLUR = Compose([NormalizeEdges(), GaussianBlur()])


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return tmp_path_factory.mktemp('multimodal')


@pytest.fixture(scope='module')
def data(root):
    return [
        MultimodalSessions(root, split, num_sessions=120, num_items=30)
        for split in ('train', 'val', 'test')
    ]


def make_model(seed=0, **kwargs):
    torch.manual_seed(seed)
    return SRGNN(30, hidden_channels=8, num_layers=1, **kwargs)


def run(data, model=None, **kwargs):
    model = model or make_model()
    few = {'epochs': 3, 'batch_size': 20, 'schedule': 'steps'}
    kwargs = {**few, 'seed': 1, **kwargs}
    history = fit(model, data[0], data[1], progress=False, **kwargs)
    for epoch in history:
        assert epoch.pop('seconds') > 0
    return model, history


def weights(model):
    return torch.cat([p.detach().view(-1) for p in model.parameters()])


class Interrupt:
    """Fails at the given call of a transform, as Ctrl-C would."""

    batchwise = True

    def __init__(self, call, error=KeyboardInterrupt, transform=BLUR):
        self.call, self.error, self.transform = call, error, transform

    def __getstate__(self):
        return self.transform

    def __call__(self, batch):
        self.call -= 1
        if self.call == 0:
            raise self.error('stopped')
        return self.transform(batch)


def test_loss_falls_and_history_tells(data):
    model, history = run(data, lr=0.01)
    assert [list(x) for x in history] == [
        ['epoch', 'lr', 'train_loss', 'val_loss']
    ] * 3
    assert history[-1]['train_loss'] < history[0]['train_loss'] < 4
    val_loss = training.validation_loss(model, data[1])
    assert val_loss == min(x['val_loss'] for x in history)


def test_validation_loss_is_the_mean_over_samples(data):
    model = make_model()
    batch = NormalizeEdges()(data[1].get_batch(torch.arange(len(data[1]))))
    loss = F.cross_entropy(model.score(batch), batch.y)
    for batch_size in (7, 1000):
        out = training.validation_loss(model, data[1], batch_size)
        assert out == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize(
    'losses,patience,epochs,best',
    [
        ([3.0, 2.0, 2.5, 2.1], 2, 4, 2),
        ([3.0, 2.0, 2.5, 1.0, 2.0, 2.0], 2, 6, 4),
        # Less than `min_delta` is no improvement, neither step by step ...
        ([2.0, 1.99995, 1.9999, 9.0], 2, 3, 1),
        # ... but what adds up to it is.
        ([2.0, 1.99995, 1.9998, 9.0, 9.0], 2, 5, 3),
        ([2.0, 3.0, 4.0], 5, 3, 1),
    ],
)
def test_early_stopping(data, monkeypatch, losses, patience, epochs, best):
    seen = []

    def validation_loss(model, val):
        seen.append(weights(model))
        return losses[len(seen) - 1]

    monkeypatch.setattr(training, 'validation_loss', validation_loss)
    model, history = run(data, epochs=len(losses), patience=patience)
    assert len(history) == len(seen) == epochs
    assert best_epoch(history) == best
    assert torch.equal(weights(model), seen[best - 1])
    assert not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize(
    'kwargs,expected',
    [
        ({}, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5]),
        ({'decay_every': 1, 'decay': 0.5}, [1e-3 / 2**i for i in range(5)]),
        ({'decay_steps': 10**6}, [1e-3] * 5),
    ],
)
def test_learning_rate(data, kwargs, expected):
    _, history = run(data, epochs=5, **kwargs)
    assert [x['lr'] for x in history] == pytest.approx(expected)


def test_learning_rate_decays_within_an_epoch(data):
    steps = -(-len(data[0]) // 20)
    _, history = run(data, decay_steps=steps + 1)
    assert [x['lr'] for x in history] == pytest.approx([1e-3, 1e-3, 1e-4])


def test_a_seed_fixes_everything(data):
    first, second = (run(data, transform=BLUR) for _ in range(2))
    assert first[1] == second[1]
    assert torch.equal(weights(first[0]), weights(second[0]))
    third = run(data, transform=BLUR, seed=2)
    assert first[1] != third[1]


@pytest.mark.parametrize('epoch', [1, 2, 4])
def test_resumed_run_is_the_undisturbed_one(data, tmp_path, epoch):
    path = str(tmp_path / 'state.pt')
    kwargs = dict(epochs=4, checkpoint=path, resume=True)
    steps = -(-len(data[0]) // 20)
    model, history = run(
        data, make_model(dropout=0.2), epochs=4, transform=Interrupt(0)
    )
    with pytest.raises(KeyboardInterrupt):
        run(
            data,
            make_model(dropout=0.2),
            transform=Interrupt(steps * epoch - steps // 2),
            **kwargs,
        )
    torch.rand(7)  # Another state of the generator
    # Nor do the weights matter that the second attempt starts from.
    other, other_history = run(
        data, make_model(5, dropout=0.2), transform=Interrupt(0), **kwargs
    )
    assert other_history == history
    assert torch.equal(weights(other), weights(model))

    # A finished run trains no further.
    again, again_history = run(
        data, make_model(6, dropout=0.2), transform=Interrupt(1), **kwargs
    )
    assert again_history == history
    assert torch.equal(weights(again), weights(model))


def test_without_resume_a_checkpoint_is_replaced(data, tmp_path):
    path = str(tmp_path / 'state.pt')
    run(data, checkpoint=path, epochs=1)
    _, history = run(data, checkpoint=path, lr=0.01, epochs=2)
    assert [x['lr'] for x in history] == [0.01, 0.01]


def test_interrupt_says_how_to_go_on(data, tmp_path, capsys):
    path = str(tmp_path / 'state.pt')
    with pytest.raises(KeyboardInterrupt):
        run(data, checkpoint=path, transform=Interrupt(2))
    out = capsys.readouterr()
    assert f'{path} holds the state' in out.out + out.err


def test_other_settings_are_not_resumed(data, tmp_path):
    path = str(tmp_path / 'state.pt')
    run(data, checkpoint=path, epochs=1)
    for kwargs in ({'lr': 0.5}, {'batch_size': 7}, {'transform': BLUR}):
        name = next(iter(kwargs))
        with pytest.raises(ValueError, match=f'was made with {name}='):
            run(data, checkpoint=path, resume=True, **kwargs)
    with pytest.raises(ValueError, match='was made with model='):
        run(data, make_model(scale=2.0), checkpoint=path, resume=True)


def test_other_data_of_the_same_size_are_not_resumed(data, tmp_path):
    path = str(tmp_path / 'state.pt')
    train, val, test = data
    run([train[:50], val], checkpoint=path, epochs=1)
    for other in ([train[50:100], val], [train[:50], test]):
        with pytest.raises(ValueError, match='was made with data='):
            run(other, checkpoint=path, resume=True)
    assert len(run([train[:50], val], checkpoint=path, resume=True)[1]) == 3


def test_other_tensors_are_not_resumed(data, tmp_path):
    path = str(tmp_path / 'state.pt')
    torch.manual_seed(0)
    one, other = torch.randn(2, 30, 4)

    def weigh(embedding):
        return Compose([ItemDistance(embedding), NormalizeEdges()])

    run(data, transform=weigh(one), checkpoint=path, epochs=1)
    kwargs = {'checkpoint': path, 'resume': True}
    assert len(run(data, transform=weigh(one.clone()), **kwargs)[1]) == 3
    with pytest.raises(ValueError, match='was made with transform='):
        run(data, transform=weigh(other), **kwargs)


@pytest.mark.parametrize('training', [True, False])
def test_the_mode_of_the_model_stays(data, training):
    model = make_model().train(training)
    run(data, model, epochs=1)
    assert model.training == training


def test_damaged_checkpoint(data, tmp_path):
    path = tmp_path / 'state.pt'
    run(data, checkpoint=str(path), epochs=1)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match='delete it to start anew'):
        run(data, checkpoint=str(path), resume=True)


def test_full_disk_keeps_the_last_epoch(data, tmp_path, full_disk):
    path = str(tmp_path / 'state.pt')
    model, history = run(data, make_model(), epochs=3)

    class Fill:
        batchwise = True
        calls = 0

        def __getstate__(self):
            return None

        def __call__(self, batch):
            self.calls += 1
            if self.calls == steps + 1:  # In the second epoch
                stack.enter_context(full_disk(1000))
            return NormalizeEdges()(batch)

    steps = -(-len(data[0]) // 20)
    with (
        ExitStack() as stack,
        pytest.raises(
            OSError, match=r'File too large; nothing was changed.*state\.pt'
        ),
    ):
        run(data, make_model(), epochs=3, checkpoint=path, transform=Fill())
    assert [x.name for x in tmp_path.iterdir()] == ['state.pt']
    state = load_state(path, '')
    assert [x['epoch'] for x in state['history']] == [1]
    rest = Fill()
    rest.calls = steps + 1
    kwargs = {'checkpoint': path, 'resume': True, 'transform': rest}
    again, again_history = run(data, make_model(5), epochs=3, **kwargs)
    assert again_history == history
    assert torch.equal(weights(again), weights(model))


def test_losses_that_are_not_finite(data, monkeypatch):
    def poison(batch):
        batch = NormalizeEdges()(batch)
        batch.edge_attr = batch.edge_attr * float('nan')
        return batch

    with pytest.raises(ValueError, match='training loss became nan in ep'):
        run(data, transform=poison)
    monkeypatch.setattr(training, 'validation_loss', lambda *_: float('inf'))
    with pytest.raises(ValueError, match='validation loss became inf in ep'):
        run(data)


@pytest.mark.parametrize('kwargs', [{'epochs': 0}, {'patience': 0}])
def test_no_epochs(data, kwargs):
    with pytest.raises(ValueError, match='pass at least 1 of each'):
        run(data, **kwargs)


@pytest.mark.parametrize('kwargs', [{'decay_every': 0}, {'decay_steps': 0}])
def test_no_steps_between_decays(data, kwargs):
    with pytest.raises(ValueError, match='pass a positive number'):
        run(data, **kwargs)


def test_items_beyond_the_model(data):
    with pytest.raises(ValueError, match=r'30 items.* for 29; make it with'):
        run(data, SRGNN(29, hidden_channels=8))


def test_nothing_to_train_on(data):
    with pytest.raises(ValueError, match='got 0 for training'):
        fit(make_model(), data[0][:0], data[1])


def test_transform_of_the_data_set_is_used(root, data):
    embedding = torch.randn(30, 4)
    transform = Compose([ItemDistance(embedding), NormalizeEdges()])
    train = MultimodalSessions(
        root, num_sessions=120, num_items=30, transform=transform
    )
    _, given = run(data, transform=transform)
    _, own = run([train, data[1]])
    _, plain = run(data)
    assert own == given != plain
