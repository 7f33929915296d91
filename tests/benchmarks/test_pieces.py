import pytest
import torch

from benchmarks.experiments.pieces import PIECES, PiecedSRGNN
from pyg_sessaug.data.graphs import list_batch
from pyg_sessaug.nn import SRGNNPlus
from pyg_sessaug.transforms import NormalizeEdges

SESSIONS = [[3, 1, 3, 5, 2], [4], [2, 6, 2]]


def make(piece):
    torch.manual_seed(0)
    return PiecedSRGNN(9, 8, piece=piece).eval()


def score(model, sessions=SESSIONS):
    return model.score(NormalizeEdges()(list_batch(sessions)))


@pytest.mark.parametrize('piece', PIECES)
def test_a_piece_changes_the_model_and_is_trained(piece):
    model = make(piece)
    plain = SRGNNPlus(9, 8).eval()
    plain.load_state_dict(
        {k: model.state_dict()[k] for k in plain.state_dict()}
    )
    assert not torch.allclose(score(model), score(plain))
    batch = NormalizeEdges()(list_batch(SESSIONS))
    batch.y = torch.tensor([1, 2, 3])
    model.loss(batch).backward()
    assert all(x.grad.abs().sum() > 0 for x in model.parameters())
    # What stands beside a session in its batch does not matter.
    alone = torch.cat([score(model, [x]) for x in SESSIONS])
    torch.testing.assert_close(score(model), alone)


def test_one_query_is_the_model_without(monkeypatch):
    monkeypatch.setattr('benchmarks.experiments.pieces.QUERIES', 1)
    model = make('queries')
    expected = SRGNNPlus(9, 8).eval()
    expected.load_state_dict(model.state_dict())
    torch.testing.assert_close(score(model), score(expected))


def test_unknown_piece():
    with pytest.raises(ValueError, match='piece must be one of'):
        make('edge')
