"""Clusters of items by a Gaussian mixture and by KMeans."""

from argparse import Namespace
from typing import Any, Dict, List, Optional

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.experiments import study
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import permute
from benchmarks.experiments.plots import COLORS
from benchmarks.run import positive
from benchmarks.studies.measures import (
    balance,
    between_share,
    fit,
    sizes,
    spacing,
    within_share,
)
from pyg_sessaug.training.augmentations import derive

DESCRIPTION = """\
Clusters of the item embeddings of a trained base model, by a Gaussian
mixture (gmm) and by KMeans, for several numbers of clusters: the highest
cluster probability of each item (figure 6.4), cluster sizes and their balance
(section 7.2), distances between centres (Table 7.2), and the share of test
sessions that stay within one cluster. What models make of the number (section
6.2) is in num_clusters.py.
"""
METHODS = ('gmm', 'kmeans')
# What the thesis calls high certainty it does not say.
CERTAIN = 0.9
STYLE = {'gmm': (COLORS[1], 'o', '-'), 'kmeans': (COLORS[5], 's', '--')}


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments('item_clusters', DESCRIPTION)
    parser.add_argument(
        '--num-clusters',
        type=positive,
        nargs='+',
        default=[2, 4, 8, 16, 32],
        metavar='K',
        help='numbers of clusters',
    )
    parser.add_argument(
        '--shown', type=positive, default=8, help='number shown in detail'
    )
    args = study.start(parser, argv)
    runs = study.experiment(args)
    embedding = study.model(runs).item_embedding.detach()
    todo = [
        (k, method)
        for k in sorted({*args.num_clusters, args.shown})
        for method in METHODS
    ]
    rows = [
        describe(runs, embedding, method, k)
        for k, method in tqdm(todo, 'clusters', disable=None)
    ]
    seen = runs.data['train'].seen_items
    results = {
        'items': int(seen.sum()),
        'shown': args.shown,
        'rows': [{k: v for k, v in x.items() if k != 'top'} for x in rows],
    }
    study.write(args, results, table(rows), plot(args, rows))


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


def table(rows: List[Dict[str, Any]]) -> List[List[str]]:
    lines = [
        [
            'clusters',
            'smallest and largest',
            'balance',
            'distance of centres, min',
            'max',
            'sessions in one (%)',
            'if shuffled (%)',
            f'items of probability ≥ {CERTAIN} (%)',
            'BIC / 10⁶',
        ]
    ]
    for row in rows:
        gap = row['spacing'] or {'min': None, 'max': None}
        gmm = row['method'] == 'gmm'
        lines.append(
            [
                f'{row["num_clusters"]}, {row["method"]}',
                f'{row["sizes"][-1]:,}–{row["sizes"][0]:,}',
                f'{row["balance"]:.3f}',
                *(
                    '–' if gap[key] is None else f'{gap[key]:.3f}'
                    for key in ('min', 'max')
                ),
                f'{100 * row["within"]:.1f}',
                f'{100 * row["within_shuffled"]:.1f}',
                f'{100 * row["certain"]:.1f}' if gmm else '–',
                f'{row["bic"] / 1e6:.3f}' if gmm else '–',
            ]
        )
    return lines


def plot(args: Namespace, rows: List[Dict[str, Any]]) -> Any:
    fig, axes = plt.subplots(2, 2, figsize=(8, 6.4), layout='constrained')
    top, bars, even, inside = axes.flat
    shown = {x['method']: x for x in rows if x['num_clusters'] == args.shown}
    found = shown['gmm']['top'].numpy()
    top.hist(
        found,
        40,
        range=(0, 1),
        weights=np.full(found.size, 100 / found.size),
        color=STYLE['gmm'][0],
        label='gmm',
    )
    top.axvline(CERTAIN, color='k', ls=':', lw=1, label=str(CERTAIN))
    top.set(
        title=f'Certainty, {args.shown} clusters',
        xlabel='Highest cluster probability of an item',
        ylabel='Items (%)',
    )
    for shift, (name, row) in zip((-0.2, 0.2), shown.items()):
        bars.bar(
            [i + 1 + shift for i in range(args.shown)], row['sizes'], 0.4,
            color=STYLE[name][0], label=name,
        )  # fmt: skip
    bars.set(
        xticks=range(1, args.shown + 1),
        title=f'Sizes, {args.shown} clusters',
        xlabel='Clusters, largest first',
        ylabel='Items',
    )
    for name, (color, marker, line) in STYLE.items():
        own = [x for x in rows if x['method'] == name]
        k = [x['num_clusters'] for x in own]
        even.plot(k, [x['balance'] for x in own], color=color, marker=marker,
                  ls=line, label=name)  # fmt: skip
        for key, label, width in (
            ('within', name, 1.5),
            ('within_shuffled', f'{name}, shuffled', 0.7),
        ):
            inside.plot(k, [100 * x[key] for x in own], color=color, ls=line,
                        marker=marker, lw=width, label=label,
                        mfc=color if key == 'within' else 'none')  # fmt: skip
    even.set(title='Balance of sizes', ylabel='Entropy / log k')
    inside.set(title='Sessions within one cluster', ylabel='Sessions (%)')
    for axis in (even, inside):
        axis.set_xscale('log', base=2)
        axis.set_xticks(k, k)
        axis.set_xlabel('Number of clusters')
    inside.set_ylim(0, 100)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=9)
    return fig


if __name__ == '__main__':
    study.call(main)
