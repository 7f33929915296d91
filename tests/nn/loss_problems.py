"""Small problems for the losses, and what they are compared with."""

import torch


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
