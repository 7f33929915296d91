r"""Adam for a table of which a step sees a few rows."""

from typing import Any, Callable, Dict, Optional

import torch
from torch import Tensor


class RowAdam(torch.optim.Adam):
    r"""Adam that touches only those rows of a parameter that a sparse
    gradient has, of its state too.

    It does what :class:`torch.optim.SparseAdam` does: other rows stay, and
    what they remember of earlier gradients stays with them; bias is corrected
    by the number of all steps. Rows are gathered, changed and put back, which
    is faster, and one optimizer takes dense gradients as well, by Adam
    itself.

    Args:
        params (iterable): Parameters or groups of them; those with sparse
            gradients have no weight decay.
        **kwargs (optional): Arguments of :class:`torch.optim.Adam`.
    """

    @torch.no_grad()
    def step(self, closure: Optional[Callable[[], Any]] = None) -> Any:
        r"""Moves all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group['params']:
                if p.grad is not None and p.grad.is_sparse:
                    self._step_rows(p, group)
                    p.grad = None  # Adam itself would refuse it.
        super().step()
        return loss

    def _step_rows(self, p: Tensor, group: Dict[str, Any]) -> None:
        grad = p.grad.coalesce()  # type: ignore[union-attr]
        row, value = grad.indices()[0], grad.values()
        state = self.state[p]
        if len(state) == 0:
            state['step'] = torch.zeros((), device=p.device)
            state['exp_avg'] = torch.zeros_like(p)
            state['exp_avg_sq'] = torch.zeros_like(p)
        beta1, beta2 = group['betas']
        mean = state['exp_avg'].index_select(0, row)
        square = state['exp_avg_sq'].index_select(0, row)
        mean.lerp_(value, 1 - beta1)
        square.mul_(beta2).addcmul_(value, value, value=1 - beta2)
        state['exp_avg'].index_copy_(0, row, mean)
        state['exp_avg_sq'].index_copy_(0, row, square)
        step = state['step'].add_(1)
        rate = group['lr'] * (1 - beta2**step).sqrt() / (1 - beta1**step)
        change = mean.div_(square.sqrt_().add_(group['eps'])).mul_(-rate)
        p.index_add_(0, row, change)
