import pytest
import torch

from benchmarks.experiments.datasets import SPLITS
from benchmarks.studies import initial_embeddings
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN

OPTIONS = '--hidden 8 --epochs 2 --lr 0.01'.split()


def test_items_clicked_together_get_near_vectors(tmp_path):
    data = MultimodalSessions(tmp_path, num_sessions=4000, num_items=60)
    data.flat_sessions.kept[:] = torch.randint(
        20, data.flat_sessions.item.shape
    )
    session = torch.repeat_interleave(data.flat_sessions.length)
    data.flat_sessions.kept[:] += 20 * (session % 2)
    torch.manual_seed(3)
    vectors = initial_embeddings.word2vec(data, 8)
    assert vectors[40:].abs().max() == 0  # Nobody clicked them.
    near = torch.nn.functional.normalize(vectors[:40], dim=1)
    near = near @ near.t()
    inside = (near[:20, :20].mean() + near[20:, 20:].mean()) / 2
    assert inside > near[:20, 20:].mean() + 0.1
    torch.manual_seed(3)
    assert torch.equal(initial_embeddings.word2vec(data, 8), vectors)


def test_study(run_study, tmp_path, monkeypatch):
    kept, fit = {}, initial_embeddings.fit

    def watched(model, train, *args, **kwargs):
        name = list(initial_embeddings.METHODS)[len(kept)]
        kept[name] = [x.clone() for x in model.state_dict().values()]
        loss, first = model.loss, model.item_embedding.detach().clone()

        def noted(batch):
            changed = not torch.equal(model.item_embedding, first)
            if model.training:
                changes.setdefault(name, []).append(changed)
            return loss(batch)

        model.loss = noted
        return fit(model, train, *args, **kwargs)

    changes = {}
    monkeypatch.setattr(initial_embeddings, 'fit', watched)
    results = run_study(initial_embeddings, *OPTIONS)
    steps = results['steps_per_epoch']
    # Whether item vectors had moved before each step:
    assert changes['normal'] == [False] + [True] * (2 * steps - 1)
    assert changes['frozen'] == [False] * (steps + 1) + [True] * (steps - 1)
    for i, name in enumerate(kept['normal']):
        same = torch.equal(name, kept['word2vec'][i])
        assert same == (i > 0)  # All but the item vectors, which come first.
        assert torch.equal(kept['word2vec'][i], kept['frozen'][i])

    for x in results['models'].values():
        assert len(x['losses']) == 2 * steps
        assert x['val_loss'] == min(e['val_loss'] for e in x['epochs'])
        assert 0 < x['MRR@20'] < x['HR@20'] <= 100
        # The last batch of an epoch is smaller, so the means nearly agree.
        mean = sum(x['losses'][:steps]) / steps
        assert mean == pytest.approx(x['epochs'][0]['train_loss'], abs=0.05)
    models = results['models']
    assert models['normal']['initial_std'] == pytest.approx(0.1, abs=0.02)
    assert models['word2vec']['losses'][0] == models['frozen']['losses'][0]
    assert models['word2vec']['losses'] != models['frozen']['losses']
    assert (tmp_path / 'initial_embeddings.png').stat().st_size > 10_000


def test_learning_rate_decays_by_the_steps_of_the_whole_set(
    tmp_path, monkeypatch
):
    seen = []

    def fit(model, train, val, **kwargs):
        seen.append(kwargs)
        raise ValueError('enough')

    monkeypatch.setattr(initial_embeddings, 'fit', fit)
    command = ['--dataset', 'multimodal', '--fraction', '0.25', *OPTIONS]
    with pytest.raises(ValueError, match='enough'):
        initial_embeddings.main([*command, '--output', str(tmp_path)])
    assert seen[0]['decay_every'] == 8
    assert seen[0]['patience'] == seen[0]['epochs'] == 2


def test_recorded_losses_are_those_of_training(tiny_data, tmp_path):
    data = [tiny_data(tmp_path, x) for x in SPLITS]
    histories = []
    for noted in (False, True):
        torch.manual_seed(0)
        model = SRGNN(60, 8)
        losses = initial_embeddings.record(model, 0) if noted else []
        histories.append(
            initial_embeddings.fit(
                model, *data[:2], epochs=1, seed=1, progress=False
            )[0]
        )
    for key in ('train_loss', 'val_loss'):
        assert histories[0][key] == histories[1][key]
    assert len(losses) == -(-len(data[0]) // 100)


def test_moving_average():
    losses = [float(i) for i in range(120)]
    curve = initial_embeddings.smooth(losses).tolist()
    assert curve[0] == 0
    assert curve[9] == pytest.approx(4.5)
    assert curve[119] == pytest.approx(sum(range(70, 120)) / 50)
