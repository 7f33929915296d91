"""KMeans against a Gaussian mixture, with their centres moved.

Why centres of KMeans should make better weights than those of a Gaussian
mixture (sections 7.2 and 8.1), or whether they do: cluster sizes, spacing,
how near items are to their centres, what the weights of training edges become,
and the metrics of models trained with both, as they are and with the centres
of each spaced as those of the other (gmm-spread, kmeans-squeezed).
"""

import os.path as osp
from dataclasses import replace
from math import isnan
from typing import Any, Dict, List, Optional

import torch
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.experiments import study
from benchmarks.experiments.methods import METHODS, changed_edges
from benchmarks.experiments.plots import COLORS, differences, panels
from benchmarks.experiments.results import Table, rows
from benchmarks.studies.measures import balance, sizes, spacing, within_share
from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.comparison import compare_ranks, per_session
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.training.augmentations import derive
from pyg_sessaug.transforms import ClusterDistance, NormalizeEdges

VARIANTS = ('gmm', 'gmm-spread', 'kmeans', 'kmeans-squeezed')
NUM_SAMPLES = 10_000
COLOR = dict(zip(VARIANTS, (COLORS[1], COLORS[4], COLORS[5], COLORS[2])))


def main(argv: Optional[List[str]] = None) -> None:
    args = study.start(study.arguments('cluster_centers', __doc__), argv)
    runs = study.experiment(args, ['base', 'gmm', 'kmeans'])
    train, test = runs.data['train'], runs.data['test']
    embedding = study.model(runs).item_embedding.detach()
    path = osp.join(runs.folder, f'seed{args.seed}-{{}}.clusters.pt')
    gmm, kmeans = map(ItemClusters.load, map(path.format, ('gmm', 'kmeans')))
    clusters = {
        'gmm': gmm,
        'gmm-spread': respace(gmm, spacing(kmeans.centers)['mean']),
        'kmeans': kmeans,
        'kmeans-squeezed': respace(kmeans, spacing(gmm.centers)['mean']),
    }
    rank = {'base': [runs.run(args.seed, METHODS['base'])['rank']]}
    variants: Dict[str, Any] = {}
    for name, found in clusters.items():
        print(name, flush=True)
        method = replace(METHODS[name.split('-')[0]], name=name)
        weights = ClusterDistance(found)
        rank[name] = [runs.run(args.seed, method, weights)['rank']]
        size = sizes(found, train.seen_items)
        variants[name] = {
            'sizes': sorted(size, reverse=True),
            'balance': balance(size),
            'spacing': spacing(found.centers),
            'within': within_share(found.labels, test.flat_sessions),
            **nearness(found, embedding, train.seen_items),
            **edges(train, found, embedding, derive(args.seed, 'edges')),
        }
    session = per_session(test)
    pair = {x: rank[x] for x in ('gmm', 'kmeans')}
    beside = compare_ranks(pair, session, base='gmm')
    results = {
        'variants': variants,
        'metrics': compare_ranks(rank, session),
        'kmeans_minus_gmm': {x: beside[x]['kmeans'] for x in beside},
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
    parts = (weight, between, length, change)
    weight, between, length, change = map(torch.cat, parts)
    moved = length > 0
    crossing = between & moved
    nearer = spearmanr(weight[crossing], -length[crossing]).statistic
    return {
        'between': float(crossing.double().sum() / moved.sum()),
        'weight_between': float(weight[crossing].mean()),
        'weight_within': float(weight[~between].mean()),
        'length_between': float(length[crossing].mean()),
        'length_within': float(length[~between & moved].mean()),
        # Of edges between clusters, do nearer centres mean nearer items?
        'correlation': None if isnan(nearer) else float(nearer),
        'changed': changed_edges(train, half, NUM_SAMPLES),
        'mean_change': float(change.double().mean()),
    }


def table(results: Dict[str, Any]) -> Table:
    cells = [
        ('balance of sizes', '{balance:.3f}'),
        ('distance of centres, min', '{spacing[min]:.3f}'),
        ('… mean', '{spacing[mean]:.3f}'),
        ('… max', '{spacing[max]:.3f}'),
        ('item to its centre, mean', '{own_center:.3f}'),
        ('items whose centre is the nearest (%)', '{nearest:.1%}'),
        ('test sessions within one cluster (%)', '{within:.1%}'),
        ('training edges between clusters (%)', '{between:.1%}'),
        ('weight between clusters, mean', '{weight_between:.2f}'),
        ('weight within a cluster, mean', '{weight_within:.2f}'),
        ('edge length between clusters', '{length_between:.3f}'),
        ('edge length within a cluster', '{length_within:.3f}'),
        ('weight and nearness, rank correlation', '{correlation:.2f}'),
        ('edges whose weight changes (%)', '{changed[weights]:.1%}'),
        ('edges whose share changes (%)', '{changed[shares]:.1%}'),
        ('change of a share, mean', '{mean_change:.4f}'),
    ]
    variants = [
        {'size': f'{x["sizes"][-1]:,}–{x["sizes"][0]:,}', **x}
        for x in map(results['variants'].get, VARIANTS)
    ]
    found = rows(variants, [('items per cluster', '{size}'), *cells])
    lines = [['', *VARIANTS], *map(list, zip(*found))]
    for metric, row in results['metrics'].items():
        head = f'{metric} (%; base {row["base"]["mean"]:.2f})'
        lines.append([head, *(f'{row[x]["mean"]:.2f}' for x in VARIANTS)])
    return lines


def plot(results: Dict[str, Any]) -> Any:
    fig, axes = panels(2, 2, (8, 6), 'y')
    (centers, shares), (sizes_, metric) = axes
    variants, gain = results['variants'], results['metrics']['HR@20']
    place = range(len(VARIANTS))
    for i, (name, row) in enumerate(variants.items()):
        style = {'color': COLOR[name], 'marker': 'o', 'lw': 2}
        gap = row['spacing']
        ends = {'difference': gap['mean'], 'low': gap['min']}
        differences(centers, [i], [{**ends, 'high': gap['max']}], **style)
        differences(metric, [i], [gain[name]], **style)
        moved = '-' in name
        sizes_.plot(range(1, len(row['sizes']) + 1), row['sizes'], label=name,
                    color=COLOR[name], marker='ox'[moved],
                    ls=('-', ':')[moved])  # fmt: skip
    share = [100 * variants[x]['changed']['shares'] for x in VARIANTS]
    bars = shares.bar(place, share, color=[COLOR[x] for x in VARIANTS])
    shares.bar_label(bars, fmt='%.1f')
    shares.margins(y=0.15)
    metric.axhline(0, color='k', ls='--', lw=1, label='base')
    centers.set(title='Spacing of the centres', ylim=(0, None),
                ylabel='Distance: mean, smallest, largest')  # fmt: skip
    shares.set(title='Edges whose share changes', ylabel='Training edges (%)')
    sizes_.set(title='Sizes', xlabel='Clusters, largest first', ylabel='Items',
               ylim=(0, None))  # fmt: skip
    metric.set(title='HR@20 against the base, 95 % interval',
               ylabel='Difference (percentage points)')  # fmt: skip
    for axis in (sizes_, metric):
        axis.legend(frameon=False, fontsize=9)
    for axis in (centers, shares, metric):
        axis.set_xticks(place, [x.replace('-', '\n') for x in VARIANTS])
        axis.set_xlim(-0.6, 3.6)
    return fig


if __name__ == '__main__':
    study.call(main)
