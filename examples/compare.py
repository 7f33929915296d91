"""Is it better? Two models of one's own, with seeds and a shuffled control.

`base` is SR-GNN; `mine` adds a vector for the category of each item. So does
`shuffled`, but there items have the categories of other ones: what it gains
comes from more parameters, not from what categories know.
"""

import argparse

import torch

from pyg_sessaug import evaluate, fit
from pyg_sessaug.comparison import (
    compare_ranks,
    comparison_table,
    forest_plot,
    per_session,
)
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import preset

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--root', default='data')
parser.add_argument('--num-sessions', type=int, default=1500)
parser.add_argument('--epochs', type=int, help='by the samples without it')
parser.add_argument('--seeds', type=int, default=3)
parser.add_argument('--plot', help='file of a figure; needs the extra `plot`')
args = parser.parse_args()

train, val, test = (
    MultimodalSessions(
        args.root, split, num_sessions=args.num_sessions, num_items=300
    )
    for split in ('train', 'val', 'test')
)


class Mine(SRGNN):
    def __init__(self, num_items, hidden_channels, categories, **kwargs):
        super().__init__(num_items, hidden_channels, **kwargs)
        self.kind = torch.nn.Embedding(8, hidden_channels)
        self.register_buffer('categories', categories)

    def session(self, x, data):
        return super().session(x + self.kind(self.categories[data.x]), data)


# By a generator of its own: all models of a seed start alike.
order = torch.randperm(300, generator=torch.Generator().manual_seed(0))


def make(name):
    if name == 'base':
        return SRGNN(train.num_items, 32)
    own = train.categories if name == 'mine' else train.categories[order]
    return Mine(train.num_items, 32, own)


options = preset('auto', train)
options['epochs'] = args.epochs or options['epochs']
ranks = {name: [] for name in ('base', 'mine', 'shuffled')}
for seed in range(args.seeds):
    for name in ranks:
        torch.manual_seed(seed)
        model = make(name)
        fit(model, train, val, seed=seed, progress=False, **options)
        ranks[name].append(rank_samples(model, test))
        print(f'seed {seed}, {name}:', evaluate(model, test), flush=True)

# Prefixes of one session are no independent samples: sessions are drawn.
session = per_session(test)
comparison = compare_ranks(ranks, session, base='base')
print(comparison_table(comparison), 'and beyond its control:', sep='\n')
del ranks['base']
print(comparison_table(compare_ranks(ranks, session, base='shuffled')))
if args.plot:
    forest_plot(comparison).savefig(args.plot)
