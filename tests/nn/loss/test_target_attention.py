import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from pyg_sessaug.nn.loss import target_attention
from pyg_sessaug.nn.loss.target_attention import (
    target_attention_cross_entropy,
    target_attention_scores,
)
from tests.nn.loss_problems import (
    assert_equal,
    attention_problem,
    padded_scores,
)

PRECISIONS = ['float32', 'bf16']
scores = torch.no_grad()(target_attention_scores)  # In chunks.


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


def test_target_attention_does_not_depend_on_batch_mates():
    key, value, log_count, ptr, weight, _ = attention_problem([2, 4, 1], 30)
    alone = scores(
        key[2:6], value[2:6], log_count[2:6], torch.tensor([0, 4]), weight
    )
    out = scores(key, value, log_count, ptr, weight)
    assert torch.allclose(out[1:2], alone, atol=1e-5)


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
