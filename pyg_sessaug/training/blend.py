r"""Weights of a mixture of models."""

from typing import Any, Sequence

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Batch

from pyg_sessaug.evaluation import batch_size_of, run_batches
from pyg_sessaug.nn.interface import device_of
from pyg_sessaug.nn.models.blend import Blend, log_probability


def fit_blend(
    members: Sequence[Module], val: Any, progress: bool = True
) -> Blend:
    r"""Mixes trained models by the weights that validation likes best.

    Each member ranks the validation samples once; the weights then take
    seconds. They maximise the likelihood of the targets, not a metric.

    Args:
        members (list of torch.nn.Module): The models, which stay as they
            are, but for counts, which go where the networks are.
        val (SessionDataset or Subset): Samples that chose their epochs and
            that none was trained on.
        progress (bool): Whether a terminal shows bars where it takes over
            five seconds. (default: :obj:`True`)
    """
    blend = Blend(members)
    columns = []
    member: Any
    for member in blend.members:

        def of_target(batch: Batch, member: Any = member) -> Tensor:
            value = log_probability(member, batch)
            return value.gather(1, batch.y.unsqueeze(1)).squeeze(1)

        size = batch_size_of(blend)
        columns.append(run_batches(member, of_target, val, size, progress))
    blend.fit_weights(torch.stack(columns, dim=1))
    return blend.to(device_of(blend)).eval()
