"""Yesterday's model as the start of today's."""

import csv
from types import SimpleNamespace

import pytest
import torch

from pyg_sessaug import Recommender, evaluate, fit
from pyg_sessaug.__main__ import main
from pyg_sessaug.counts import CoVisits
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import SessionLog
from pyg_sessaug.nn import CORE, GCEGNN, SRGNN, Blend
from pyg_sessaug.registry import MODELS, find_class
from pyg_sessaug.training import warm_start

OLD = ['a', 'b', 'c', 'd', 'e']
NEW = ['n', 'c', 'a', 'm', 'e', 'alone']
#: By index of NEW: n with c, c, a and with e; m with e twice; alone twice.
CLICKS = [[0, 1, 1, 2], [0, 4, 0], [3, 4, 3, 4], [5, 5], [2, 1]]


def data(ids=NEW, clicks=CLICKS):
    length = torch.tensor([len(x) for x in clicks])
    item = torch.tensor([i for x in clicks for i in x])
    return SimpleNamespace(
        split='train',
        num_items=len(ids),
        item_ids=ids,
        flat_sessions=Sessions.from_lengths(item, length),
        categories=torch.arange(len(ids)) % 2,
    )


def earlier(ids=OLD, cls=SRGNN, **kwargs):
    torch.manual_seed(0)
    return Recommender(cls(len(ids), 4, **kwargs), ids)


def made(cls=SRGNN, train=None, **kwargs):
    torch.manual_seed(1)
    return cls.from_dataset(train or data(), 4, **kwargs)


def test_items_by_id_and_new_ones_by_their_company():
    old, model = earlier(), made()
    drawn = model.item_embedding.detach().clone()
    assert warm_start(model, old, data()) == {'kept': 3, 'new': 3, 'gone': 2}
    a, _, c, _, e = old.model.item_embedding.detach()
    expected = torch.stack([(2 * c + a + e) / 4, c, a, e, e, drawn[5]])
    assert torch.allclose(model.item_embedding, expected)
    for name, weight in model.named_parameters():
        if name != 'item_embedding':
            assert torch.equal(weight, old.model.get_parameter(name))


@pytest.mark.parametrize('name', MODELS)
def test_every_model_of_the_same_items_is_the_earlier_one(name):
    cls = find_class(name)
    train = data(OLD, [[0, 1, 2], [3, 4, 0, 0]])
    torch.manual_seed(0)
    first, second = (cls.from_dataset(train, 4).eval() for _ in range(2))
    for name, value in first.named_buffers():
        if 'running' in name:
            value.uniform_(0.5, 2.0)
    counts = warm_start(second, Recommender(first, OLD), train)
    assert counts == {'kept': 5, 'new': 0, 'gone': 0}
    ask = [OLD[:3], OLD[2:], ['d', 'd']]
    found = [
        Recommender(model, OLD).recommend(ask, return_scores=True)
        for model in (first, second)
    ]
    assert found[0] == found[1]


def test_what_a_model_counts_is_of_today():
    old = earlier(cls=GCEGNN)
    model, other = (made(GCEGNN) for _ in range(2))
    warm_start(model, old, data())
    assert torch.equal(model.neighbor, other.neighbor)
    assert torch.equal(model.count, other.count)


def test_integer_ids():
    train = data()
    train.item_ids = torch.tensor([9, 3, 1, 8, 5, 7])
    model = made(train=train)
    counts = warm_start(model, earlier([1, 2, 3, 4, 5]), train)
    assert counts == {'kept': 3, 'new': 3, 'gone': 2}
    with pytest.raises(ValueError, match='none of the 6 items'):
        warm_start(made(), earlier([1, 2, 3, 4, 5]), data())


def test_other_models_are_refused():
    model = made()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for old, match in [
        (earlier(cls=CORE), 'same class and arguments'),
        (Recommender(SRGNN(5, 6), OLD), r'is \[6\] and not \[4\]'),
    ]:
        with pytest.raises(ValueError, match=match):
            warm_start(model, old, data())
    with pytest.raises(TypeError, match='no item_embedding'):
        warm_start(model, Recommender(CoVisits(5), OLD), data())
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def write(path, items, days):
    with open(path, 'w', newline='') as f:
        writer = csv.writer(f)
        writer.writerow(['session_id', 'item_id', 'time'])
        for number in range(20 * days):
            for click in range(4):
                item = items[(number + click) % len(items)]
                writer.writerow([number, item, 4000 * number + click])


