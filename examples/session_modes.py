"""Modes of a session: the clusters of its items in embedding space.

Generated items have a known mode, so clusters can be compared with the truth.
"""

import argparse

import torch
from sklearn.metrics import adjusted_rand_score

from pyg_sessaug import fit
from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import preset

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--root', default='data')
parser.add_argument('--num-sessions', type=int, default=4000)
parser.add_argument('--epochs', type=int, default=4)
parser.add_argument('--method', default='gmm', choices=['gmm', 'kmeans'])
args = parser.parse_args()

train, val = (
    MultimodalSessions(
        args.root, split, num_sessions=args.num_sessions, num_items=300
    )
    for split in ('train', 'val')
)
torch.manual_seed(0)
model = SRGNN(train.num_items, hidden_channels=32)
options = preset('auto', train, epochs=args.epochs)
fit(model, train, val, progress=False, **options)

embedding = model.item_embedding.detach()
clusters = ItemClusters.fit(embedding, args.method, 8, train.seen_items)
seen = train.seen_items
score = adjusted_rand_score(train.item_modes[seen], clusters.labels[seen])
print(f'clusters and modes agree by {score:.2f} (adjusted Rand index)')

sessions = train.flat_sessions
for number in range(3):
    items = sessions.item[sessions.ptr[number] : sessions.ptr[number + 1]]
    labels = clusters.labels[items]
    print(f'items {items.tolist()}: clusters {labels.tolist()}')

label = clusters.labels[sessions.item]
session = torch.repeat_interleave(sessions.length)
same = session[1:] == session[:-1]
within = (label[1:] == label[:-1])[same].float().mean()
print(f'{within:.1%} of the steps stay within a cluster')
mode = train.item_modes[sessions.item]
truth = (mode[1:] == mode[:-1])[same].float().mean()
print(f'{truth:.1%} of the steps stay within a true mode')
count = torch.bincount(label, minlength=clusters.num_clusters)
print(f'clicks by cluster: {count.tolist()}')
