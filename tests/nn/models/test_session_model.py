import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Batch, Data

from pyg_sessaug import Recommender, evaluate, fit
from pyg_sessaug.__main__ import main
from pyg_sessaug.arguments import make_parser, setting
from pyg_sessaug.data.graphs import session_batch
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN, TAGNN, SessionModel, SRGNNModes
from pyg_sessaug.nn.constructor import (
    accepted,
    argument_names,
    arguments_of,
)
from pyg_sessaug.registry import MODELS, find_class, models
from pyg_sessaug.transforms import NormalizeEdges
from tests.strangers import GCSAN, Last, Transformer
from tests.test_main import write

OPTIONS = dict(num_sessions=300, num_items=30)
STRANGERS = pytest.mark.parametrize('cls', [Transformer, GCSAN])


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    return [MultimodalSessions(root, x, **OPTIONS) for x in ('train', 'val')]


@pytest.fixture
def batch():
    item = torch.tensor([0, 1, 0, 2, 3, 4, 4, 1])
    batch = session_batch(item, torch.tensor([4, 1, 3]))
    batch.y = torch.tensor([1, 2, 3])
    return NormalizeEdges()(batch)


@STRANGERS
def test_a_strangers_model_trains_and_recommends(cls, data, tmp_path):
    torch.manual_seed(0)
    model = cls(30, 8, scale=8.0)
    before = evaluate(model, data[1])['HR@20']
    history = fit(model, *data, epochs=2, lr=1e-2, progress=False, seed=0)
    assert history[1]['val_loss'] < history[0]['val_loss']
    assert evaluate(model, data[1])['HR@20'] > before
    recommender = Recommender.from_dataset(model, data[0])
    recommender.save(tmp_path / 'a.pt')
    with pytest.raises(ValueError, match=f'{cls.__name__}, which.* model='):
        Recommender.load(tmp_path / 'a.pt')
    with pytest.raises(ValueError, match=f'{cls.__name__}, not a Last'):
        Recommender.load(tmp_path / 'a.pt', model=Last)
    loaded = Recommender.load(tmp_path / 'a.pt', model=cls)
    assert arguments_of(loaded.model) == arguments_of(model)
    model.eval()
    sessions = [data[0].item_ids[:3].tolist(), data[0].item_ids[4:5].tolist()]
    assert loaded.recommend(sessions, 5) == recommender.recommend(sessions, 5)


@STRANGERS
def test_a_strangers_model_on_the_command_line(cls, tmp_path, capsys):
    log, path = write(tmp_path / 'log.csv'), str(tmp_path / 'a.pt')
    name = f'tests.strangers:{cls.__name__}'
    command = ['train', '--log', log, '--model', name, '--output', path]
    size = '--hidden 8 --set heads=4 --scale 4 --epochs 2 --quiet'
    main([*command, *size.split()])
    main(['evaluate', path, '--log', log, '--model', name])
    assert 'HR@20' in capsys.readouterr().out
    main(['recommend', path, '--model', name, '1', '2'])
    assert capsys.readouterr().out.strip()
    model = Recommender.load(path, model=cls).model
    assert (model.heads, model.scale) == (4, 4)
    main([*command, '--set', 'hidden_channels=4', '--epochs', '1', '--quiet'])
    assert Recommender.load(path, model=cls).model.hidden_channels == 4
    with pytest.raises(SystemExit, match=r'takes no depth.* heads'):
        main(['train', '--log', log, '--model', name, '--set', 'depth=1'])


def test_layers_keep_their_start_and_the_table_is_drawn():
    torch.manual_seed(0)
    model = GCSAN(50, 16)
    table = model.item_embedding.detach().clone()
    assert 0.05 < table.std() < 0.2
    for _ in range(2):
        norm = model.layer.norm1
        assert norm.weight.eq(1).all()
        assert norm.bias.eq(0).all()
        model.reset_parameters()
    assert not torch.equal(model.item_embedding, table)

    class Extra(SRGNN):  # Resets what is not there yet when SRGNN is made.
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.norm = torch.nn.LayerNorm(4)
            self.norm.weight.data.fill_(5)

        def reset_parameters(self):
            super().reset_parameters()
            self.norm.reset_parameters()

    model = Extra(50, 16)
    assert model.norm.weight.eq(5).all()
    model.reset_parameters()
    assert model.norm.weight.eq(1).all()
    # Not NaN or what was in memory before:
    assert Last(50, 16).item_embedding.abs().max() < 1


@pytest.mark.parametrize('scale', [None, 8.0])
def test_a_side_table_gets_the_gradients_of_autograd(batch, scale):
    """In scores, in session vectors, or both: no gradient is overwritten."""

    class Side(SRGNN):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.side = torch.nn.Parameter(torch.randn(5, 8))

        def session(self, x, data):
            item = self.item_embedding + torch.tanh(self.side)
            return super().session(x + item[data.x], data)

        def score(self, data):
            return super().score(data) + self(data) @ self.side.t()

        def loss(self, data):
            own = F.cross_entropy(self.score(data), data.y)
            return own + super().loss(data)

    torch.manual_seed(3)
    model = Side(5, 8, scale=scale).double()
    batch.edge_attr = batch.edge_attr.double()
    model.loss(batch).backward()
    score = SRGNN.score(model, batch)
    plain = F.cross_entropy(model.score(batch), batch.y)
    plain = plain + F.cross_entropy(score, batch.y)
    wanted = torch.autograd.grad(plain, list(model.parameters()))
    for parameter, grad in zip(model.parameters(), wanted):
        torch.testing.assert_close(parameter.grad, grad)


