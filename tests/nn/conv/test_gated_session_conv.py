import pytest
import torch
from torch_geometric.testing import assert_module

from pyg_sessaug.nn import AttentionReadout, GatedSessionConv
from pyg_sessaug.nn.conv import gated_session_conv
from tests.nn.dense import adjacency, gated_cell


def test_gated_session_conv_equals_dense_cell():
    torch.manual_seed(0)
    conv = GatedSessionConv(8)
    assert str(conv) == 'GatedSessionConv(8, 8)'
    _nodes, a_in, a_out = adjacency([0, 1, 0, 2, 2, 3, 1])
    # Any weights, of the two halves independently:
    a_in = torch.randn(4, 4) * (a_in > 0)
    a_out = torch.randn(4, 4) * (a_out > 0)
    edge_index = (a_out != 0).nonzero().t()
    src, dst = edge_index
    edge_attr = torch.stack([a_in[dst, src], a_out[src, dst]], dim=1)
    x = torch.randn(4, 8, requires_grad=True)
    out = assert_module(
        conv,
        x,
        edge_index,
        edge_attr=edge_attr,
        expected_size=(4, 8),
        test_sparse_layouts=[],
        test_edge_permutation=False,
    )
    expected = gated_cell(conv, a_in, a_out, x)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)

    out.square().sum().backward()
    grad, x.grad = x.grad, None
    gated_cell(conv, a_in, a_out, x).square().sum().backward()
    torch.testing.assert_close(grad, x.grad, rtol=1e-5, atol=1e-5)


def test_gated_session_conv_without_edges():
    conv = GatedSessionConv(8)
    x = torch.randn(3, 8)
    edge_index = torch.empty(2, 0, dtype=torch.long)
    out = conv(x, edge_index, torch.empty(0, 2))
    zero = torch.zeros(3, 3)
    torch.testing.assert_close(out, gated_cell(conv, zero, zero, x))


def test_some_nodes_are_updated():
    torch.manual_seed(0)
    conv = GatedSessionConv(8).double()
    x = torch.randn(4, 8, dtype=torch.float64, requires_grad=True)
    edge_index = torch.tensor([[0, 1, 2, 3, 3], [1, 2, 0, 1, 2]])
    edge_attr = torch.rand(5, 2, dtype=torch.float64)
    full = conv(x, edge_index, edge_attr)
    nodes = torch.tensor([0, 2])
    out = conv(x, edge_index, edge_attr, nodes)
    torch.testing.assert_close(out[nodes], full[nodes])
    assert torch.equal(out[[1, 3]], x[[1, 3]])
    # What these nodes are asked for is learned as from all.
    (expected,) = torch.autograd.grad(full[nodes].square().sum(), x)
    (found,) = torch.autograd.grad(out[nodes].square().sum(), x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('shape', [[3], [3, 1], [3, 3]])
def test_gated_session_conv_needs_two_weights(shape):
    edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
    with pytest.raises(ValueError, match=r'shape .*\[num_edges, 2\]'):
        GatedSessionConv(4)(torch.randn(3, 4), edge_index, torch.ones(shape))


def test_attention_readout_counts_clicks():
    torch.manual_seed(0)
    readout = AttentionReadout(4)
    assert str(readout) == 'AttentionReadout(4)'
    x, last = torch.randn(3, 4), torch.randn(2, 4)
    index = torch.tensor([0, 0, 1])
    out = readout(x, index, last=last, count=torch.tensor([2.0, 1.0, 1.0]))
    twice = readout(
        x[[0, 0, 1, 2]], index[[0, 0, 1, 2]], last=last, count=torch.ones(4)
    )
    torch.testing.assert_close(out, twice)


def test_messages_in_slices_add_up(monkeypatch):
    torch.manual_seed(0)
    conv = GatedSessionConv(8)
    x = torch.randn(5, 8)
    edge_index = torch.randint(5, (2, 11))
    edge_attr = torch.rand(11, 2)
    whole = conv(x, edge_index, edge_attr)
    monkeypatch.setattr(gated_session_conv, 'MAX_MESSAGES', 4)
    sliced = conv(x, edge_index, edge_attr)
    torch.testing.assert_close(sliced, whole)
