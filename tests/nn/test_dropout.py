import pytest
import torch

from pyg_sessaug.nn.dropout import draw, dropout


@pytest.mark.parametrize(
    ('share', 'own'),
    [(0.5, 0.5), (0.2, 51 / 256), (1e-6, 1 / 256), (0.9999, 255 / 256)],
)
def test_share_of_dropped_entries(share, own):
    torch.manual_seed(0)
    x = torch.ones(1001, 999)  # Their number is not a multiple of eight.
    out = dropout(x, share, training=True)
    assert draw(x, share).share == own
    assert (out == 0).double().mean().item() == pytest.approx(own, abs=2e-3)
    torch.testing.assert_close(out.max(), torch.tensor(1 / (1 - own)))
    # Whatever their place within a draw, and neighbours have nothing to do
    # with each other.
    drop = (out == 0).double()
    for column in drop.flatten()[:8000].view(-1, 8).t():
        assert column.mean().item() == pytest.approx(own, abs=0.05)
    both = (drop[:, 1:] * drop[:, :-1]).mean().item()
    assert both == pytest.approx(own**2, abs=3e-3)


def test_nothing_to_drop():
    x = torch.rand(3, 4)
    assert dropout(x, 0.0, training=True) is x
    assert dropout(x, 0.5, training=False) is x


def test_follows_torchs_generator_and_has_gradients():
    x = torch.randn(50, 7, dtype=torch.double, requires_grad=True)
    outs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outs.append(dropout(x, 0.5, training=True))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])
    outs[0].sum().backward()
    assert torch.equal(x.grad, (outs[0] != 0) * 2.0)
