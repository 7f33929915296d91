import pytest
import torch

from pyg_sessaug.nn import ReversedPositions
from pyg_sessaug.nn.aggr.positions import reversed_positions

PTR = torch.tensor([0, 1, 5, 7])


def test_the_last_click_is_first():
    assert reversed_positions(PTR).tolist() == [0, 3, 2, 1, 0, 1, 0]


def test_older_clicks_share_the_last_vector():
    layer = ReversedPositions(3, 4)
    assert str(layer) == 'ReversedPositions(3, 4)'
    out = layer(PTR)
    assert torch.equal(out, layer.weight[[0, 2, 2, 1, 0, 1, 0]])
    assert torch.equal(layer(PTR, 7), out)
    out.sum().backward()
    assert layer.weight.grad[:, 0].tolist() == [3.0, 2.0, 2.0]


def test_a_length_without_vectors():
    with pytest.raises(ValueError, match='max_length=0'):
        ReversedPositions(0, 4)
