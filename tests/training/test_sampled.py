import math

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.transforms import Compose

from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.nn import LESSR, NISER, SRGNN, TAGNN
from pyg_sessaug.nn.loss.sampled import Negatives
from pyg_sessaug.nn.models.session_model import as_batch
from pyg_sessaug.training import best_epoch, fit, sampled, validation_loss
from pyg_sessaug.training.loop import Loop, Options
from pyg_sessaug.training.sampled import part_of, row_adam, sampled_loss
from pyg_sessaug.transforms import GaussianBlur, NormalizeEdges
from tests.strangers import Last

BLUR = Compose([NormalizeEdges(), GaussianBlur()])
MODELS = [
    (SRGNN, {}),
    (SRGNN, {'scale': 5.0, 'dropout': 0.2, 'table_dropout': 0.1}),
    (NISER, {}),
    (LESSR, {}),
    (Last, {}),
]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    return [
        MultimodalSessions(root, split, num_sessions=120, num_items=300)
        for split in ('train', 'val')
    ]


def make_model(cls=SRGNN, **kwargs):
    torch.manual_seed(0)
    return cls(300, hidden_channels=8, **kwargs)


def run(data, model=None, **kwargs):
    model = model or make_model()
    few = {'epochs': 3, 'batch_size': 20, 'schedule': 'steps', 'seed': 1}
    few.update(loss='sampled', num_negatives=30, transform=BLUR)
    history = fit(*[model, *data], progress=False, **{**few, **kwargs})
    for epoch in history:
        assert epoch.pop('seconds') > 0
    return model, history


class Everything:
    """Every item once, in place of draws; each is expected once."""

    def draw(self):
        return torch.arange(300)

    def log_count(self, item, num_targets):
        # The batch's own targets come again, and are left out.
        count = torch.zeros(item.numel())
        count[300:] = torch.inf
        return count


@pytest.mark.parametrize('cls,kwargs', MODELS)
def test_with_all_items_the_loss_is_exact(data, cls, kwargs):
    model = make_model(cls, **kwargs).eval()
    batch = NormalizeEdges()(data[0].get_batch(torch.arange(25)))
    loss = model.sampled_loss(batch, Everything())
    loss.backward()
    sparse = {k: p.grad.to_dense() for k, p in model.named_parameters()}
    model.zero_grad()
    expected = F.cross_entropy(model.score(batch), batch.y)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for name, p in model.named_parameters():
        assert torch.allclose(sparse[name], p.grad, atol=1e-6), name


def test_sessions_are_compared_with_draws_and_other_targets(data):
    model = make_model()
    batch = NormalizeEdges()(data[0].get_batch(torch.arange(40, 60)))
    # Few items, so that draws and targets meet a session's own by accident.
    negatives = Negatives(torch.bincount(batch.y, minlength=300), 30)
    torch.manual_seed(3)
    drawn = negatives.draw().tolist()
    torch.manual_seed(3)
    loss = model.sampled_loss(batch, negatives)
    score = model.score(batch).exp().tolist()
    weight = torch.bincount(batch.y, minlength=300).clamp(min=1) ** 0.75
    target = batch.y.tolist()
    expected, accidents = 0.0, 0
    for b, own in enumerate(target):
        total = score[b][own]
        for item in [*drawn, *target[:b], *target[b + 1 :]]:
            count = 30 * float(weight[item] / weight.sum())
            count += 19 * target.count(item) / 20
            accidents += item == own
            total += (item != own) * score[b][item] / count
        expected += math.log(total / score[b][own]) / 20
    assert accidents > 0
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('cls,kwargs', MODELS)
def test_a_step_touches_only_what_it_looked_up(data, cls, kwargs):
    model = make_model(cls, **kwargs)
    negatives = Negatives(torch.ones(300), 10)
    optimizer = row_adam(model, lr=0.1, weight_decay=0.1)
    batch = as_batch(NormalizeEdges()(data[0].get_batch(torch.arange(20))))
    torch.manual_seed(5)
    drawn = negatives.draw()
    torch.manual_seed(5)
    before = model.item_embedding.detach().clone()
    model.sampled_loss(batch, negatives).backward()
    optimizer.step()
    used = torch.cat([model.items(batch), drawn, batch.y]).unique()
    moved = (model.item_embedding.detach() != before).any(dim=1)
    rest = torch.ones(300, dtype=torch.bool)
    rest[used] = False
    assert int(rest.sum()) > 100
    assert not bool(moved[rest].any())
    assert float(moved[used].float().mean()) > 0.9
    state = optimizer.state[model.item_embedding]
    assert not bool(state['exp_avg'][rest].any())
    assert not bool(state['exp_avg_sq'][rest].any())


