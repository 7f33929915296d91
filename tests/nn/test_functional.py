import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.autograd.function import FunctionCtx
from torch.utils.checkpoint import checkpoint

from pyg_sessaug.nn import functional, target_attention
from pyg_sessaug.nn.functional import (
    catalogue_cross_entropy,
    check_precision,
    choose_precision,
    chunks,
    is_bf16_native,
    lookup,
    product,
)
from pyg_sessaug.nn.target_attention import (
    target_attention_cross_entropy,
    target_attention_scores,
)

PRECISIONS = ['float32', 'bf16']
scores = torch.no_grad()(target_attention_scores)  # In chunks.


@pytest.fixture(params=[0, 2**20])
def small_chunks(monkeypatch, request):
    """Many chunks of 64 items, with and without any kept for the backward
    pass.
    """
    monkeypatch.setattr(functional, 'CHUNK_SIZE', 64)
    monkeypatch.setattr(functional, 'CACHE_BYTES', request.param)
    monkeypatch.setattr(target_attention, 'CACHE_BYTES', request.param)
    monkeypatch.setattr(target_attention, 'MIN_CHUNK', 64)
    monkeypatch.setattr(target_attention, 'CHUNK_BYTES', 0)


def problem(num_sessions, num_items, channels=6, dtype=torch.float32):
    x = torch.randn(num_sessions, channels, dtype=dtype)
    weight = torch.randn(num_items, channels, dtype=dtype)
    target = torch.randint(num_items, (num_sessions,))
    return x.requires_grad_(), weight.requires_grad_(), target


def attention_problem(sizes, num_items, channels=6, dtype=torch.float32):
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    key, weight, target = problem(sum(sizes), num_items, channels, dtype)
    value = torch.randn_like(key).requires_grad_()
    log_count = torch.randint(1, 4, (sum(sizes),)).to(dtype).log()
    return key, value, log_count, ptr, weight, target[: len(sizes)]


def padded_scores(key, value, log_count, ptr, weight):
    """Target attention with sessions padded and everything materialised."""
    sizes = ptr.diff()
    mask = torch.arange(int(sizes.max())) < sizes.view(-1, 1)
    node = mask.clone().long()
    node[mask] = torch.arange(key.size(0))
    logit = key[node] @ weight.t() + log_count[node].unsqueeze(-1)
    logit = logit.masked_fill(~mask.unsqueeze(-1), float('-inf'))
    return (logit.softmax(dim=1) * (value[node] @ weight.t())).sum(dim=1)


def assert_equal(loss, expected, inputs, rtol):
    """Compares losses and gradients, relative to the largest entry."""
    grads = torch.autograd.grad(loss, inputs)
    others = torch.autograd.grad(
        expected, inputs, allow_unused=True, retain_graph=True
    )
    for a, b in zip([loss, *grads], [expected, *others]):
        b = torch.zeros_like(a) if b is None else b
        assert a.dtype == b.dtype
        assert (a - b).abs().max() <= rtol * b.abs().max().clamp(min=0.1)


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
def test_catalogue_cross_entropy_gradcheck(small_chunks, num_items):
    x, weight, target = problem(3, num_items, 4, torch.float64)
    assert gradcheck(
        lambda x, w: catalogue_cross_entropy(x, w, target), (x, weight)
    )


@pytest.mark.parametrize('precision, size', [('float32', 4), ('bf16', 2)])
def test_probabilities_are_kept_up_to_a_size(monkeypatch, precision, size):
    inputs = problem(3, 20)
    for num_bytes, kept in ((3 * 20 * size, 2), (3 * 20 * size - 1, 0)):
        monkeypatch.setattr(functional, 'CACHE_BYTES', num_bytes)
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


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize(
    'rows, inner, columns', [(3, 5, 70), (0, 4, 2), (3, 0, 2)]
)
def test_product(rows, inner, columns, dtype):
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


