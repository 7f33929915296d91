"""KMeans against a Gaussian mixture, with their centres moved."""

import os.path as osp
from dataclasses import replace
from typing import Any, Dict, List, Optional

import matplotlib.pyplot as plt
import torch
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.experiments import study
from benchmarks.experiments.methods import METHODS, changed_edges
from benchmarks.experiments.plots import COLORS
from benchmarks.studies.measures import (
    balance,
    sizes,
    spacing,
    within_share,
)
from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.comparison import compare, gains, per_session
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.training.augmentations import derive
from pyg_sessaug.transforms import ClusterDistance, NormalizeEdges

DESCRIPTION = """\
Why centres of KMeans should make better weights than those of a Gaussian
mixture (sections 7.2 and 8.1), or whether they do: cluster sizes, spacing,
how near items are to their centres, what the weights of training edges become,
and the metrics of models trained with both, as they are and with the centres
of each spaced as those of the other (gmm-spread, kmeans-squeezed).
"""
VARIANTS = ('gmm', 'gmm-spread', 'kmeans', 'kmeans-squeezed')
NUM_SAMPLES = 10_000
COLOR = dict(zip(VARIANTS, (COLORS[1], COLORS[4], COLORS[5], COLORS[2])))


def main(argv: Optional[List[str]] = None) -> None:
    args = study.start(study.arguments('cluster_centers', DESCRIPTION), argv)
    runs = study.experiment(args, ['base', 'gmm', 'kmeans'])
    train, test = runs.data['train'], runs.data['test']
    embedding = study.model(runs).item_embedding.detach()
    gmm, kmeans = (
        ItemClusters.load(
            osp.join(runs.folder, f'seed{args.seed}-{name}.clusters.pt')
        )
        for name in ('gmm', 'kmeans')
    )
    clusters = {
        'gmm': gmm,
        'gmm-spread': respace(gmm, spacing(kmeans.centers)['mean']),
        'kmeans': kmeans,
        'kmeans-squeezed': respace(kmeans, spacing(gmm.centers)['mean']),
    }
    rank = {'base': runs.run(args.seed, METHODS['base'])['rank']}
    variants: Dict[str, Any] = {}
    for name, found in clusters.items():
        print(name, flush=True)
        method = replace(METHODS[name.split('-')[0]], name=name)
        weights = ClusterDistance(found)
        rank[name] = runs.run(args.seed, method, weights)['rank']
        size = sizes(found, train.seen_items)
        variants[name] = {
            'sizes': sorted(size, reverse=True),
            'balance': balance(size),
            'spacing': spacing(found.centers),
            'within': within_share(found.labels, test.flat_sessions),
            **nearness(found, embedding, train.seen_items),
            **edges(train, found, embedding, derive(args.seed, 'edges')),
        }
    gain = {name: gains([x]) for name, x in rank.items()}
    session = per_session(test)
    results = {
        'variants': variants,
        'metrics': {
            metric: compare({x: gain[x][metric] for x in gain}, session)
            for metric in ('HR@20', 'MRR@20')
        },
        'kmeans_minus_gmm': {
            metric: compare(
                {x: gain[x][metric] for x in ('gmm', 'kmeans')},
                session,
                base='gmm',
            )['kmeans']
            for metric in ('HR@20', 'MRR@20')
        },
    }
    study.write(args, results, table(results), plot(results))


def respace(clusters: ItemClusters, distance: float) -> ItemClusters:
    """The same clusters, with centres so far apart on average."""
    factor = distance / spacing(clusters.centers)['mean']
    middle = clusters.centers.mean(dim=0)
    centers = middle + factor * (clusters.centers - middle)
    return ItemClusters(clusters.labels, centers)


def nearness(
    clusters: ItemClusters, embedding: Tensor, seen: Tensor
) -> Dict[str, float]:
    """How items lie to the centres."""
    points, labels = embedding[seen].double(), clusters.labels[seen]
    distance = torch.cdist(points, clusters.centers.double())
    own = distance.gather(1, labels.view(-1, 1)).view(-1)
    nearest = (distance.argmin(dim=1) == labels).double()
    return {'own_center': float(own.mean()), 'nearest': float(nearest.mean())}


def edges(
    train: SessionDataset, clusters: ItemClusters, embedding: Tensor, seed: int
) -> Dict[str, Any]:
    """What becomes of training edges, all of them drawn unless said."""
    torch.manual_seed(seed)
    index = torch.randperm(len(train))[:NUM_SAMPLES]
    weight, between, length, change = [], [], [], []
    every, half = ClusterDistance(clusters, p=1.0), ClusterDistance(clusters)
    for part in index.split(500):
        batch = train.get_batch(part)
        plain = NormalizeEdges()(batch).edge_attr
        drawn = NormalizeEdges()(half(batch)).edge_attr
        change.append((drawn - plain).abs().mean(dim=1))
        weight.append(every(batch).edge_weight)
        pair = batch.x[batch.edge_index]
        between.append(clusters.labels[pair[0]] != clusters.labels[pair[1]])
        points = embedding[pair].double()
        length.append((points[0] - points[1]).norm(dim=1))
    weight, between, length, change = map(
        torch.cat, (weight, between, length, change)
    )
    moved = length > 0
    crossing = between & moved
    return {
        'between': float(crossing.double().sum() / moved.sum()),
        'weight_between': float(weight[crossing].mean()),
        'weight_within': float(weight[~between].mean()),
        'length_between': float(length[crossing].mean()),
        'length_within': float(length[~between & moved].mean()),
        # Of edges between clusters, do nearer centres mean nearer items?
        'correlation': _number(
            spearmanr(weight[crossing], -length[crossing]).statistic
        ),
        'changed': changed_edges(train, half, NUM_SAMPLES),
        'mean_change': float(change.double().mean()),
    }


