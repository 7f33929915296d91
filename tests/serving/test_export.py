import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from pyg_sessaug.data.graphs import session_batch
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN, TAGNN, Blend, SASRec
from pyg_sessaug.registry import MODELS, find_class
from pyg_sessaug.serving.export import (
    GRAPH_TENSORS,
    export_model,
    save_vectors,
)
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.reference import with_categories

NUM_ITEMS = 30
CASES = pytest.mark.parametrize(
    'cls,kwargs',
    [
        (SRGNN, {}),
        (SRGNN, {'num_layers': 0, 'scale': 12.0, 'dropout': 0.5}),
        (SRGNN, {'num_layers': 1, 'num_channels': 2}),
        (TAGNN, {}),
        (TAGNN, {'scale': 12.0, 'transform_target': False}),
    ],
)


def make(cls, **kwargs):
    model = cls(NUM_ITEMS, hidden_channels=6, **kwargs)
    for parameter in model.parameters():  # Far from the linear regime.
        torch.nn.init.normal_(parameter, std=0.7)
    return with_categories(model)


def draw(sizes):
    # Few items, so that sessions come back to one and repeat it in a row.
    return [torch.randint(5, (size,)) + 7 for size in sizes]


def padded(sessions, value=0):
    length = torch.tensor([len(session) for session in sessions])
    return pad_sequence(sessions, True, value), length


def batch_of(sessions):
    item, length = torch.cat(sessions), padded(sessions)[1]
    return NormalizeEdges()(session_batch(item, length))


@CASES
def test_equals_eager_scores_at_any_size(tmp_path, cls, kwargs):
    model = make(cls, **kwargs)
    torch.export.save(export_model(model), tmp_path / 'scores.pt2')
    assert model.training  # The mode stays.
    model.eval()
    program = torch.export.load(tmp_path / 'scores.pt2').module()
    for sizes in ([1, 2, 6, 3], [9, 1], [4], [1], [1, 1], [2, 5] * 40):
        sessions = draw(sizes)
        expected = model.score(batch_of(sessions))
        out = program(*padded(sessions))
        assert out.size() == (len(sizes), NUM_ITEMS)
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
@pytest.mark.parametrize('value', [-1, 8, 10**9])
def test_padding_is_ignored(cls, value):
    program = export_model(make(cls)).module()
    sessions = draw([2, 7, 4])
    item, length = padded(sessions)
    other = padded([*sessions, *draw([12])], value)[0][:3]
    torch.testing.assert_close(program(other, length), program(item, length))


@pytest.mark.parametrize('scale', [None, 5.0])
def test_vectors_score_by_inner_products(tmp_path, scale):
    root = tmp_path / 'data'
    data = MultimodalSessions(
        root, 'test', num_sessions=60, num_items=NUM_ITEMS
    )
    model = make(SRGNN, scale=scale).eval()
    save_vectors(model, data, tmp_path)
    item, session = (
        np.load(tmp_path / f'{name}_vectors.npy')
        for name in ('item', 'session')
    )
    assert item.dtype == session.dtype == np.float32
    assert session.shape == (len(data), 6)
    for i in range(len(data)):
        expected = model.score(NormalizeEdges()(data[i]))[0].detach()
        torch.testing.assert_close(
            torch.from_numpy(item @ session[i]), expected
        )
    names = {'data', 'item_vectors.npy', 'session_vectors.npy'}
    assert {path.name for path in tmp_path.iterdir()} == names

    program = export_model(model, vectors=True).module()
    sessions = draw([3, 1, 5])
    vector = program(*padded(sessions))
    torch.testing.assert_close(vector, model(batch_of(sessions)))


#: Models that torch.export cannot follow, and what of them: sizes that are
#: values of tensors.
NOT_ON_GRAPHS = {
    'gcsan': 'pads to the longest session',
    'lessr': 'takes as many steps as a node has edges into it',
    'gru4rec': 'packs sessions by the number of clicks at each place',
}


def on_graphs(program, batch):
    return program(*(batch[name] for name in GRAPH_TENSORS))


@pytest.mark.parametrize('name', [x for x in MODELS if x not in NOT_ON_GRAPHS])
def test_programs_on_graphs_at_any_size(tmp_path, name):
    model = make(find_class(name))
    program = export_model(model, padded=False)
    assert model.training
    torch.export.save(program, tmp_path / 'scores.pt2')
    program = torch.export.load(tmp_path / 'scores.pt2').module()
    model.eval()
    for sizes in ([3, 1, 6], [9], [1], [1, 1], [1, 1, 1], [2, 5] * 40, [70]):
        batch = batch_of(draw(sizes))
        expected = model.score(batch)
        out = on_graphs(program, batch)
        assert out.size() == (len(sizes), NUM_ITEMS)
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', NOT_ON_GRAPHS)
def test_models_that_torch_cannot_follow(name):
    cls = find_class(name)
    with pytest.raises(ValueError, match=f'cannot follow {cls.__name__}'):
        export_model(cls(5, 8))


def test_programs_on_graphs_of_other_models():
    class Mine(SRGNN):
        def score(self, data):
            return super().score(data) / 2

    model = make(Mine, num_channels=3, scale=2.0)
    program = export_model(model).module()
    batch = batch_of(draw([3, 1, 6]))
    weight = torch.rand(batch.num_edges, 2, 3)
    batch.edge_attr = weight
    torch.testing.assert_close(on_graphs(program, batch), model.score(batch))


@pytest.mark.parametrize('cls', [SRGNN, SASRec])
def test_vectors_of_graphs(tmp_path, cls):
    model = make(cls, scale=5.0).eval()
    program = export_model(model, vectors=True, padded=False).module()
    batch = batch_of(draw([3, 1, 5]))
    torch.testing.assert_close(on_graphs(program, batch), model(batch))


def test_other_models(tmp_path):
    class Mine(SRGNN):
        pass

    with pytest.raises(ValueError, match=r'got a Mine.*padded=False'):
        export_model(Mine(5), padded=True)
    with pytest.raises(ValueError, match='got a Blend, which has no item vec'):
        export_model(Blend([Mine(5), Mine(5)]))
    replaced = SRGNN(5)
    replaced.conv = Mine(5)
    with pytest.raises(ValueError, match='but `conv` was replaced'):
        export_model(replaced)
    with pytest.raises(ValueError, match='TAGNN has no one vector'):
        export_model(TAGNN(5), vectors=True)
    with pytest.raises(ValueError, match='TAGNN has no one vector'):
        save_vectors(TAGNN(5), None, tmp_path)
