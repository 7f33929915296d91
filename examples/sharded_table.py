"""An item table over several processes, each of which has some of the rows.

Start it by `torchrun --nproc-per-node=2 examples/sharded_table.py`. All
processes see the same batches, so the layers of the model stay the same in
all, without a word between them.
"""

import argparse
import os

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from pyg_sessaug import SessionLoader
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import (
    SRGNN,
    shard_table,
    sharded_cross_entropy,
    sharded_lookup,
    sharded_rank,
)
from pyg_sessaug.transforms import NormalizeEdges

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--root', default='data')
parser.add_argument('--num-sessions', type=int, default=4000)
parser.add_argument('--epochs', type=int, default=3)
args = parser.parse_args()

device = 'cuda' if torch.cuda.is_available() else 'cpu'
if device == 'cuda':
    torch.cuda.set_device(int(os.environ.get('LOCAL_RANK', 0)))
if dist.is_torchelastic_launched():
    dist.init_process_group()
else:  # One process is a group, too.
    dist.init_process_group(store=dist.HashStore(), rank=0, world_size=1)
mesh = init_device_mesh(device, (dist.get_world_size(),))
first = mesh.get_local_rank() == 0

size = {'num_sessions': args.num_sessions, 'num_items': 1000}
train, test = (
    MultimodalSessions(args.root, split, **size) for split in ('train', 'test')
)
torch.manual_seed(0)  # The same layers and batches in all processes
table = shard_table(train.num_items, 32, mesh)
model = SRGNN(1, hidden_channels=32).to(device)  # Its own table stays unused.
groups = [{'params': [table]}, {'params': model.parameters()}]
optimizer = torch.optim.Adam(groups, lr=0.01)


def session_vectors(batch):
    x = sharded_lookup(table, model.items(batch))
    return model.unit(model.session(x, batch))


loader = SessionLoader(train, 100, shuffle=True, transform=NormalizeEdges())
for epoch in range(1, args.epochs + 1):
    for batch in loader:
        batch = model.prepare(batch).to(device)
        loss = sharded_cross_entropy(session_vectors(batch), table, batch.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    hits = 0
    for batch in SessionLoader(test, 500, transform=NormalizeEdges()):
        batch = model.prepare(batch).to(device)
        with torch.no_grad():
            rank = sharded_rank(session_vectors(batch), table, batch.y)
        hits += int((rank <= 20).sum())
    if first:
        print(f'epoch {epoch}: HR@20 {hits / len(test):.4f}', flush=True)

local, number = table.to_local(), mesh.get_local_rank()
print(f'process {number}: {len(local)} of {len(table)} rows', flush=True)
dist.destroy_process_group()
