r"""Training by several processes, each of which takes a part of every batch.

Without a process group, or in one of a single process, everything here is
what that process does alone.
"""

import os
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Callable, Iterator, List, Tuple, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Sampler
from torch_geometric.data import Batch

from pyg_sessaug.nn.interface import device_of

T = TypeVar('T')

# For others to wait while one prepares data or fits clusters.
TIMEOUT = timedelta(hours=12)


def rank() -> int:
    r"""Number of this process, from 0."""
    return dist.get_rank() if _is_initialized() else 0


def world_size() -> int:
    r"""Number of processes."""
    return dist.get_world_size() if _is_initialized() else 1


@contextmanager
def process_group() -> Iterator[None]:
    r"""Joins the processes that ``torchrun`` started, if it did.

    Raises:
        ConnectionError: If another process ended early.
    """
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
    dist.init_process_group(timeout=TIMEOUT)
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and 'gloo' not in str(error):
            raise
        raise ConnectionError(
            f'process {rank()} lost another one, which tells the reason '
            f'({error})'
        ) from error
    # Not after an error: others would end, and torchrun with them all, before
    # it is told.
    dist.destroy_process_group()


@contextmanager
def first_on_machine_first() -> Iterator[None]:
    r"""Lets one process of a machine make files before others look."""
    is_first = os.environ.get('LOCAL_RANK', '0') == '0'
    if world_size() > 1 and not is_first:
        dist.barrier()
    yield
    if world_size() > 1 and is_first:
        dist.barrier()


def from_first(make: Callable[[], T]) -> T:
    r"""What the first process makes, on every process.

    Args:
        make (callable): Called in the first process alone.
    """
    value = [make() if rank() == 0 else None]
    if world_size() > 1:
        dist.broadcast_object_list(value, src=0)
    return cast(T, value[0])


def gather(value: Tensor) -> Tensor:
    r"""Tensors of all processes, ``[world_size, *]``, on the CPU."""
    values = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(values, value)
    return torch.stack(values)


def sum_over_processes(*values: float) -> List[float]:
    r"""Each value, summed over all processes in their order."""
    value = torch.tensor(values, dtype=torch.double)
    return gather(value).sum(dim=0).tolist()


class BatchParts(Sampler[List[int]]):
    r"""This process's part of every batch of shuffled samples.

    The batches are those of one process with the same seed, and are dealt out
    sample by sample.

    Args:
        sampler (Sampler): Draws the samples.
        batch_size (int): Samples of a batch, over all processes.
    """

    def __init__(self, sampler: Any, batch_size: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[List[int]]:
        order = from_first(lambda: torch.tensor(list(self.sampler)))
        for batch in order.split(self.batch_size):
            part = batch[rank() :: world_size()]
            # All take every step, if with a sample that does not count.
            yield (part if part.numel() > 0 else batch[:1]).tolist()


def part_sizes(num_samples: int, batch_size: int) -> Iterator[Tuple[int, int]]:
    r"""Samples of this process and of all, in every batch."""
    for start in range(0, num_samples, batch_size):
        size = min(batch_size, num_samples - start)
        yield len(range(rank(), size, world_size())), size


class _Loss(torch.nn.Module):
    # Gradients are averaged for what is computed by `forward`.
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        # Unused: with all in use, `find_unused_parameters` is warned of.
        unused = torch.zeros(1, device=device_of(model))
        self.unused = torch.nn.Parameter(unused)

    def forward(self, batch: Batch) -> Tensor:
        return self.model.loss(batch)


def distributed_loss(model: Any) -> Callable[[Batch], Tensor]:
    r"""The loss of a model, with gradients averaged over all processes.

    Args:
        model (SessionModel): The model, whose weights become those of the
            first process.
    """
    if world_size() == 1:
        return model.loss
    # Without message passing some parameters have no gradient; and buckets
    # that stay as they are sum in the same order after a restart.
    loss: Any = DistributedDataParallel(
        _Loss(model), find_unused_parameters=True
    )
    return cast(Callable[[Batch], Tensor], loss)


def _is_initialized() -> bool:
    return dist.is_available() and dist.is_initialized()
