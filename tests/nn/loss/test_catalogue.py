import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.autograd.function import FunctionCtx
from torch.utils.checkpoint import checkpoint

from pyg_sessaug.nn.loss import catalogue
from pyg_sessaug.nn.loss.catalogue import (
    catalogue_cross_entropy,
    check_precision,
    choose_precision,
    chunks,
    is_bf16_native,
    product,
)
from pyg_sessaug.nn.loss.target_attention import (
    target_attention_cross_entropy,
)
from tests.nn.loss_problems import assert_equal, attention_problem, problem

PRECISIONS = ['float32', 'bf16']


@settings(deadline=None, max_examples=40)
@given(
    num_sessions=st.integers(1, 9),
    num_items=st.integers(1, 700),
    seed=st.integers(0, 99),
)
def test_catalogue_cross_entropy(num_sessions, num_items, seed):
    torch.manual_seed(seed)
    x, weight, target = problem(num_sessions, num_items)
    expected = F.cross_entropy(x @ weight.t(), target)
    loss = catalogue_cross_entropy(x, weight, target)
    assert_equal(loss, expected, (x, weight), 1e-5)
    # Logits are off by a part of these norms, however small the loss is.
    size = x.norm(dim=1).max() * weight.norm(dim=1).max()
    loss = catalogue_cross_entropy(x, weight, target, 'bf16')
    assert (loss - expected).abs() <= 0.01 * size + 1e-3
    expected = expected + (loss - expected).detach()
    assert_equal(loss, expected, (x, weight), 0.1)


@pytest.mark.parametrize(
    'precision, rtol', list(zip(PRECISIONS, [1e-5, 0.03]))
)
def test_catalogue_cross_entropy_in_chunks(small_chunks, precision, rtol):
    x, weight, target = problem(5, 64 * 3 + 1)
    expected = 3 * F.cross_entropy(x @ weight.t(), target)
    loss = 3 * catalogue_cross_entropy(x, weight, target, precision)
    assert_equal(loss, expected, (x, weight), rtol)


@pytest.mark.parametrize('num_items', [7, 150])
@pytest.mark.parametrize('reduction', ['mean', 'none'])
def test_catalogue_cross_entropy_gradcheck(small_chunks, num_items, reduction):
    x, weight, target = problem(3, num_items, 4, torch.float64)

    def loss(x, weight):
        return catalogue_cross_entropy(x, weight, target, reduction=reduction)

    expected = F.cross_entropy(x @ weight.t(), target, reduction=reduction)
    torch.testing.assert_close(loss(x, weight), expected)
    assert gradcheck(loss, (x, weight))


def test_large_batches_score_fewer_items_at_a_time(monkeypatch):
    monkeypatch.setattr(catalogue, 'HOST_SCORES', 2048 * 5)
    inputs = problem(5, 5000)
    loss = catalogue_cross_entropy(*inputs)
    table = inputs[1]
    expected = F.cross_entropy(inputs[0] @ table.t(), inputs[2])
    blocks = loss.grad_fn.saved_tensors[5::2]
    assert [x.size(1) for x in blocks] == [1728, 1728, 1544]
    assert_equal(loss, expected, inputs[:2], 1e-5)


@pytest.mark.parametrize('precision, size', [('float32', 4), ('bf16', 2)])
def test_probabilities_are_kept_up_to_a_size(monkeypatch, precision, size):
    inputs = problem(3, 20)
    for num_bytes, kept in ((3 * 20 * size, 2), (3 * 20 * size - 1, 0)):
        monkeypatch.setattr(catalogue, 'CACHE_BYTES', num_bytes)
        loss = catalogue_cross_entropy(*inputs, precision)
        assert len(loss.grad_fn.saved_tensors) == 4 + kept