def table(results: Dict[str, Any]) -> List[List[str]]:
    rows = {
        'items per cluster': lambda x: f'{x["sizes"][-1]:,}–{x["sizes"][0]:,}',
        'balance of sizes': lambda x: f'{x["balance"]:.3f}',
        'distance of centres, min': lambda x: f'{x["spacing"]["min"]:.3f}',
        '… mean': lambda x: f'{x["spacing"]["mean"]:.3f}',
        '… max': lambda x: f'{x["spacing"]["max"]:.3f}',
        'item to its centre, mean': lambda x: f'{x["own_center"]:.3f}',
        'items whose centre is the nearest (%)': lambda x: (
            f'{100 * x["nearest"]:.1f}'
        ),
        'test sessions within one cluster (%)': lambda x: (
            f'{100 * x["within"]:.1f}'
        ),
        'training edges between clusters (%)': lambda x: (
            f'{100 * x["between"]:.1f}'
        ),
        'weight between clusters, mean': lambda x: (
            f'{x["weight_between"]:.2f}'
        ),
        'weight within a cluster, mean': lambda x: f'{x["weight_within"]:.2f}',
        'edge length between clusters': lambda x: f'{x["length_between"]:.3f}',
        'edge length within a cluster': lambda x: f'{x["length_within"]:.3f}',
        'weight and nearness, rank correlation': lambda x: (
            '–' if x['correlation'] is None else f'{x["correlation"]:.2f}'
        ),
        'edges whose weight changes (%)': lambda x: (
            f'{100 * x["changed"]["weights"]:.1f}'
        ),
        'edges whose share changes (%)': lambda x: (
            f'{100 * x["changed"]["shares"]:.1f}'
        ),
        'change of a share, mean': lambda x: f'{x["mean_change"]:.4f}',
    }
    lines = [['', *VARIANTS]]
    for name, cell in rows.items():
        lines.append([name, *(cell(results['variants'][x]) for x in VARIANTS)])
    for metric, row in results['metrics'].items():
        lines.append(
            [
                f'{metric} (%; base {row["base"]["mean"]:.2f})',
                *(f'{row[x]["mean"]:.2f}' for x in VARIANTS),
            ]
        )
    return lines


def plot(results: Dict[str, Any]) -> Any:
    fig, axes = plt.subplots(2, 2, figsize=(8, 6), layout='constrained')
    variants = results['variants']
    place = range(len(VARIANTS))

    for i, name in enumerate(VARIANTS):
        gap = variants[name]['spacing']
        axes[0, 0].errorbar(
            i, gap['mean'],
            [[gap['mean'] - gap['min']], [gap['max'] - gap['mean']]],
            color=COLOR[name], marker='o', capsize=5, lw=2,
        )  # fmt: skip
    axes[0, 0].set(
        title='Spacing of the centres',
        ylabel='Distance: mean, smallest, largest',
        ylim=(0, None),
    )
    share = [100 * variants[x]['changed']['shares'] for x in VARIANTS]
    axes[0, 1].bar(place, share, color=[COLOR[x] for x in VARIANTS])
    axes[0, 1].bar_label(axes[0, 1].containers[0], fmt='%.1f')
    axes[0, 1].set(
        title='Edges whose share changes', ylabel='Training edges (%)'
    )
    axes[0, 1].margins(y=0.15)
    for name, row in variants.items():
        axes[1, 0].plot(
            range(1, len(row['sizes']) + 1), row['sizes'], color=COLOR[name],
            marker='o' if '-' not in name else 'x', label=name,
            ls='-' if '-' not in name else ':',
        )  # fmt: skip
    axes[1, 0].set(
        title='Sizes',
        xlabel='Clusters, largest first',
        ylabel='Items',
        ylim=(0, None),
    )
    axes[1, 0].legend(frameon=False, fontsize=9)
    rows = results['metrics']['HR@20']
    for i, name in enumerate(VARIANTS):
        row = rows[name]
        gap = [[row['difference'] - row['low']]]
        gap.append([row['high'] - row['difference']])
        axes[1, 1].errorbar(
            i, row['difference'], gap, color=COLOR[name], marker='o',
            capsize=5, lw=2,
        )  # fmt: skip
    axes[1, 1].axhline(0, color='k', ls='--', lw=1, label='base')
    axes[1, 1].set(
        title='HR@20 against the base, 95 % interval',
        ylabel='Difference (percentage points)',
    )
    axes[1, 1].legend(frameon=False, fontsize=9)
    for axis in (axes[0, 0], axes[0, 1], axes[1, 1]):
        axis.set_xticks(place, [x.replace('-', '\n') for x in VARIANTS])
        axis.set_xlim(-0.6, 3.6)
    for axis in axes.flat:
        axis.grid(alpha=0.3, axis='y')
    return fig


def _number(value: float) -> Optional[float]:
    return None if value != value else float(value)


if __name__ == '__main__':
    study.call(main)