@pytest.fixture
def days(tmp_path):
    """Logs of two days, the second with an item gone and one new."""
    first, second = str(tmp_path / '1.csv'), str(tmp_path / '2.csv')
    write(first, ['a', 'b', 'c', 'd', 'e', 'f'], 14)
    write(second, ['a', 'b', 'c', 'x', 'e', 'f'], 14)
    return first, second


def train(log, output, *options):
    short = ['--epochs', '2', '--quiet', '--output', str(output), *options]
    main(['train', '--log', log, *short])


def test_the_command(days, tmp_path, capsys):
    old, new, cold = (tmp_path / f'{x}.pt' for x in ('old', 'new', 'cold'))
    arguments = ['--model', 'niser', '--hidden', '6', '--scale', '9']
    train(days[0], old, *arguments)
    capsys.readouterr()
    train(days[1], new, '--init', str(old), '--dropout', '0.5')
    out = capsys.readouterr().out
    assert f'items of {old}: 5 kept, 1 new, 1 gone\n' in out
    model = Recommender.load(new).model
    assert type(model).__name__ == 'NISER'
    assert (model.hidden_channels, model.scale) == (6, 9.0)
    assert model.dropout == 0.5
    with pytest.raises(SystemExit, match=r'is \[6\] and not \[8\]'):
        train(days[1], new, '--init', str(old), '--hidden', '8')
    with pytest.raises(SystemExit, match='same class and arguments'):
        train(days[1], new, '--init', str(old), '--model', 'core')

    for wrong, match in [('no.pt', 'there is no file'), ('1.csv', 'damaged')]:
        with pytest.raises(SystemExit, match=match):
            train('no.csv', new, '--init', str(tmp_path / wrong))

    # It begins where the other ended: its first loss is lower.
    train(days[1], cold, *arguments, '--dropout', '0.5')
    losses = [
        float(x.split('loss ')[1])
        for x in (out, capsys.readouterr().out)
        for x in x.splitlines()
        if 'base model' in x
    ]
    assert losses[0] < losses[1]


def test_the_command_in_place_and_augmented(days, tmp_path, capsys):
    path = tmp_path / 'shop.pt'
    train(days[0], path, '--hidden', '6')
    train(days[1], path, '--init', str(path), '--augment', 'i2i')
    out = capsys.readouterr().out
    assert out.count('5 kept, 1 new, 1 gone') == 1
    assert 'x' in Recommender.load(path).item_ids
    assert sorted(x.suffix for x in tmp_path.glob('shop*')) == ['.pt']


def test_ids_are_compared_and_not_counts(days, tmp_path):
    (one, _), (val, test) = (
        [
            SessionLog(str(tmp_path), split, file=log)
            for split in ('val', 'test')
        ]
        for log in days
    )
    own = SessionLog(str(tmp_path), 'train', file=days[1])
    assert one.num_items == own.num_items
    model = SRGNN(own.num_items, 4)
    with pytest.raises(ValueError, match="item 3 is 'x' there and 'd' here"):
        fit(model, own, one, epochs=1, progress=False)
    with pytest.raises(ValueError, match='of other items'):
        fit(model, own, val, epochs=1, progress=False, refit=one)
    fit(model, own, val, epochs=1, progress=False, schedule='steps')
    recommender = Recommender.from_dataset(model, own)
    with pytest.raises(ValueError, match='of other items'):
        evaluate(recommender, one)
    assert evaluate(recommender, test) == evaluate(model, test)


def test_of_a_mixture_its_network(days, tmp_path, capsys):
    old, new = tmp_path / 'old.pt', tmp_path / 'new.pt'
    train_split = SessionLog(str(tmp_path), file=days[0])
    network = CORE(train_split.num_items, 6)
    counts = CoVisits(train_split.num_items).fit(train_split)
    blend = Blend([Blend([network, counts]), counts])
    Recommender.from_dataset(blend, train_split).save(old)
    train(days[1], new, '--init', str(old))
    said = capsys.readouterr()
    assert '5 kept, 1 new, 1 gone' in said.out
    assert f'of the Blend in {old} the network goes on alone' in said.err
    model = Recommender.load(new).model
    assert (type(model), model.hidden_channels) == (CORE, 6)
    train(days[1], new, '--init', str(old), '--preset', 'best')
    assert 'goes on alone' not in capsys.readouterr().err
    assert type(Recommender.load(new).model) is Blend
    Recommender.from_dataset(counts, train_split).save(old)
    with pytest.raises(SystemExit, match='CoVisits has no item_embedding'):
        train(days[1], new, '--init', str(old))
