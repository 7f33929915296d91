"""The loss over all items, as it is and as it could be."""

from functools import partial
from typing import Any, Callable, Dict

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_sessaug.nn.loss.catalogue import (
    catalogue_cross_entropy,
    product_dtype,
)

ALL = 2**31  # Rows in a chunk: more than there are.


def losses(precision: str) -> Dict[str, Callable[..., Tensor]]:
    """Equal losses of session vectors, item table and targets."""
    dtype = product_dtype(precision, torch.float32)

    def plain(x: Tensor, weight: Tensor, y: Tensor) -> Tensor:
        score = x.to(dtype) @ weight.to(dtype).t()
        return F.cross_entropy(score.float(), y)

    out = {
        'catalogue_cross_entropy': partial(
            catalogue_cross_entropy, precision=precision
        ),
        'F.cross_entropy': plain,
    }
    if not hasattr(F, 'linear_cross_entropy'):  # Came with torch 2.13.
        return out

    def linear(x: Tensor, weight: Tensor, y: Tensor, **kwargs: Any) -> Tensor:
        return F.linear_cross_entropy(
            x.to(dtype), weight.to(dtype), y, **kwargs
        )

    options = torch.nn.LinearCrossEntropyOptions
    out['F.linear_cross_entropy'] = linear
    for name, option in {
        'default chunks': options(),
        'one chunk': options(batch_chunk_size=ALL),
        'one chunk, compact': options(
            batch_chunk_size=ALL, acc_policy='compact'
        ),
    }.items():
        out[f'F.linear_cross_entropy, {name}'] = partial(
            linear, options=option
        )
    return out


def with_gradients(loss: Callable) -> Callable[..., Any]:
    return lambda x, weight, y: torch.autograd.grad(
        loss(x, weight, y), (x, weight)
    )
