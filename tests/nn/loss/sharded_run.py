"""Losses over a sharded table, in processes that `torchrun` starts."""

import sys

import torch
import torch.nn.functional as F
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pyg_sessaug.metrics import target_rank
from pyg_sessaug.nn.loss.sharded import (
    shard_table,
    sharded_cross_entropy,
    sharded_lookup,
    sharded_rank,
)

ITEMS, CHANNELS, BATCH, STEPS = 1001, 8, 12, 4


class Largest(TorchDispatchMode):
    """The largest tensor that any operation makes in this process."""

    num_bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(x, torch.Tensor):
                local = x.to_local() if isinstance(x, DTensor) else x
                size = local.untyped_storage().nbytes()
                self.num_bytes = max(self.num_bytes, size)
        return out


def problem():
    torch.manual_seed(0)
    table, layer = torch.randn(ITEMS, CHANNELS), torch.nn.Linear(8, 8)
    item = torch.randint(ITEMS, (STEPS, BATCH, 3))
    return table, layer, item, torch.randint(ITEMS, (STEPS, BATCH))


def train(table, layer, item, target, look_up, cross_entropy):
    """Losses, and gradients of the first step."""
    groups = [{'params': [table]}, {'params': layer.parameters()}]
    optimizer = torch.optim.Adam(groups, lr=0.05)
    losses, grads = [], []
    for index, y in zip(item, target):
        x = layer(look_up(table, index).mean(dim=1))
        loss = cross_entropy(x, table, y)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if not grads:
            grads = [p.grad.clone() for p in (table, *layer.parameters())]
        optimizer.step()
    return torch.tensor(losses), grads


def one():
    table, *rest = problem()

    def cross_entropy(x, table, y):
        return F.cross_entropy(x @ table.t(), y)

    def look_up(table, index):
        return table[index]

    table = table.requires_grad_()
    return *train(table, *rest, look_up, cross_entropy), table.detach()


def main(path):
    torch.distributed.init_process_group('gloo')
    mesh = init_device_mesh('cpu', (torch.distributed.get_world_size(),))
    rank = mesh.get_local_rank()
    table, *rest = problem()
    table = torch.nn.Parameter(distribute_tensor(table, mesh, [Shard(0)]))
    largest = Largest()
    with largest:
        losses, grads = train(
            table, *rest, sharded_lookup, sharded_cross_entropy
        )
    result = {
        'losses': losses,
        'placements': str(grads[0].placements),
        'grads': [grads[0].full_tensor(), *grads[1:]],
        'table': table.detach().full_tensor(),
        'bytes': table.to_local().nbytes,
        'largest': largest.num_bytes,
    }
    # Few different scores, so that many are equal.
    torch.manual_seed(1)
    coarse = torch.randint(3, (ITEMS, CHANNELS)).float()
    x, target = torch.randint(3, (50, 8)).float(), torch.arange(50) * 20
    sharded = torch.nn.Parameter(distribute_tensor(coarse, mesh, [Shard(0)]))
    result['rank'] = sharded_rank(x, sharded, target)
    result['expected_rank'] = target_rank(x @ coarse.t(), target)
    drawn = shard_table(ITEMS, CHANNELS, mesh, std=0.5)
    result['drawn'] = drawn.detach().full_tensor()
    result['next'] = torch.rand(3)
    try:
        shard_table(1, 4, mesh)
    except ValueError as error:
        result['error'] = str(error)
    torch.save(result, f'{path}/{rank}')
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main(sys.argv[1])