@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('position', [0, 999])
def test_catalogue_cross_entropy_extreme(precision, position):
    # One item dwarfs all others, and may be far from the first ones.
    x, weight, target = torch.ones(2, 1), torch.zeros(1000, 1), [position, 5]
    weight[position] = 1024.0
    x.requires_grad_(), weight.requires_grad_()
    target = torch.tensor(target)
    loss = catalogue_cross_entropy(x, weight, target, precision)
    loss.backward()
    assert loss.item() == 512.0
    assert x.grad.tolist() == [[0.0], [512.0]]
    assert weight.grad[position].item() == 0.5
    assert weight.grad[5].item() == -0.5


@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_losses_show_non_finite_input(precision, bad):
    x, weight, target = problem(3, 20)
    with torch.no_grad():
        x.abs_()  # Minus infinity would be a fine score.
        weight[11, 2] = bad
    loss = catalogue_cross_entropy(x, weight, target, precision)
    assert not loss.isfinite()
    inputs = attention_problem([2, 1, 3], 20)
    with torch.no_grad():
        inputs[0][4, 0] = bad
    assert not target_attention_cross_entropy(*inputs, precision).isfinite()


@pytest.mark.parametrize('precision', PRECISIONS)
def test_gradients_accumulate(precision):
    x, weight, target = problem(3, 20)
    loss = catalogue_cross_entropy(x, weight, target, precision)
    loss.backward(retain_graph=True)
    first = weight.grad.clone()
    assert first.dtype == torch.float32
    loss.backward()
    assert weight.grad.equal(2 * first)
    with torch.no_grad():
        again = catalogue_cross_entropy(x, weight, target, precision)
    assert again.equal(loss)


@pytest.mark.parametrize('intel', [True, False])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize(
    'rows, inner, columns', [(3, 5, 70), (0, 4, 2), (3, 0, 2)]
)
def test_product(monkeypatch, rows, inner, columns, dtype, intel):
    monkeypatch.setattr(catalogue, 'is_intel', lambda: intel)
    left, right = (
        torch.randn(rows, inner).to(dtype),
        torch.randn(columns, inner).to(dtype).t(),
    )
    expected = (left.unsqueeze(2) * right).sum(dim=1)
    with torch.no_grad():
        torch.testing.assert_close(product(left, right), expected)
    left.requires_grad_()
    product(left, right).sum().backward()
    torch.testing.assert_close(left.grad, right.sum(1).expand(rows, inner))


def losses(num_sessions=3):
    """Both losses with their inputs."""
    sizes = [2, 3, 1][:num_sessions]
    return [
        (catalogue_cross_entropy, problem(num_sessions, 30)),
        (target_attention_cross_entropy, attention_problem(sizes, 30)),
    ]


def test_losses_under_checkpoints():
    for loss, inputs in losses():
        leaves = [x for x in inputs if x.requires_grad]
        out = checkpoint(loss, *inputs, use_reentrant=False)
        assert_equal(out, loss(*inputs), leaves, 1e-6)


def test_losses_without_gradients_keep_nothing(monkeypatch):
    kept = []
    monkeypatch.setattr(
        FunctionCtx, 'save_for_backward', lambda _, *x: kept.append(len(x))
    )
    for loss, inputs in losses():
        loss(*inputs)
        with torch.no_grad():
            loss(*inputs)
    assert kept == [6, 4, 14, 9]


@pytest.mark.parametrize('num_sessions', [1, 3])
@pytest.mark.parametrize('precision', PRECISIONS)
def test_losses_are_those_without_autocast(num_sessions, precision):
    for loss, inputs in losses(num_sessions):
        leaves = [x for x in inputs if x.requires_grad]
        expected = loss(*inputs, precision)
        wanted = torch.autograd.grad(expected, leaves)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            out = loss(*inputs, precision)
            within = torch.autograd.grad(out, leaves, retain_graph=True)
        after = torch.autograd.grad(out, leaves)
        assert torch.equal(out, expected)
        for grads in zip(wanted, within, after):
            assert all(torch.equal(grads[0], x) for x in grads[1:])


