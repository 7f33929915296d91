import pytest
import torch

from pyg_sessaug import Recommender, evaluate
from pyg_sessaug.__main__ import main
from pyg_sessaug.counts import VSKNN
from pyg_sessaug.datasets import MultimodalSessions, SessionLog
from pyg_sessaug.nn import Blend, CategoryTerm, RepeatTerm, SRGNNPlus
from pyg_sessaug.training import (
    fit,
    fit_blend,
    fit_categories,
    fit_repeats,
    fit_strongest,
    preset,
)
from pyg_sessaug.training.augmentations import derive
from pyg_sessaug.training.augmented import new_model
from pyg_sessaug.transforms import NormalizeEdges

OPTIONS = dict(
    epochs=3,
    lr=0.02,
    schedule='cosine',
    recency=1.0,
    progress=False,
)


@pytest.fixture(scope='module')
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp('shop') / 'clicks.csv'
    generator = torch.Generator().manual_seed(0)
    lines = ['session_id,item_id,time']
    for session in range(200):
        item = int(torch.randint(12, (1,), generator=generator))
        for click in range(2 + session % 4):
            lines.append(f'{session},{item},{5000 * session + click}')
            step = int(torch.randint(2, (1,), generator=generator))
            item = (item + 1 + step) % 12
    path.write_text('\n'.join(lines) + '\n')
    return path


def splits(log):
    def load(split, **kwargs):
        return SessionLog(str(log.parent), split, file=str(log), **kwargs)

    train, val, test = map(load, ('train', 'val', 'test'))
    return train, val, load('train', val_ratio=0.0), test


def make(train):
    return lambda: SRGNNPlus.from_dataset(train, 8)


@pytest.mark.parametrize('refit', [False, True])
def test_same_as_its_steps_one_by_one(log, refit):
    train, val, everything, test = splits(log)
    blend, history = fit_strongest(
        make(train), train, val, everything, refit, seed=3, **OPTIONS
    )

    seed = derive(3, 'base', 'training')
    model = new_model(make(train), 3)
    first = fit(model, train, val, seed=seed, **OPTIONS)
    bias = fit_repeats(model.eval(), val).bias
    term = RepeatTerm(model)
    term.bias.copy_(bias)
    counts = VSKNN(train.num_items).fit(train)
    weight = fit_blend([term, counts], val).weight
    if refit:
        model = new_model(make(train), 3)
        fit(model, train, val, seed=seed, refit=everything, **OPTIONS)
        term.model = model.eval()
    expected = Blend(
        [term, VSKNN(train.num_items).fit(everything)],
        weight.tolist(),
    ).eval()

    assert torch.equal(blend.weight, weight)
    batch = NormalizeEdges()(test.get_batch(torch.arange(20)))
    assert torch.equal(blend.score(batch), expected.score(batch))
    losses = [x['train_loss'] for x in history]
    assert losses[: len(first)] == [x['train_loss'] for x in first]
    assert (len(history) > len(first)) == refit


def test_categories_have_a_term(tmp_path):
    options = dict(num_sessions=600, num_items=30)
    train, val = (
        MultimodalSessions(tmp_path, x, **options) for x in ('train', 'val')
    )
    everything = MultimodalSessions(tmp_path, val_ratio=0.0, **options)
    data = train, val, everything
    blend, _ = fit_strongest(make(train), *data, seed=3, **OPTIONS)
    term = blend.members[0]
    assert [type(x) for x in (term, term.model, term.model.model)] == [
        CategoryTerm, RepeatTerm, SRGNNPlus,
    ]  # fmt: skip
    # As validation finds it for the network that it chose.
    again, _ = fit_strongest(make(train), *data, False, seed=3, **OPTIONS)
    network = again.members[0].model.model
    repeats = fit_repeats(network, val)
    expected = fit_categories(repeats, val)
    assert torch.equal(term.model.bias, repeats.bias)
    assert torch.equal(term.bias, expected.bias)
    # That with refit is another network under the same terms.
    new = term.model.model
    assert not torch.equal(network.item_embedding, new.item_embedding)