def test_lookup_adds_to_the_gradient_of_the_table():
    weight = torch.randn(50, 4, requires_grad=True)
    index, target = torch.tensor([3, 3, 8]), torch.tensor([1, 2, 3])
    x = weight[index]
    expected = F.cross_entropy(x @ weight.t(), target)
    rows, table = lookup(weight, index)
    assert rows.equal(x)
    loss = catalogue_cross_entropy(rows, table, target)
    assert_equal(loss, expected, (weight,), 1e-5)
    for i in range(2):  # Either one may go unused.
        used = lookup(weight, index)[i]
        grad = torch.autograd.grad(used.sum(), weight)[0]
        assert grad.sum() == used.numel()


@pytest.mark.parametrize('num_items', [5, 2048, 2500])
def test_lookup_of_unit_rows(num_items):
    """As by F.normalize, also for rows too short to have a direction."""
    torch.manual_seed(0)
    weight = torch.randn(num_items, 4, dtype=torch.double)
    weight[2], weight[3] = 0.0, 1e-13
    weight.requires_grad_()
    index, target = torch.tensor([3, 3, 2, 1]), torch.tensor([1, 2, 3, 4])
    table = F.normalize(weight, dim=1)
    x = table[index]
    expected = F.cross_entropy(x @ table.t(), target)
    rows, unit = lookup(weight, index, unit=True)
    assert torch.allclose(unit, table)
    assert torch.allclose(rows, x)
    loss = catalogue_cross_entropy(rows, unit, target)
    assert_equal(loss, expected, (weight,), 1e-12)


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    num_items=st.integers(1, 700),
    seed=st.integers(0, 99),
)
def test_target_attention(sizes, num_items, seed):
    torch.manual_seed(seed)
    *inputs, target = attention_problem(sizes, num_items)
    score = padded_scores(*inputs)
    out = scores(*inputs)
    assert out.dtype == torch.float32
    assert torch.allclose(out, score, rtol=1e-4, atol=1e-4)
    loss = target_attention_cross_entropy(*inputs, target)
    expected = F.cross_entropy(score, target)
    leaves = [x for x in inputs if x.requires_grad]
    assert_equal(loss, expected, leaves, 1e-4)


@pytest.mark.parametrize('sizes', [[1], [1, 1], [3, 1, 2, 5, 1]])
def test_target_attention_in_chunks(small_chunks, sizes):
    *inputs, target = attention_problem(sizes, 64 * 3 + 1)
    score = padded_scores(*inputs)
    out = scores(*inputs)
    assert torch.allclose(out, score, rtol=1e-4, atol=1e-4)
    loss = 3 * target_attention_cross_entropy(*inputs, target)
    expected = 3 * F.cross_entropy(score, target)
    leaves = [x for x in inputs if x.requires_grad]
    assert_equal(loss, expected, leaves, 1e-4)
    loss = 3 * target_attention_cross_entropy(*inputs, target, 'bf16')
    assert_equal(loss, expected, leaves, 0.1)


@pytest.mark.parametrize('precision, size', [('float32', 4), ('bf16', 2)])
def test_attention_is_kept_up_to_a_size(monkeypatch, precision, size):
    inputs = attention_problem([3, 1], 20)
    # Two nodes precede the last of their session, two rows each; five rows a
    # session, more than are there in float32.
    num_bytes = (2 * 2 + 2 * 5) * 20 * size
    for bound, kept in ((num_bytes, 5), (num_bytes - 1, 0)):
        monkeypatch.setattr(target_attention, 'CACHE_BYTES', bound)
        loss = target_attention_cross_entropy(*inputs, precision)
        saved = loss.grad_fn.saved_tensors[9:]
        assert len(saved) == kept
        assert sum(x.nbytes for x in saved) <= bound
        first, second = (
            torch.autograd.grad(loss, inputs[0], retain_graph=True)[0]
            for _ in range(2)
        )
        assert torch.equal(first, second)


