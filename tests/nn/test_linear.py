import pytest
import torch
import torch.nn.functional as F

from pyg_sessaug.nn.linear import linear


@pytest.mark.parametrize('rows', [0, 1, 63, 64, 130])
@pytest.mark.parametrize('bias', [True, False])
def test_linear(rows, bias):
    torch.manual_seed(rows)
    x = torch.randn(rows, 5, requires_grad=True)
    weight = torch.randn(7, 5, requires_grad=True)
    b = torch.randn(7, requires_grad=True) if bias else None
    inputs = [t for t in (x, weight, b) if t is not None]
    wanted = F.linear(x, weight, b)
    grads = torch.autograd.grad(wanted.square().sum(), inputs)

    assert torch.equal(linear(x, weight, b), wanted)
    out = linear(x, weight, b, 'bf16')
    assert out.dtype == torch.float32
    # 8 bits of mantissa in both factors and in the product:
    torch.testing.assert_close(out, wanted, rtol=0.02, atol=0.1)
    for got, grad in zip(
        torch.autograd.grad(out.square().sum(), inputs), grads
    ):
        assert got.dtype == torch.float32
        scale = float(grad.abs().max()) if grad.numel() > 0 else 1.0
        torch.testing.assert_close(got, grad, rtol=0.0, atol=0.03 * scale)


def test_bf16_rounds_the_factors():
    x = torch.tensor([[1.0 + 2**-9]])  # One bit too many for bfloat16.
    one = torch.ones(1, 1)
    assert linear(x, one).item() == 1.0 + 2**-9
    assert linear(x, one, precision='bf16').item() == 1.0