def test_an_interrupted_one_goes_on(log, tmp_path):
    train, val, everything, test = splits(log)
    path = str(tmp_path / 'state')
    args = make(train), train, val, everything

    def stop(history):
        if 'val_loss' not in history[-1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_strongest(*args, checkpoint=path, callback=stop, **OPTIONS)
    again, _ = fit_strongest(*args, checkpoint=path, resume=True, **OPTIONS)
    whole, _ = fit_strongest(*args, **OPTIONS)
    batch = NormalizeEdges()(test.get_batch(torch.arange(20)))
    assert torch.equal(again.score(batch), whole.score(batch))


def test_a_new_one_looks_at_no_earlier_state(log, tmp_path):
    train, val, everything, test = splits(log)
    path = str(tmp_path / 'state')
    data = train, val, everything

    def stop(history):
        if 'val_loss' not in history[-1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_strongest(
            make(train), *data, checkpoint=path, callback=stop, **OPTIONS
        )

    def other():  # As from an earlier model.
        model = make(train)()
        model.item_embedding.data.mul_(3)
        return model

    new, _ = fit_strongest(other, *data, checkpoint=path, **OPTIONS)
    expected, _ = fit_strongest(other, *data, **OPTIONS)
    batch = NormalizeEdges()(test.get_batch(torch.arange(20)))
    assert torch.equal(new.score(batch), expected.score(batch))


def test_sessions_that_are_kept_apart(log, tmp_path, capsys):
    words = ['train', '--log', str(log), '--val-file', str(log)]
    words += ['--test-file', str(log), '--output', str(tmp_path / 'x.pt')]
    with pytest.raises(SystemExit, match='--val-file keeps some of them'):
        main([*words, '--preset', 'best'])
    main([*words, '--model', 'vsknn', '--quiet'])
    about = Recommender.load(str(tmp_path / 'x.pt')).about
    assert 'refit' not in about


@pytest.mark.parametrize('name', ['quick', 'best'])
def test_one_command_and_one_file(log, tmp_path, name, capsys):
    path = str(tmp_path / 'shop.pt')
    small = '--hidden 8 --epochs 2 --device cpu'.split()
    data = ['--log', str(log)]
    main(['train', *data, '--preset', name, '--output', path, *small])
    assert sorted(
        x.name for x in tmp_path.iterdir() if 'lock' not in x.name
    ) == ['shop.pt']
    model = Recommender.load(path).model
    kinds = [type(x).__name__ for x in model.modules()]
    assert {'RepeatTerm', 'SRGNNPlus', 'VSKNN'} < set(kinds)
    out = capsys.readouterr().out
    assert ('anew, on all training sessions:' in out) == (name == 'best')
    kept = bool(model.members[0].bias.any())
    assert f'; {"a" if kept else "no"} term for repeats\n' in out
    main(['evaluate', path, *data, '--device', 'cpu'])
    *_, test = splits(log)
    known = 100 * evaluate(model, test)['HR@20']
    assert f'{known:.2f} %' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='validation sessions, too'):
        main(['evaluate', path, *data, '--split', 'val', '--device', 'cpu'])


def test_plain_graphs_alone(log):
    data = ['--log', str(log), '--preset', 'best', '--augment', 'blur']
    with pytest.raises(SystemExit, match='drop --augment blur'):
        main(['train', *data])


def test_what_the_presets_choose():
    samples = range(600_000)
    auto = preset('auto', samples)
    assert preset('best', samples) == {**auto, 'recency': 1.0}
    assert preset('quick', samples) == {**auto, 'epochs': 2}


def test_items_with_categories_have_their_term(log, tmp_path):
    first, *lines = log.read_text().splitlines()
    told = tmp_path / 'told.csv'
    rows = [f'{x},{int(x.split(",")[1]) % 3}' for x in lines]
    told.write_text('\n'.join([f'{first},kind', *rows]) + '\n')
    path = str(tmp_path / 'shop.pt')
    words = ['--preset', 'quick', '--output', path, '--hidden', '8', '--quiet']
    words += ['--epochs', '1', '--device', 'cpu', '--log', str(told)]
    for more in ([], ['--model', 'srgnn-modes']):
        main(['train', *words, '--category', 'kind', *more])
        model = Recommender.load(path).model
        kinds = {type(x).__name__ for x in model.modules()}
        assert ('SRGNNModes' in kinds) == bool(more)
        assert 'CategoryTerm' in kinds
    with pytest.raises(SystemExit, match='name their column'):
        main(['train', *words, '--model', 'srgnn-modes'])
