import pytest
import torch

from pyg_sessaug.nn import ContextReadout


def test_against_a_loop():
    torch.manual_seed(0)
    layer = ContextReadout(5).double()
    torch.nn.init.normal_(layer.lin_gate.weight)
    layer.power.data.fill_(0.6)
    session = torch.randn(4, 5, dtype=torch.double)
    ptr = torch.tensor([0, 3, 3, 4, 9])
    x = torch.randn(9, 5, dtype=torch.double)
    weight = torch.rand(9) + 0.1
    out = layer(session, x, weight, ptr)
    for b in range(4):
        items = x[ptr[b] : ptr[b + 1]]
        votes = weight[ptr[b] : ptr[b + 1]].double()
        context = torch.zeros(5, dtype=torch.double)
        if len(items) > 0:
            score = items @ (layer.lin_query.weight @ session[b])
            # Weights to a power are what their logarithms add.
            alpha = score.exp() * (votes / votes.max()) ** 0.6
            context = alpha @ items / alpha.sum()
        both = torch.cat([session[b], context])
        gate = 2 * torch.sigmoid(layer.lin_gate.weight[0] @ both)
        torch.testing.assert_close(
            out[b], session[b] + gate * context, rtol=1e-6, atol=1e-6
        )
    assert torch.equal(out[1], session[1])


def test_starts_with_an_open_gate_and_the_votes():
    layer = ContextReadout(3)
    torch.nn.init.zeros_(layer.lin_query.weight)
    x, weight = torch.eye(3), torch.tensor([2.0, 1.0, 1.0])
    out = layer(torch.zeros(1, 3), x, weight, torch.tensor([0, 3]))
    assert out[0].tolist() == pytest.approx([0.5, 0.25, 0.25])
