r"""Training on samples of a large catalogue."""

from functools import partial
from typing import Any, Callable, Dict, List

import torch
from torch import Tensor
from torch.utils.data import Subset
from torch_geometric.data import Batch

from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.nn.interface import check_interface, device_of
from pyg_sessaug.nn.loss.sampled import Negatives
from pyg_sessaug.nn.models.session_model import SessionModel
from pyg_sessaug.training.distributed import world_size
from pyg_sessaug.training.row_adam import RowAdam

LOSSES = ('exact', 'sampled')

# Validation scores all items, which would take longer than training.
MAX_VALIDATION = 20_000


def check_sampled(model: Any) -> None:
    r"""Raises unless a model can be trained on a sample of the items.

    Args:
        model (SessionModel): The model, whose scores are inner products with
            the item table.
    """
    check_interface(model, 'item_embedding', 'sampled_loss')
    own, sampled = (
        getattr(getattr(model, x), '__func__', None)
        is not getattr(SessionModel, x)
        for x in ('loss', 'sampled_loss')
    )
    if own and not sampled:
        raise ValueError(
            f"loss='sampled' would replace the loss that a "
            f'{type(model).__name__} has of its own; train it with '
            f"loss='exact' (--loss exact), or give it a method "
            f'sampled_loss(data, negatives)'
        )
    if world_size() > 1:
        raise ValueError(
            f"loss='sampled' trains in one process, but there are "
            f"{world_size()}; start one, or pass loss='exact'"
        )


def sampled_loss(
    model: Any,
    loader: SessionLoader,
    sampler: Any,
    num_negatives: int,
    power: float,
) -> Callable[[Batch], Tensor]:
    r"""The loss of a batch over a sample of the items.

    Args:
        model (SessionModel): The model.
        loader (SessionLoader): The training samples.
        sampler (Sampler): Draws them; may tell, in :obj:`weight`, how often
            relative to one another.
        num_negatives (int): See
            :class:`~pyg_sessaug.nn.Negatives`.
        power (float): Likewise.
    """
    popularity = torch.bincount(
        loader.targets,
        getattr(sampler, 'weight', None),
        minlength=model.num_items,
    )
    negatives = Negatives(popularity, num_negatives, power, device_of(model))
    return partial(model.sampled_loss, negatives=negatives)


def row_adam(model: Any, lr: float, weight_decay: float) -> RowAdam:
    r"""Adam that moves the items of a step alone, without weight decay.

    Args:
        model (SessionModel): The model.
        lr (float): Learning rate.
        weight_decay (float): L2 penalty of all that is not the item table.
    """
    table = model.item_embedding
    others = [x for x in model.parameters() if x is not table]
    groups: List[Dict[str, Any]] = [{'params': [table], 'weight_decay': 0.0}]
    if others:
        groups.append({'params': others})
    return RowAdam(groups, lr=lr, weight_decay=weight_decay, fused=True)


def part_of(val: Any) -> Any:
    r"""At most :obj:`MAX_VALIDATION` samples, evenly spaced."""
    size = min(len(val), MAX_VALIDATION)
    if size == len(val):
        return val
    return Subset(val, [i * len(val) // size for i in range(size)])