def test_float16_is_refused():
    for loss, inputs in losses():
        half = [x.half() if x.is_floating_point() else x for x in inputs]
        with pytest.raises(ValueError, match=r"float16.*precision='bf16'"):
            loss(*half)


@pytest.mark.parametrize('num_items', [0, 1, 63, 64, 65, 1000, 4097])
@pytest.mark.parametrize('size', [1, 64, 300])
def test_chunks(num_items, size):
    items = torch.arange(num_items)
    parts = [items[chunk] for chunk in chunks(num_items, size)]
    assert torch.cat([items[:0], *parts]).equal(items)
    assert all(0 < len(part) <= size + 63 for part in parts)


def test_unknown_precision():
    match = r"'half': choose one of 'float32', 'bf16'"
    with pytest.raises(ValueError, match=match):
        check_precision('half')
    with pytest.raises(ValueError, match=match):
        catalogue_cross_entropy(*problem(2, 5), 'half')
    with pytest.raises(ValueError, match="got 'sum'"):
        catalogue_cross_entropy(*problem(2, 5), reduction='sum')
    with pytest.raises(ValueError, match=match):
        target_attention_cross_entropy(*attention_problem([2], 5), 'half')


@pytest.mark.parametrize(
    'change, match',
    [
        (dict(x=torch.randn(2, 5)), r"'x' has shape \[2, 5\].*\[9, 4\]"),
        (dict(x=torch.randn(2, 4).double()), r"'x.to\(weight.dtype\)'"),
        (dict(target=torch.tensor([0, 9])), "'target' holds item 9.* 9 items"),
        (dict(target=torch.tensor([0, 700])), "'target' holds item 700"),
        (dict(target=torch.tensor([0, -1])), "'target' holds item -1"),
        (dict(target=torch.tensor([0])), r"'target' has shape \[1\]"),
        (dict(target=torch.tensor([0.0, 1.0])), r"'target.long\(\)'"),
        (
            dict(x=torch.randn(0, 4), target=torch.tensor([]).long()),
            'skip empty batches',
        ),
    ],
)
def test_catalogue_cross_entropy_errors(change, match):
    inputs = dict(
        x=torch.randn(2, 4),
        weight=torch.randn(9, 4),
        target=torch.tensor([0, 1]),
    )
    with pytest.raises(ValueError, match=match):
        catalogue_cross_entropy(**{**inputs, **change})


def test_is_bf16_native(monkeypatch):
    assert isinstance(is_bf16_native(), bool)
    probes = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    for probe in probes:
        monkeypatch.setattr(torch.cpu, probe, lambda: False)
    assert not is_bf16_native()  # AVX2 only, or AVX-512 without bfloat16.
    for probe in probes:  # Either one is enough, where there is oneDNN.
        with monkeypatch.context() as patch:
            patch.setattr(torch.cpu, probe, lambda: True)
            for onednn in (True, False):
                patch.setattr(
                    torch.backends.mkldnn, 'is_available', lambda x=onednn: x
                )
                assert is_bf16_native() == onednn
                assert not is_bf16_native('meta')
    for native in (True, False):  # A GPU tells by itself.
        monkeypatch.setattr(
            torch.cuda,
            'is_bf16_supported',
            lambda including_emulation, x=native: x or including_emulation,
        )
        assert is_bf16_native('cuda') == native
        assert not is_bf16_native()
        assert not is_bf16_native('meta')
    monkeypatch.delattr(torch.cpu, '_is_amx_tile_supported')
    assert not is_bf16_native('cpu')  # A PyTorch without the probe.


@pytest.mark.parametrize('native', [True, False])
def test_choose_precision(monkeypatch, native):
    """bfloat16 by itself only where the processor multiplies it."""
    monkeypatch.setattr(catalogue, 'is_bf16_native', lambda _: native)
    assert choose_precision('auto') == ('bf16' if native else 'float32')
    for precision in ('bf16', 'float32'):
        assert choose_precision(precision, 'cpu') == precision
