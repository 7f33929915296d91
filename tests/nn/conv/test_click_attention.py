import pytest
import torch
import torch.nn.functional as F

from pyg_sessaug.nn import ClickAttention
from pyg_sessaug.nn.conv.click_attention import click_pairs, click_places

PTR = torch.tensor([0, 1, 5, 7])


def test_places_and_pairs_of_the_last_clicks():
    assert click_places(PTR, 9, 7).tolist() == [0, 0, 1, 2, 3, 0, 1]
    place = click_places(PTR, 2, 7)
    assert place.tolist() == [0, -2, -1, 0, 1, 0, 1]
    pairs = [(0, 0), (3, 3), (3, 4), (4, 4), (5, 5), (5, 6), (6, 6)]
    assert [tuple(x) for x in click_pairs(place).t().tolist()] == pairs


@pytest.mark.parametrize('heads', [1, 3])
def test_equals_dense_attention_of_each_session(heads):
    torch.manual_seed(0)
    qkv = [torch.randn(7, 6, dtype=torch.double) for _ in range(3)]
    layer = ClickAttention(6, heads)
    out = layer(*qkv, click_pairs(click_places(PTR, 9, 7)))
    for start, end in PTR.unfold(0, 2, 1).tolist():
        parts = [
            x[start:end].view(-1, heads, 6 // heads).transpose(0, 1)
            for x in qkv
        ]
        dense = F.scaled_dot_product_attention(*parts, is_causal=True)
        torch.testing.assert_close(
            out[start:end], dense.transpose(0, 1).flatten(1)
        )


def test_weights_drop_in_training_alone():
    torch.manual_seed(0)
    x = torch.ones(7, 4)
    layer = ClickAttention(4, 2, dropout=0.5)
    pairs = click_pairs(click_places(PTR, 9, 7))
    assert sorted(set(layer(x, x, x, pairs)[0].tolist())) <= [0.0, 2.0]
    assert not torch.equal(layer(x, x, x, pairs), x)
    torch.testing.assert_close(layer.eval()(x, x, x, pairs), x)


def test_heads_divide_the_channels():
    assert repr(ClickAttention(6, 2)) == 'ClickAttention(6, heads=2)'
    for heads in (0, 4):
        with pytest.raises(ValueError, match=f'divide the 6.*got {heads}'):
            ClickAttention(6, heads)
