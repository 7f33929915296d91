"""A stock PyG model, on plain session graphs and then on augmented ones.

Item embeddings of the first model weigh the edges of the second's graphs.
"""

import argparse

import torch
import torch.nn.functional as F
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GraphConv, global_mean_pool
from torch_geometric.transforms import Compose

from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.metrics import ranking_metrics, target_rank
from pyg_sessaug.transforms import GaussianBlur, ItemDistance, NormalizeEdges

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--root', default='data')
parser.add_argument('--num-sessions', type=int, default=2000)
args = parser.parse_args()

sizes = {'num_sessions': args.num_sessions, 'num_items': 300}
train_dataset, test_dataset = (
    MultimodalSessions(args.root, split, NormalizeEdges(), **sizes)
    for split in ('train', 'test')
)
options = dict(batch_size=100, follow_batch=['click_index'])
train_loader = DataLoader(train_dataset, shuffle=True, **options)
test_loader = DataLoader(test_dataset, **options)


class Net(torch.nn.Module):
    def __init__(self, num_items, channels):
        super().__init__()
        self.embedding = torch.nn.Embedding(num_items, channels)
        self.conv1 = GraphConv(channels, channels)
        self.conv2 = GraphConv(channels, channels)
        self.lin = torch.nn.Linear(2 * channels, channels)

    def forward(self, batch):
        x, edges = self.embedding(batch.x), batch.edge_index
        x = self.conv1(x, edges, batch.edge_attr[:, 0]).relu()
        x = self.conv2(x, edges, batch.edge_attr[:, 0])
        last = x[batch.click_index[batch.click_index_ptr[1:] - 1]]
        mean = global_mean_pool(x, batch.batch)
        session = torch.cat([last, mean], dim=1)
        return self.lin(session) @ self.embedding.weight.t()


def train(name):
    torch.manual_seed(0)
    model = Net(train_dataset.num_items, 64)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for epoch in range(1, 5):
        losses = []
        for batch in train_loader:
            optimizer.zero_grad()
            losses.append(F.cross_entropy(model(batch), batch.y))
            losses[-1].backward()
            optimizer.step()
        print(f'{name}, epoch {epoch}: {sum(losses).item() / len(losses):.4f}')
    return model


@torch.no_grad()
def test(model):
    model.eval()
    ranks = [target_rank(model(batch), batch.y) for batch in test_loader]
    return ranking_metrics(torch.cat(ranks), k=20)


base = train('plain')
train_dataset.transform = Compose(
    [ItemDistance(base.embedding.weight), NormalizeEdges(), GaussianBlur()]
)
augmented = train('augmented')
print('plain:', test(base))
print('augmented:', test(augmented))
