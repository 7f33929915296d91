"""What would run on another device, told without one."""

import pytest
import torch
from torch.testing import assert_close
from torch_geometric.testing import withCUDA
from torch_geometric.transforms import Compose

from pyg_sessaug import evaluate, fit
from pyg_sessaug.clusters import ItemClusters, ItemMixture
from pyg_sessaug.counts import VSKNN, CoVisits, NeighborItems
from pyg_sessaug.counts.session_counts import session_nodes
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.metrics import target_rank, top_items
from pyg_sessaug.nn import (
    CORE,
    GCEGNN,
    GCSAN,
    LESSR,
    NISER,
    SGNNHN,
    SRGNN,
    TAGNN,
    AttenMixer,
    Blend,
    GRU4Rec,
    SASRec,
    SRGNNPlus,
    SwitchCase,
)
from pyg_sessaug.nn.models.session_model import to_device
from pyg_sessaug.training import distributed, fit_blend, fit_repeats
from pyg_sessaug.transforms import (
    ClusterDistance,
    CovisitContext,
    GaussianBlur,
    ItemDistance,
    NeighborContext,
    NormalizeEdges,
    SoftClusterDistance,
    TimeDecay,
    WeightChannels,
)
from tests.pretend import PretendedGPU
from tests.waits import Copies, Narrow, OneDevice, Waits

N = 40
MODELS = {
    'srgnn': lambda **x: SRGNN(N, 8, **x),
    'scaled': lambda **x: SRGNN(
        N, 8, scale=12.0, dropout=0.2, table_dropout=0.2, **x
    ),
    'tagnn': lambda **x: TAGNN(N, 8, **x),
    'srgnn-plus': lambda **x: SRGNNPlus(N, 8, **x),
}
each_model = pytest.mark.parametrize('name', list(MODELS))


@pytest.fixture
def elsewhere(monkeypatch):
    """Lets all believe that tensors are on another device than the host."""
    # Those that ask for programs themselves have names of their own for it.
    name = 'pyg_sessaug.data.devices.is_exporting'
    monkeypatch.setattr(name, lambda: True)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    return [
        MultimodalSessions(root, split, num_sessions=100, num_items=N)
        for split in ('train', 'val')
    ]


@pytest.fixture
def batch(data):
    return next(iter(SessionLoader(data[0], 16, transform=NormalizeEdges())))


def make(name, **kwargs):
    torch.manual_seed(0)
    return MODELS[name](**kwargs)


def both(run, monkeypatch):
    """What a function says on the host, and what elsewhere."""
    here = run()
    with monkeypatch.context() as patch:
        patch.setattr('pyg_sessaug.data.devices.is_exporting', lambda: True)
        return here, run()


@each_model
def test_a_training_step_never_waits(name, batch, elsewhere):
    batch._checked = True  # As `to_device` leaves it.
    model = make(name)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    optimizer.zero_grad()
    with Waits() as waits, OneDevice():
        loss = model.loss(batch)
        loss.backward(loss.new_full((), 1.0))
        optimizer.step()
    assert not waits.count


