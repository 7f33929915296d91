"""Clusters of items by a Gaussian mixture and by KMeans.

Clusters of the item embeddings of a trained base model, by a Gaussian
mixture (gmm) and by KMeans, for several numbers of clusters: the highest
cluster probability of each item (figure 6.4), cluster sizes and their balance
(section 7.2), distances between centres (Table 7.2), and the share of test
sessions that stay within one cluster. What models make of the number (section
6.2) is in num_clusters.py.
"""

from argparse import Namespace
from itertools import product
from typing import Any, Dict, List, Optional

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.experiments import study
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import permute
from benchmarks.experiments.options import positive
from benchmarks.experiments.plots import panels
from benchmarks.experiments.results import Table, rows
from benchmarks.studies.measures import (
    STYLE,
    balance,
    between_share,
    fit,
    sizes,
    spacing,
    within_share,
)
from pyg_sessaug.training.augmentations import derive

# What the thesis calls high certainty it does not say.
CERTAIN = 0.9


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments('item_clusters', __doc__)
    add = parser.add_argument
    add('--num-clusters', type=positive, nargs='+', metavar='K',
        default=[2, 4, 8, 16, 32], help='numbers of clusters')  # fmt: skip
    add('--shown', type=positive, default=8, help='number shown in detail')
    args = study.start(parser, argv)
    runs = study.experiment(args)
    embedding = study.model(runs).item_embedding.detach()
    todo = [*product(sorted({*args.num_clusters, args.shown}), STYLE)]
    found = [
        describe(runs, embedding, method, k)
        for k, method in tqdm(todo, 'clusters', delay=5, disable=None)
    ]
    seen = runs.data['train'].seen_items
    results = {
        'items': int(seen.sum()),
        'shown': args.shown,
        'rows': [{k: v for k, v in x.items() if k != 'top'} for x in found],
    }
    study.write(args, results, table(found), plot(args, found))


def describe(
    runs: Experiment, embedding: Tensor, method: str, num_clusters: int
) -> Dict[str, Any]:
    """All numbers of one clustering; ``top`` is the highest probability."""
    train, test = runs.data['train'], runs.data['test']
    clusters, found = fit(runs, embedding, method, num_clusters)
    size = sizes(clusters, train.seen_items)
    torch.manual_seed(derive(runs.args.seeds[0], method, 'shuffled'))
    shuffled = clusters.labels[permute(train.seen_items)]
    row: Dict[str, Any] = {
        'method': method,
        'num_clusters': num_clusters,
        'sizes': sorted(size, reverse=True),
        'balance': balance(size),
        'within': within_share(clusters.labels, test.flat_sessions),
        'within_shuffled': within_share(shuffled, test.flat_sessions),
        'between': between_share(clusters.labels, train.flat_sessions),
        'spacing': spacing(clusters.centers) if num_clusters > 1 else None,
    }
    if method == 'gmm':
        points = embedding[train.seen_items].double().numpy()
        row['top'] = torch.from_numpy(found.predict_proba(points)).amax(1)
        row['certain'] = float((row['top'] >= CERTAIN).double().mean())
        row['bic'] = float(found.bic(points))
        row['converged'] = bool(found.converged_)
    return row


def table(found: List[Dict[str, Any]]) -> Table:
    none = {'min': None, 'max': None}
    records = [
        {
            **{'certain': None, 'bic': None, **x},
            'spacing': x['spacing'] or none,
            'size': f'{x["sizes"][-1]:,}–{x["sizes"][0]:,}',
            'millions': x['bic'] / 1e6 if 'bic' in x else None,
        }
        for x in found
    ]
    cells = [
        ('clusters', '{num_clusters}, {method}'),
        ('smallest and largest', '{size}'),
        ('balance', '{balance:.3f}'),
        ('distance of centres, min', '{spacing[min]:.3f}'),
        ('max', '{spacing[max]:.3f}'),
        ('sessions in one (%)', '{within:.1%}'),
        ('if shuffled (%)', '{within_shuffled:.1%}'),
        (f'items of probability ≥ {CERTAIN} (%)', '{certain:.1%}'),
        ('BIC / 10⁶', '{millions:.3f}'),
    ]
    return rows(records, cells)


def plot(args: Namespace, found: List[Dict[str, Any]]) -> Any:
    fig, axes = panels(2, 2, (8, 6.4), 'both')
    top, bars, even, inside = axes.flat
    shown = {x['method']: x for x in found if x['num_clusters'] == args.shown}
    share = shown['gmm']['top'].numpy()
    top.hist(share, 40, range=(0, 1), color=STYLE['gmm']['color'], label='gmm',
             weights=np.full(share.size, 100 / share.size))  # fmt: skip
    top.axvline(CERTAIN, color='k', ls=':', lw=1, label=str(CERTAIN))
    top.set(title=f'Certainty, {args.shown} clusters',
            xlabel='Highest cluster probability of an item',
            ylabel='Items (%)')  # fmt: skip
    for shift, (name, row) in zip((-0.2, 0.2), shown.items()):
        place = [i + 1 + shift for i in range(args.shown)]
        color = STYLE[name]['color']
        bars.bar(place, row['sizes'], 0.4, color=color, label=name)
    bars.set(xticks=range(1, args.shown + 1), ylabel='Items',
             title=f'Sizes, {args.shown} clusters',
             xlabel='Clusters, largest first')  # fmt: skip
    for name, style in STYLE.items():
        own = [x for x in found if x['method'] == name]
        k = [x['num_clusters'] for x in own]
        even.plot(k, [x['balance'] for x in own], label=name, **style)
        inside.plot(k, [100 * x['within'] for x in own], label=name, **style)
        inside.plot(k, [100 * x['within_shuffled'] for x in own], lw=0.7,
                    mfc='none', label=f'{name}, shuffled',
                    **style)  # fmt: skip
    even.set(title='Balance of sizes', ylabel='Entropy / log k')
    inside.set(title='Sessions within one cluster', ylabel='Sessions (%)')
    for axis in (even, inside):
        axis.set_xscale('log', base=2)
        axis.set_xticks(k, k)
        axis.set_xlabel('Number of clusters')
    inside.set_ylim(0, 100)
    for axis in axes.flat:
        axis.legend(frameon=False, fontsize=9)
    return fig


if __name__ == '__main__':
    study.call(main)