def test_training_lowers_the_exact_loss(data):
    model, history = run(data, lr=0.01, epochs=6)
    losses = [x['val_loss'] for x in history]
    assert losses[-1] < losses[0] < 5.8
    assert min(losses) == pytest.approx(validation_loss(model, data[1]))


@pytest.mark.parametrize(
    'kwargs',
    [
        {},
        {'ema': 0.9, 'schedule': 'cosine', 'warmup': 3, 'recency': 0.5},
    ],
)
def test_resume_is_bit_for_bit(data, tmp_path, kwargs):
    whole, history = run(data, **kwargs)
    path = str(tmp_path / 'state')
    stop = {'schedule': 'steps', **kwargs, 'checkpoint': path}

    def interrupt(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, callback=interrupt, **stop)
    again, rest = run(data, resume=True, **stop)
    assert rest == history
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    match = "made with num_negatives=30, not 31|made with loss='sampled'"
    for other in ({'num_negatives': 31}, {'loss': 'exact'}):
        with pytest.raises(ValueError, match=match):
            run(data, resume=True, **{**stop, **other})


def test_refit_goes_on_with_all_samples(data):
    _, history = run(data, refit=data[0])
    first, again = history[:3], history[3:]
    assert len(again) == best_epoch(first)
    assert again[0]['train_loss'] == first[0]['train_loss']


def test_popularity_is_that_of_targets(data):
    loader = SessionLoader(data[0][:50])
    loss = sampled_loss(make_model(), loader, None, 7, 0.0)
    target = torch.tensor([int(data[0][i].y) for i in range(50)])
    count = torch.bincount(target, minlength=300)
    negatives = loss.keywords['negatives']
    assert torch.allclose(negatives.target_share, count / 50)
    assert negatives.num_negatives == 7


def test_popularity_follows_recency(data):
    loop = Loop(
        make_model(),
        *[*data, NormalizeEdges()],
        *[options(recency=0.1), 1, 0, False, None],
    )
    share = loop.loss.keywords['negatives'].target_share
    index = torch.cat(
        [torch.tensor(list(loop.loader.sampler)) for _ in range(20)]
    )
    target = torch.cat([data[0].get_batch(i).y for i in index.split(500)])
    drawn = torch.bincount(target, minlength=300) / target.numel()
    # Each is drawn its expected number of times, rounded down or up.
    assert float((drawn - share).abs().max()) < 0.05 * float(share.max())


def options(**kwargs):
    values = dict(
        batch_size=20,
        lr=1e-3,
        weight_decay=0.0,
        min_delta=0.0,
        decay_every=2.0,
        decay_steps=None,
        decay=0.1,
        seed=0,
        schedule='steps',
        warmup=0,
        recency=None,
        ema=None,
        loss='sampled',
        num_negatives=10,
        negative_power=0.75,
    )
    return Options(**{**values, **kwargs})


def test_validation_is_on_some_samples(data, monkeypatch):
    assert part_of(data[1]) is data[1]
    assert len(part_of(range(50_000))) == 20_000
    monkeypatch.setattr(sampled, 'MAX_VALIDATION', 5)
    part = part_of(data[1])
    step = len(data[1]) / 5
    assert part.indices == [int(i * step) for i in range(5)]
    model, history = run(data, epochs=1)
    assert history[0]['val_loss'] == validation_loss(model, part)
    model, history = run(data, epochs=1, loss='exact')
    assert history[0]['val_loss'] == validation_loss(model, data[1])


class Own(SRGNN):
    def loss(self, data):
        return super().loss(data)


class Stranger(torch.nn.Module):
    num_items = 300
    item_embedding = torch.zeros(300, 8)

    def loss(self, data):
        raise NotImplementedError


def test_models_that_cannot(data, monkeypatch):
    for cls in (TAGNN, Own):
        match = f"the loss that a {cls.__name__} has.*with loss='exact'"
        with pytest.raises(ValueError, match=match):
            run(data, make_model(cls))
    Own.sampled_loss = lambda self, x, negatives: SRGNN.sampled_loss(
        self, x, negatives
    )
    run(data, make_model(Own), epochs=1)
    with pytest.raises(TypeError, match='Stranger has no sampled_loss'):
        run(data, Stranger())
    monkeypatch.setattr(sampled, 'world_size', lambda: 2)
    with pytest.raises(ValueError, match='in one process, but there are 2'):
        run(data)


@pytest.mark.parametrize(
    'kwargs',
    [{'loss': 'hinge'}, {'num_negatives': 0}, {'negative_power': -0.5}],
)
def test_bad_arguments(data, kwargs):
    with pytest.raises(ValueError, match=r'fit got loss=.* pass one of'):
        run(data, **kwargs)
