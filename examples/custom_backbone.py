"""A graph layer of one's own inside SR-GNN: PyG's GATv2 in the cell's place.

Whatever takes `(x, edge_index, edge_attr)` can be `model.conv`; embeddings,
readout, scores and loss stay.
"""

import argparse

import torch
from torch_geometric.nn import GATv2Conv

from pyg_sessaug import evaluate, fit
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import preset

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--root', default='data')
parser.add_argument('--num-sessions', type=int, default=2000)
parser.add_argument('--hidden-channels', type=int, default=64)
parser.add_argument('--epochs', type=int, default=3)
args = parser.parse_args()


class Attention(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        # Both columns of edge_attr are features of the edge.
        self.conv = GATv2Conv(channels, channels, edge_dim=2)

    def forward(self, x, edge_index, edge_attr):
        return x + self.conv(x, edge_index, edge_attr).tanh()


train, val, test = (
    MultimodalSessions(
        args.root, split, num_sessions=args.num_sessions, num_items=300
    )
    for split in ('train', 'val', 'test')
)
for name in ('gated', 'attention'):
    torch.manual_seed(0)
    model = SRGNN(train.num_items, args.hidden_channels, num_layers=1)
    if name == 'attention':
        model.conv = Attention(args.hidden_channels)
    options = preset('auto', train, epochs=args.epochs)
    history = fit(model, train, val, progress=False, **options)
    losses = ', '.join(f'{epoch["val_loss"]:.4f}' for epoch in history)
    print(f'{name}: validation losses {losses}')
    print(f'{name}:', evaluate(model, test))