@pytest.mark.parametrize('name', MODELS)
def test_no_clicks_are_one_error(name, batch):
    model = find_class(name)(5, 8)
    empty = Data(
        x=torch.tensor([2]),
        edge_index=torch.empty(2, 0, dtype=torch.long),
        edge_weight=torch.empty(0),
        edge_attr=torch.empty(0, 2),
        click_index=torch.empty(0, dtype=torch.long),
        y=torch.tensor([1]),
    )
    mixed = Batch.from_data_list([batch.to_data_list()[0], empty])
    for run in (model, model.score, model.loss):
        with pytest.raises(ValueError, match='session 0 of the batch has no'):
            run(empty)
        with pytest.raises(ValueError, match='session 1 of the batch has no'):
            run(mixed)


def test_arguments_come_from_signatures():
    assert argument_names(TAGNN)[:3] == [
        'num_items',
        'hidden_channels',
        'transform_target',
    ]
    assert {'num_layers', 'scale', 'precision'} <= set(argument_names(TAGNN))
    model = GCSAN(9, 8, heads=4, dropout=0.1)
    assert arguments_of(model) == {
        'num_items': 9,
        'hidden_channels': 8,
        'weight': 0.5,
        'heads': 4,
        'scale': None,
        'dropout': 0.1,
        'table_dropout': 0.0,
        'precision': 'float32',
    }
    assert 'heads=4' in repr(model)
    with pytest.raises(TypeError):
        SRGNN(9, 8, 1)  # Neither layers nor scale

    class Forgets(SessionModel):
        def __init__(self, num_items, hidden_channels, width):
            super().__init__(num_items, hidden_channels)

        session = Last.session

    with pytest.raises(ValueError, match='does not keep its argument `width`'):
        Recommender(Forgets(3, 4, 5), [1, 2, 3]).save('never.pt')


def test_compiled_models_and_models_of_no_class(data, tmp_path):
    model = SRGNN(30, 8)
    compiled = torch.compile(model, backend='eager')
    assert evaluate(compiled, data[1]) == evaluate(model, data[1])
    fit(compiled, *data, epochs=1, progress=False)
    Recommender(compiled, list(range(30))).save(tmp_path / 'a.pt')
    loaded = Recommender.load(tmp_path / 'a.pt')
    assert loaded.recommend([3, 4]).items

    class Fixed:
        num_items = 30

        def score(self, data):
            return torch.arange(30.0).expand(data.num_graphs, 30)

    assert evaluate(Fixed(), data[1])['HR@20'] > 0
    out = Recommender(Fixed(), list(range(30))).recommend([3], 2)
    assert out.items == [29, 28]
    with pytest.raises(TypeError, match='object has no num_items and no sco'):
        evaluate(object(), data[1])


def test_a_new_model_is_one_line(monkeypatch, data, tmp_path):
    name = 'tests.strangers:Last'
    monkeypatch.setitem(MODELS, 'last', name)
    command = make_parser()._subparsers._group_actions[0].choices['train']
    assert 'last' in command.format_help()
    assert models()['last'] == (name, 'The vector of the last click.')
    Recommender.from_dataset(Last(30, 8), data[0]).save(tmp_path / 'a.pt')
    assert type(Recommender.load(tmp_path / 'a.pt').model) is Last


@pytest.mark.parametrize(
    'argv',
    [['--help'], ['train', '--help'], ['--version'], ['train', '--epochs=0']],
)
def test_help_and_errors_come_before_torch(argv):
    """Torch takes seconds to import."""
    code = (
        'import sys\n'
        'from pyg_sessaug.__main__ import main\n'
        'try: main(sys.argv[1:])\n'
        "finally: assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    out = subprocess.run(
        [sys.executable, '-c', code, *argv], capture_output=True, text=True
    )
    assert 'Assertion' not in out.stderr
    assert out.returncode == (2 if '--epochs=0' in argv else 0)


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('shuffled_modes=true', True),
        ('shuffled_modes=False', False),
        ('dropout=1', 1),
        ('scale=12', 12),
        ('precision=bf16', 'bf16'),
    ],
)
def test_settings_of_the_kind_of_their_defaults(text, value):
    name, found = setting(text)
    assert found == value
    assert type(found) is type(value)
    assert accepted(SRGNNModes, {name: found}) == {name: value}


@pytest.mark.parametrize(
    'text',
    ['shuffled_modes=no', 'shuffled_modes=1', 'context=abc', 'dropout=true',
     'precision=16'],
)  # fmt: skip
def test_settings_of_another_kind(text):
    name, value = setting(text)
    with pytest.raises(ValueError, match=rf'got {name}={value!r}; its def'):
        accepted(SRGNNModes, {name: value})