@pytest.mark.parametrize('sizes', [[1, 1], [3, 1, 2]])
@pytest.mark.parametrize('key_scale', [1.0, 100.0])  # With and without shift.
def test_target_attention_gradcheck(small_chunks, sizes, key_scale):
    *inputs, target = attention_problem(sizes, 70, 3, torch.float64)
    key, value, log_count, ptr, weight = inputs
    key = (key_scale * key).detach().requires_grad_()

    def loss(key, value, weight):
        return target_attention_cross_entropy(
            key, value, log_count, ptr, weight, target
        )

    assert gradcheck(loss, (key, value, weight))


@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('sign', [1.0, -1.0])
def test_target_attention_extreme(precision, sign):
    # Attention is all on the node with the largest key.
    key = sign * torch.tensor([[0.0], [512.0], [1024.0], [-1024.0]])
    value = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    weight = torch.ones(2, 1)
    ptr = torch.tensor([0, 4])
    out = target_attention_scores(
        key, value, torch.zeros(4), ptr, weight, precision
    )
    assert out.tolist() == [[3.0 if sign > 0 else 4.0] * 2]


def test_target_attention_counts_clicks():
    # A node clicked twice equals two nodes.
    key, value, _, _, weight, _ = attention_problem([3], 30)
    once, twice = torch.tensor([0, 1, 1, 2]), torch.tensor([1.0, 2.0, 1.0])
    out = scores(key, value, twice.log(), torch.tensor([0, 3]), weight)
    expected = scores(
        key[once], value[once], torch.zeros(4), torch.tensor([0, 4]), weight
    )
    assert torch.allclose(out, expected, atol=1e-5)


def test_target_attention_leaves_out_nodes_without_clicks():
    key, value, _, ptr, weight, target = attention_problem([4, 2, 1], 30)
    count = torch.tensor([0.0, 2.0, 1.0, 0.0, 3.0, 0.0, 1.0])
    inputs = key, value, count.log(), ptr, weight
    expected = padded_scores(*inputs)
    assert torch.allclose(scores(*inputs), expected, atol=1e-5)
    loss = target_attention_cross_entropy(*inputs, target)
    expected = F.cross_entropy(expected, target)
    assert_equal(loss, expected, (key, value, weight), 1e-4)
    inputs = key, value, torch.zeros(7).log(), ptr, weight
    with pytest.raises(ValueError, match='all nodes of session 0: expected'):
        scores(*inputs)


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


def test_target_attention_does_not_depend_on_batch_mates():
    key, value, log_count, ptr, weight, _ = attention_problem([2, 4, 1], 30)
    alone = scores(
        key[2:6], value[2:6], log_count[2:6], torch.tensor([0, 4]), weight
    )
    out = scores(key, value, log_count, ptr, weight)
    assert torch.allclose(out[1:2], alone, atol=1e-5)


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


@pytest.mark.parametrize(
    'change, match',
    [
        (dict(value=torch.randn(2, 4)), r"'value' has .* \[2, 4\].* 3 rows"),
        (dict(log_count=torch.zeros(2)), r"'log_count' \[2\]"),
        (dict(ptr=torch.tensor([0, 2])), "'ptr' is .* from 0 to 3"),
        (dict(ptr=torch.tensor([0, 3, 3])), 'at least one node'),
    ],
)
def test_target_attention_errors(change, match):
    inputs = dict(
        key=torch.randn(3, 4),
        value=torch.randn(3, 4),
        log_count=torch.zeros(3),
        ptr=torch.tensor([0, 2, 3]),
        weight=torch.randn(9, 4),
    )
    with pytest.raises(ValueError, match=match):
        target_attention_scores(**{**inputs, **change})


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
    monkeypatch.setattr(functional, 'is_bf16_native', lambda _: native)
    assert choose_precision('auto') == ('bf16' if native else 'float32')
    for precision in ('bf16', 'float32'):
        assert choose_precision(precision, 'cpu') == precision
