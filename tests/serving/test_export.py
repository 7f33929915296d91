import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from pyg_sessaug.data.graphs import session_batch
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN, TAGNN
from pyg_sessaug.serving.export import export_model, save_vectors
from pyg_sessaug.transforms import NormalizeEdges

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
    return model


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


def test_other_models(tmp_path):
    class Mine(SRGNN):
        pass

    with pytest.raises(ValueError, match='got a Mine'):
        export_model(Mine(5))
    replaced = SRGNN(5)
    replaced.conv = Mine(5)
    with pytest.raises(ValueError, match='but `conv` was replaced'):
        export_model(replaced)
    with pytest.raises(ValueError, match='TAGNN has no one vector'):
        export_model(TAGNN(5), vectors=True)
    with pytest.raises(ValueError, match='TAGNN has no one vector'):
        save_vectors(TAGNN(5), None, tmp_path)
