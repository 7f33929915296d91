r"""A table of items over several processes, and its softmax loss.

Each process has a block of rows, as torch's own :obj:`DTensor`. Processes
exchange vectors of the batch and sums over items, never rows of the table nor
the scores. PyTorch has :obj:`torch.distributed.tensor` from version 2.5 on.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from pyg_sessaug.nn.loss.catalogue import check_operands, check_target


def shard_table(
    num_items: int, channels: int, mesh: Any, std: float = 0.1
) -> Parameter:
    r"""Item vectors from :math:`\mathcal{N}(0, \textrm{std})`, of which no
    process ever has all.

    Process :math:`r` of :math:`R` has rows from :math:`r \lceil N / R \rceil`
    on. They are drawn by generators of their own, whose seed is of torch's
    generator, so that all processes draw alike from that: give it the same
    seed in each.

    Args:
        num_items (int): Size :math:`N` of the vocabulary.
        channels (int): Size of the vectors.
        mesh (torch.distributed.DeviceMesh): The processes, in one dimension,
            such as :obj:`init_device_mesh('cuda', (8,))`.
        std (float): Standard deviation. (default: :obj:`0.1`)

    Raises:
        ValueError: If a process would be left without rows.
    """
    from torch.distributed.tensor import DTensor, Shard

    first = check_rows(num_items, mesh)
    rows = min(-(-num_items // mesh.size()), num_items - first)
    device = mesh.device_type
    seed = int(torch.randint(2**62, ()))
    generator = torch.Generator(device).manual_seed(
        seed + mesh.get_local_rank()
    )
    local = torch.empty(rows, channels, device=device)
    local.normal_(std=std, generator=generator)
    return Parameter(
        DTensor.from_local(
            *(local, mesh, [Shard(0)]),
            run_check=False,
            shape=torch.Size([num_items, channels]),
            stride=(channels, 1),
        )
    )


def check_rows(num_items: int, mesh: Any) -> int:
    r"""First row of this process, if each process has some."""
    world = mesh.size()
    size = -(-num_items // world)
    if (world - 1) * size >= num_items:
        raise ValueError(
            f'{num_items} items over {world} processes, {size} each, leave '
            f'the last one none; start {-(-num_items // size)} processes'
        )
    return int(mesh.get_local_rank()) * size


def sharded_lookup(table: Any, item: Tensor) -> Tensor:
    r"""Vectors of some items, in every process; differentiable.

    Args:
        table (torch.nn.Parameter): What :func:`shard_table` gives.
        item (Tensor): The items, int64, the same in all processes.

    Shapes:
        - **table:** :math:`(N, d)`
        - **item:** :math:`(*)`
        - **output:** :math:`(*, d)`
    """
    from torch.distributed.tensor import DTensor, Partial, Replicate

    # Not DTensor's own, whose gradient is of the size of the whole table.
    local, mesh = table.to_local(), table.device_mesh
    place = item - check_rows(table.size(0), mesh)
    other = (place < 0) | (place >= local.size(0))
    rows = F.embedding(place.masked_fill(other, 0), local)
    rows = rows.masked_fill(other.unsqueeze(-1), 0.0)
    part: Any = DTensor.from_local(rows, mesh, [Partial()], run_check=False)
    out: Tensor = part.redistribute(placements=[Replicate()]).to_local()
    return out


def sharded_cross_entropy(x: Tensor, table: Any, target: Tensor) -> Tensor:
    r"""The mean softmax cross-entropy of sessions over the items of all
    processes.

    Equal to :func:`~pyg_sessaug.nn.catalogue_cross_entropy` of the whole
    table. Each process scores its own items; the largest score and the sum
    of a session are what they exchange:

    .. math::
        \mathcal{L} = \frac{1}{B} \sum_{b=1}^B \Big( m_b + \log \sum_{r=1}^R
        \sum_{v \in V_r} \exp(\mathbf{x}_b^{\top} \mathbf{w}_v - m_b) -
        \mathbf{x}_b^{\top} \mathbf{w}_{y_b} \Big), \quad
        m_b = \max_r \max_{v \in V_r} \mathbf{x}_b^{\top} \mathbf{w}_v

    All processes have the same sessions, so gradients of :obj:`x` are the
    same in all and whole; data parallel wrappers would only divide them.

    Args:
        x (Tensor): The session vectors, the same in all processes.
        table (torch.nn.Parameter): What :func:`shard_table` gives.
        target (Tensor): The item that follows each session, int64.

    Shapes:
        - **x:** :math:`(B, d)`
        - **table:** :math:`(N, d)`
        - **target:** :math:`(B)`
        - **output:** a scalar
    """
    from torch.distributed.tensor import DTensor, Replicate

    check_operands(x=x, table=table)
    check_target(target, x.size(0), table.size(0))
    mesh, whole = table.device_mesh, [Replicate()]
    score = DTensor.from_local(x, mesh, whole) @ table.t()  # Sharded items
    top = score.detach().amax(dim=1, keepdim=True).redistribute(mesh, whole)
    mass = (score - top).exp().sum(dim=1).redistribute(mesh, whole)
    lse = mass.log().to_local() + top.to_local().squeeze(1)
    return (lse - (x * sharded_lookup(table, target)).sum(dim=1)).mean()


@torch.no_grad()
def sharded_rank(x: Tensor, table: Any, target: Tensor) -> Tensor:
    r"""Rank of each target among the items of all processes, from 1, as
    :func:`~pyg_sessaug.metrics.target_rank` counts it.

    Args:
        x (Tensor): The session vectors, the same in all processes.
        table (torch.nn.Parameter): What :func:`shard_table` gives.
        target (Tensor): The item that follows each session, int64.

    Shapes:
        - **x:** :math:`(B, d)`
        - **table:** :math:`(N, d)`
        - **target:** :math:`(B)`
        - **output:** :math:`(B)`, int64
    """
    mesh = table.device_mesh
    score = x @ table.to_local().t()
    rows, first = score.size(1), check_rows(table.size(0), mesh)
    target = target.view(-1, 1)
    here = (target >= first) & (target < first + rows)
    own = score.gather(1, (target - first).clamp(0, rows - 1)) * here
    torch.distributed.all_reduce(own, group=mesh.get_group())
    item = torch.arange(first, first + rows, device=score.device)
    ahead = ((score > own) | ((score == own) & (item < target))).sum(dim=1)
    torch.distributed.all_reduce(ahead, group=mesh.get_group())
    return 1 + ahead
