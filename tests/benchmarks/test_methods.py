import json
from argparse import ArgumentTypeError, Namespace
from pathlib import Path

import pytest
import torch
from torch_geometric.transforms import Compose

from benchmarks import run
from benchmarks.experiments.methods import (
    WEIGHTED,
    Annealed,
    LiveItemDistance,
    Power,
    ShuffleGaps,
    Sources,
    parse_method,
)
from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import augmentations, augmented
from pyg_sessaug.transforms import (
    GaussianBlur,
    ItemDistance,
    NormalizeEdges,
    TimeDecay,
    VertexInjection,
    WeightChannels,
)

TINY = '--hidden 4 --epochs 1 --num-clusters 2 --seeds 0'.split()


@pytest.mark.parametrize('weights', WEIGHTED)
def test_names_of_weighted_methods(weights):
    for suffix, blur in (
        ('', True),
        ('-noblur', False),
        ('-shuffled', True),
        ('-shuffled-noblur', False),
    ):
        method = parse_method(weights + suffix)
        assert method.name == weights + suffix
        assert method.weights == weights
        assert method.blur == blur
        assert method.augmented == ('weight_decay', 'patience')
    with pytest.raises(ArgumentTypeError, match='unknown method'):
        parse_method(f'{weights}-noblur-shuffled')


@pytest.mark.parametrize('name', ['time', 'time-', 'i2i-', 'base-noblur', ''])
def test_names_that_are_none(name):
    with pytest.raises(ArgumentTypeError, match=f'unknown method {name!r}'):
        parse_method(name)


def test_shuffled_gaps_are_those_of_the_batch():
    torch.manual_seed(1)
    length = torch.tensor([4, 2, 7, 2])
    time = torch.rand(15).double().cumsum(0) * 100
    graphs = SessionGraphs(
        Sessions.from_lengths(torch.arange(15) % 5, length, time)
    )
    last = length.cumsum(0) - torch.arange(1, 5) - 1
    batch = graphs.batch(last)
    out = ShuffleGaps()(batch)

    def gaps(batch):
        parts = [data.click_time for data in batch.to_data_list()]
        return torch.cat([part.diff() for part in parts])

    before, after = gaps(batch), gaps(out).float()
    assert before.numel() == 7  # Prefixes of 3, 1, 6 and 1 clicks
    torch.testing.assert_close(after.sort()[0], before.sort()[0])
    assert not torch.allclose(after, before)


def test_times_weigh_edges(timed_log, tmp_path):
    command = ['--dataset', 'yoochoose_100k', '--root', str(timed_log)]
    command += [*TINY, '--output', str(tmp_path / 'out'), '--methods']
    names = ['time-linear', 'time-logarithmic-noblur']
    names.append('time-exponential-shuffled')
    run.main([*command, *names])
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert list(results['metrics']['HR@20']) == ['base', *names]
    about = {x['method']: x['weights'] for x in results['runs']}
    assert about['base'] is None
    for name in names:
        assert 0.3 < about[name]['changed_edges']['weights'] < 0.7


def test_times_are_needed(tmp_path):
    with pytest.raises(
        SystemExit, match=r'no click times in .*but time-linear needs them'
    ):
        run.main([*TINY, '--output', str(tmp_path), '--methods', 'base',
                  'time-linear'])  # fmt: skip


def three_sessions():
    length = torch.tensor([4, 3, 5])
    item = torch.tensor([0, 1, 2, 0, 3, 3, 4, 1, 4, 2, 0, 1])
    graphs = SessionGraphs(Sessions.from_lengths(item, length))
    return graphs.batch(torch.arange(3))


def test_live_distances_follow_the_model():
    model = SRGNN(5, hidden_channels=3)
    live = LiveItemDistance(model, p=1.0)
    before = live(three_sessions()).edge_weight
    with torch.no_grad():
        model.item_embedding.normal_()
    order = torch.tensor([1, 0, 2, 4, 3])
    for transform, embedding in (
        (live, model.item_embedding),
        (LiveItemDistance(model, 1.0, order), model.item_embedding[order]),
    ):
        batch = transform(three_sessions())
        expected = ItemDistance(embedding, 1.0)(three_sessions())
        assert torch.equal(batch.edge_weight, expected.edge_weight)
        assert not torch.equal(batch.edge_weight, before)
        assert not batch.edge_weight.requires_grad


def test_power_of_weights():
    batch = three_sessions()
    src, dst = batch.x[batch.edge_index]
    batch.edge_weight = 1.0 + src + dst
    out = Power(0.5)(batch).edge_weight
    assert torch.allclose(out, (1.0 + src + dst).sqrt())


def test_annealed_probabilities():
    steps = [ItemDistance(torch.randn(5, 3), 0.8), NormalizeEdges()]
    annealed = Annealed([*steps, GaussianBlur(0.5)], epochs=4)
    name = repr(annealed)
    for epoch, share in enumerate([1, 0.75, 0.5, 0.25, 0, 0]):
        annealed.set_epoch(epoch)
        p = [annealed.transforms[i].p for i in (0, 2)]
        assert p == pytest.approx([0.8 * share, 0.5 * share])
    plain = NormalizeEdges()(three_sessions())
    batch = annealed(three_sessions())
    assert torch.equal(batch.edge_attr, plain.edge_attr)
    assert repr(annealed) == name


