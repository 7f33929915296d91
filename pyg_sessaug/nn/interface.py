r"""What functions ask of a model, whatever its class."""

from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor
from torch_geometric.data import Data


class Ranker(Protocol):
    r"""What can be evaluated and recommend: a network, counts, a blend."""

    @property
    def num_items(self) -> int:
        r"""Size of the vocabulary."""

    def score(self, data: Data) -> Tensor:
        r"""Scores of all items, ``[B, num_items]``, floating point."""


class Learner(Ranker, Protocol):
    r"""What can be trained: a :class:`torch.nn.Module` with a loss."""

    def loss(self, data: Data) -> Tensor:
        r"""Loss of a batch, a scalar."""


def check_interface(model: Any, *names: str) -> None:
    r"""Raises unless a model has what is asked of it.

    Args:
        model (any): The model.
        *names (str): Attributes that it needs.
    """
    missing = [name for name in names if not hasattr(model, name)]
    if missing:
        raise TypeError(
            f'a {type(model).__name__} has no {" and no ".join(missing)}, '
            f'which is needed here; derive it from pyg_sessaug.nn.'
            f'SessionModel, or give it what is missing'
        )


def item_vectors(model: Any) -> Tensor:
    r"""The vectors by which a model scores items, ``[num_items, d]``; of
    blends and terms, those of the first network within.

    Args:
        model (any): The model.

    Raises:
        TypeError: If it has none, as counts.
    """
    parts = model.modules() if isinstance(model, torch.nn.Module) else [model]
    for part in parts:
        vectors = getattr(part, 'item_embedding', None)
        if isinstance(vectors, Tensor):
            return vectors
    raise TypeError(
        f'a {type(model).__name__} has no item_embedding, vectors of its '
        f'items; ask a recommender of a network, or of a blend that has one'
    )


def device_of(model: Any) -> torch.device:
    r"""Where a model computes: the device of its first parameter or buffer,
    the CPU if it has none.
    """
    if isinstance(model, torch.nn.Module):
        for tensor in chain(model.parameters(), model.buffers()):
            return tensor.device
    return torch.device('cpu')
