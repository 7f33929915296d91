"""An edge-weighting transform of one's own: popular items weigh more.

It comes before `NormalizeEdges`, which makes shares of the weights. All edges
into an item have its popularity in common, so that the target alone would
cancel in their shares: hence both ends.
"""

import argparse

import torch
from torch_geometric.transforms import BaseTransform, Compose

from pyg_sessaug import evaluate, fit
from pyg_sessaug.data.graphs import with_edges
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import preset
from pyg_sessaug.transforms import GaussianBlur, NormalizeEdges

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--root', default='data')
parser.add_argument('--num-sessions', type=int, default=2000)
parser.add_argument('--epochs', type=int, default=3)
args = parser.parse_args()


class Popularity(BaseTransform):
    batchwise = True  # One call for a whole batch of graphs

    def __init__(self, clicks):
        self.weight = torch.log1p(clicks.float())

    def forward(self, data):  # PyG passes a shallow copy
        weight = self.weight[data.x[data.edge_index]].prod(dim=0)
        return with_edges(data, edge_weight=weight)


train, val, test = (
    MultimodalSessions(
        args.root, split, num_sessions=args.num_sessions, num_items=300
    )
    for split in ('train', 'val', 'test')
)
clicks = torch.bincount(train.flat_sessions.item, minlength=train.num_items)
transforms = {
    'plain': NormalizeEdges(),
    'popularity': Compose(
        [Popularity(clicks), NormalizeEdges(), GaussianBlur()]
    ),
}
graph = next(graph for graph in train if graph.num_edges > 3)
print('weights of a session:', Popularity(clicks)(graph).edge_weight)
for name, transform in transforms.items():
    torch.manual_seed(0)
    model = SRGNN(train.num_items, hidden_channels=64)
    options = preset('auto', train, epochs=args.epochs)
    fit(model, train, val, transform, progress=False, **options)
    print(f'{name}:', evaluate(model, test))
