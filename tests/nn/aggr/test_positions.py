import pytest
import torch

from pyg_sessaug.nn import ForwardPositions, ReversedPositions
from pyg_sessaug.nn.aggr.positions import make_positions, reversed_positions

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


def test_forward_positions_count_the_last_clicks():
    layer = ForwardPositions(3, 4)
    assert layer.index(PTR).tolist() == [0, 0, 0, 1, 2, 0, 1]
    assert str(layer) == 'ForwardPositions(3, 4)'
    layer = ForwardPositions(9, 4)
    assert layer.index(PTR, 7).tolist() == [0, 0, 1, 2, 3, 0, 1]
    assert torch.equal(layer(PTR), layer.weight[[0, 0, 1, 2, 3, 0, 1]])


def test_orders_have_names():
    assert type(make_positions('forward', 3, 4)) is ForwardPositions
    assert type(make_positions('reversed', 3, 4)) is ReversedPositions
    with pytest.raises(ValueError, match=r"\['reversed', 'forward'\].*'back'"):
        make_positions('back', 3, 4)


def test_a_length_without_vectors():
    with pytest.raises(ValueError, match='max_length=0'):
        ReversedPositions(0, 4)