def test_annealed_probabilities_of_parts():
    channels = WeightChannels([TimeDecay(p=0.8), Compose([])])
    shuffled = Compose([ShuffleGaps(), TimeDecay(p=0.4)])
    annealed = Annealed([channels, shuffled], epochs=2)
    annealed.set_epoch(1)
    assert channels.transforms[0].p == pytest.approx(0.4)
    assert shuffled.transforms[1].p == pytest.approx(0.2)


def test_options_of_weights_reach_training(tmp_path, monkeypatch):
    given = []

    def fit(model, train, val, transform, **kwargs):
        given.append(str(transform))
        return _fit(model, train, val, transform, **kwargs)

    _fit = augmented.fit
    monkeypatch.setattr(augmented, 'fit', fit)
    command = [*TINY, '--output', str(tmp_path), '--methods', 'live']
    options = '--fraction 0.1 --edge-p 0.3 --edge-power 2 --anneal 3'
    run.main([*command, *options.split()])
    base, live = given
    assert base.split('\n')[1:-1] == ['  NormalizeEdges()']
    for part in ('LiveItemDistance(p=0.3)', 'Power(2.0)', 'over 3 epochs'):
        assert part in live


def test_injected_items_are_trained_like_the_base(tmp_path, monkeypatch):
    calls = {}

    def fit(model, train, val, transform, **kwargs):
        calls[Path(kwargs['checkpoint']).name.split('.')[0]] = (
            str(transform),
            kwargs['weight_decay'],
            kwargs['patience'],
        )
        return _fit(model, train, val, transform, **kwargs)

    _fit = augmented.fit
    monkeypatch.setattr(augmented, 'fit', fit)
    command = [*TINY, '--output', str(tmp_path), '--methods', 'inject']
    run.main([*command, '--fraction', '0.1'])
    base, inject = calls['seed0-base'], calls['seed0-inject']
    assert base[1:] == inject[1:] == (1e-5, 5)
    injection, normalize = inject[0].split('\n  ')[1:]
    assert injection.startswith('VertexInjection(categories=[')
    assert injection.endswith('p=0.5, same=False),')
    assert normalize.startswith('NormalizeEdges()')


@pytest.mark.parametrize('name', ['inject-same', 'inject-cluster'])
def test_injected_items_of_the_same_kind(tmp_path, monkeypatch, name):
    given = {}

    class Injection(VertexInjection):
        def __init__(self, categories, **kwargs):
            given.update(categories=categories, **kwargs)
            super().__init__(categories, **kwargs)

    monkeypatch.setattr(augmentations, 'VertexInjection', Injection)
    options = ['--output', str(tmp_path), '--inject-p', '0.25']
    run.main([*TINY, *options, '--fraction', '0.1', '--methods', name])
    assert given['same']
    assert given['p'] == 0.25
    seen = given['mask']
    if name == 'inject-same':
        assert given['categories'].unique().numel() > 2  # No clusters
    else:  # KMeans on the items seen by the base model.
        path = tmp_path / 'models' / 'seed0-base.pt'
        embedding = torch.load(path)['model']['item_embedding']
        labels = given['categories']
        center = torch.stack(
            [embedding[seen & (labels == i)].mean(dim=0) for i in range(2)]
        )
        nearest = torch.cdist(embedding[seen], center).argmin(dim=1)
        assert (nearest == labels[seen]).all()


def test_categories_are_needed(timed_log, tmp_path):
    with pytest.raises(
        SystemExit, match=r'no item categories in .*but inject needs them'
    ):
        run.main(['--dataset', 'yoochoose_100k', '--root', str(timed_log),
                  *TINY, '--output', str(tmp_path / 'out'),
                  '--methods', 'inject'])  # fmt: skip


def test_covariance_is_a_variant_of_srgnn(tmp_path):
    with pytest.raises(SystemExit, match=r'variant of srgnn; .* not tagnn'):
        run.main([*TINY, '--output', str(tmp_path), '--model', 'tagnn',
                  '--methods', 'covariance'])  # fmt: skip


def test_shuffled_mixture_moves_seen_items_alone():
    embedding = torch.randn(60, 3)
    seen = torch.arange(60) % 4 > 0
    found = []
    for shuffled in (False, True):
        source = Sources(Namespace(seen_items=seen), embedding, 3)
        source.shuffled = shuffled
        found.append(source.mixture())
    plain, shuffled = found
    assert torch.equal(plain.centers, shuffled.centers)
    assert torch.equal(plain.posterior[~seen], shuffled.posterior[~seen])
    assert not torch.equal(plain.posterior, shuffled.posterior)
    rows = [sorted(x.posterior[seen].tolist()) for x in found]
    assert rows[0] == rows[1]