@pytest.mark.parametrize('name', ['srgnn', 'tagnn'])
def test_an_epoch_waits_once_a_step(name, data):
    """On the host; elsewhere it reads losses once in many steps."""
    with Waits() as waits:
        fit(make(name), *data, epochs=1, batch_size=20, progress=False)
    steps = -(-len(data[0]) // 20)
    own = {k: v for k, v in waits.count.items() if 'elsewhere' not in k}
    assert sum(own.values()) <= steps


@pytest.mark.parametrize(
    'cls, most',
    [
        (GCSAN, 1),  # Clicks of the longest session.
        (CORE, 1),  # Pairs of clicks.
        (SASRec, 1),  # The same.
        (LESSR, 2),  # Shortcuts; and edges into each node, a copy.
        (GRU4Rec, 1),  # Clicks of each session, a copy.
        (NISER, 0),
        (SGNNHN, 0),
        (AttenMixer, 0),
        (GCEGNN, 0),
    ],
)
def test_what_other_models_wait_for(cls, most, batch, elsewhere):
    """In a training step, but for what torch.nn itself reads on the host."""
    batch._checked = True
    torch.manual_seed(0)
    model = cls(N, 8)
    with Waits() as waits, Copies() as copies:
        loss = model.loss(batch)
        loss.backward(loss.new_full((), 1.0))
    own = {k: v for k, v in waits.count.items() if 'gru4rec' not in k}
    assert sum(own.values()) + copies.count <= most, waits.count


@each_model
@pytest.mark.parametrize('precision', ['float32', 'bf16'])
def test_losses_are_the_same_elsewhere(name, precision, batch, monkeypatch):
    def run():
        model = make(name, precision=precision)
        torch.manual_seed(1)
        loss = model.loss(batch)
        loss.backward()
        return [loss.detach()] + [x.grad for x in model.parameters()]

    tolerance = {'float32': 1e-5, 'bf16': 0.02}[precision]
    assert_close(*both(run, monkeypatch), rtol=tolerance, atol=tolerance)


@each_model
def test_scores_and_ranks_are_the_same_elsewhere(
    name, batch, data, monkeypatch
):
    model = make(name).eval()
    with torch.no_grad():
        here, there = both(lambda: model.score(batch), monkeypatch)
    assert_close(there, here)
    score = (3 * here).round()  # With many ties
    score[:, 7] = -torch.inf
    here, there = both(lambda: target_rank(score, batch.y), monkeypatch)
    assert there.tolist() == here.tolist()
    here, there = both(lambda: evaluate(model, data[1]), monkeypatch)
    assert there == pytest.approx(here)


@pytest.mark.usefixtures('elsewhere')
def test_waits_for_ranks_and_the_best(batch):
    score = make('srgnn').eval().score(batch).detach()
    with Waits() as waits:
        target_rank(score, batch.y)
    assert waits.total <= 1
    with Waits() as waits:
        top_items(score, 20)
    assert waits.total <= 1


def transforms():
    torch.manual_seed(0)
    points = torch.randn(N, 4)
    clusters = ItemClusters.fit(points, 'kmeans', 4)
    return {
        'normalize': NormalizeEdges(),
        'item': ItemDistance(points),
        'cluster': ClusterDistance(clusters),
        'soft': SoftClusterDistance(ItemMixture.fit(points, 3)),
        'time': TimeDecay(),
        'channels': WeightChannels([ItemDistance(points), TimeDecay()]),
    }


@pytest.mark.parametrize('name', list(transforms()))
def test_transforms_never_wait_nor_need_float64(
    name, data, elsewhere, monkeypatch
):
    batch = next(iter(SessionLoader(data[0], 16)))
    batch.click_time = torch.arange(batch.click_index.numel()).float()
    transform = Compose([transforms()[name], NormalizeEdges()])
    torch.manual_seed(0)
    expected = transform(batch.clone())
    for module in ('utils', 'soft_cluster_distance', 'click_gaps'):
        path = f'pyg_sessaug.transforms.{module}.widest'
        monkeypatch.setattr(path, lambda x: torch.float32)
    torch.manual_seed(0)
    with Waits() as waits, OneDevice():
        out = transform(batch)
    assert not waits.count
    assert_close(out.edge_attr, expected.edge_attr)


@pytest.fixture
def narrow(monkeypatch):
    """What a device without float64, such as MPS, has modules believe."""
    modules = (
        'counts.covisits',
        'counts.neighbor_items',
        'counts.vsknn',
        'nn.models.switch_case',
    )
    for module in modules:
        path = f'pyg_sessaug.{module}.widest'
        monkeypatch.setattr(path, lambda x: torch.float32)


@pytest.mark.parametrize('name', ['covisits', 'vsknn', 'neighbors'])
def test_counts_need_no_float64(name, data, request):
    batch = next(iter(SessionLoader(data[0], 16)))

    def ask():
        if name == 'neighbors':  # Of what was never asked before, too.
            model = NeighborItems(N, 5).fit(data[0])
            return [*model(batch), *model._ask(session_nodes(batch))]
        model = {'covisits': CoVisits, 'vsknn': VSKNN}[name](N).fit(data[0])
        found = [model.score(batch)]
        if name == 'covisits':
            found.append(CovisitContext(model, 3)(batch)['context_weight'])
        return found

    expected = ask()
    request.getfixturevalue('narrow')
    with Narrow():
        assert_close(ask(), expected)


def test_switch_case_needs_no_float64(batch, request):
    torch.manual_seed(0)
    wide = SwitchCase(make('srgnn'), 3).eval()
    with torch.no_grad():
        wide.fit_clusters(wide.model(batch))
        expected = wide.label(batch), wide.score(batch)
    assert wide.to('cpu').mean.dtype == torch.float64
    request.getfixturevalue('narrow')
    model = wide.to('cpu')  # As to a device without it.
    assert model.mean.dtype == torch.float32
    with Narrow(), torch.no_grad():
        label, score = model.label(batch), model.score(batch)
    assert label.tolist() == expected[0].tolist()
    assert len(set(label.tolist())) > 1
    assert_close(score, expected[1])


def test_noise_is_drawn_without_a_look_at_values(batch):
    with Waits() as waits:
        GaussianBlur()(batch)
    assert not waits.count  # NumPy looks.


def test_a_batch_is_checked_before_it_moves(batch):
    out = to_device(batch.clone(), torch.device('meta'))
    assert {x.device.type for _, x in out if torch.is_tensor(x)} == {'meta'}
    assert out._checked
    batch.click_index_ptr[3] = batch.click_index_ptr[2]
    with pytest.raises(ValueError, match='session 2 of the batch has no cli'):
        to_device(batch, torch.device('meta'))


def test_processes_train_on_one_device_each():
    """DDP refuses parameters on several kinds of devices."""
    loss = distributed._Loss(make('srgnn').to('meta'))
    assert {x.device.type for x in loss.parameters()} == {'meta'}


@withCUDA
@each_model
def test_trains_and_ranks_on_a_device(name, data, device):
    results = []
    for where in ('cpu', device):
        model = make(name).to(where)
        history = fit(model, *data, epochs=2, progress=False, seed=0)
        metrics = evaluate(model.eval(), data[1])
        results.append((history[-1]['val_loss'], metrics['HR@20']))
    assert results[0] == pytest.approx(results[1], rel=0.05)


@pytest.fixture(scope='module')
def splits(tmp_path_factory):
    root = tmp_path_factory.mktemp('pretended')
    size = {'num_sessions': 120, 'num_items': 30}
    names = ('train', 'val', 'test')
    data = {x: MultimodalSessions(root, x, **size) for x in names}
    data['all'] = MultimodalSessions(root, val_ratio=0.0, **size)
    return data


def test_a_blend_is_on_one_device(splits):
    torch.manual_seed(0)
    model = SRGNNPlus(splits['train'].num_items, 8).eval()
    counts = VSKNN(model.num_items).fit(splits['train'])
    with PretendedGPU():
        assert model.item_embedding.device.type == 'cpu'
        term = fit_repeats(model.to('cuda'), splits['val'], progress=False)
        blend = fit_blend([term, counts], splits['val'], progress=False)
        assert {x.device.type for x in blend.buffers()} == {'cuda'}
        assert evaluate(blend, splits['test'])['HR@20'] > 0
        with pytest.raises(RuntimeError, match='two devices'):
            model.item_embedding + torch.zeros(model.num_items, 8)


def test_neighbours_on_another_device(splits):
    torch.manual_seed(0)
    model = SRGNNPlus.from_dataset(splits['train'], 8, context=3).eval()
    plain = SRGNN(model.num_items, 8).eval()
    neighbors = NeighborItems(model.num_items, 3).fit(splits['train'])
    plain.test_transform = Compose([NeighborContext(neighbors)])
    expected = evaluate(plain, splits['test'])
    with PretendedGPU():
        model.to('cuda').observe(splits['all'])
        assert evaluate(model, splits['test'])['HR@20'] > 0
        blend = Blend([plain, VSKNN(model.num_items).fit(splits['train'])])
        blend.to('cuda')
        blend.weight.copy_(torch.tensor([1.0, 0.0]))
        assert evaluate(blend, splits['test']) == pytest.approx(expected)
