"""Do clusters of session vectors tell sessions of several categories?"""

from statistics import mean
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.experiments import study
from benchmarks.experiments.options import positive
from benchmarks.experiments.plots import legend_below, panels, scatter, tsne
from benchmarks.experiments.results import Table, rows
from benchmarks.studies.samples import draw_samples, several_categories
from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.evaluation import session_vectors

METHODS = {'kmeans': 'KMeans', 'gmm': 'GMM'}
READINGS = ('clicks seen', 'whole session')


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments(
        'session_clusters',
        'Section 5.4 and figure 5.4: KMeans and a Gaussian mixture on the '
        'vectors of test sessions, and their agreement with the label "of '
        'several categories" (the thesis: up to 64 % for the mixture).',
    )
    add = parser.add_argument
    add('--num-clusters', type=positive, nargs='+', default=[2, 8],
        help='one map each')  # fmt: skip
    add('--repeats', type=positive, default=3, help='fits of each kind')
    add('--samples', type=positive, default=4000,
        help='sessions on the maps, one prefix of each')  # fmt: skip
    args = study.start(parser, argv)
    runs = study.experiment(args)
    test = runs.data['test']
    vectors = session_vectors(study.model(runs), test)
    several = several_categories(test)
    several = {reading: several[reading] for reading in READINGS}

    kinds = [(m, k) for m in METHODS for k in args.num_clusters]
    labels: Dict[Any, List[Tensor]] = {}
    bar = tqdm(kinds * args.repeats, 'clusters', delay=5, disable=None)
    for method, k in bar:
        fitted = ItemClusters.fit(vectors, method, k).labels
        labels.setdefault((method, k), []).append(fitted)
    clusters = [
        {
            'method': method,
            'num_clusters': k,
            'sizes': [x.bincount(minlength=k).tolist() for x in fits],
            **{x: [compare(fit, y) for fit in fits]
               for x, y in several.items()},
        }
        for (method, k), fits in labels.items()
    ]  # fmt: skip
    share = {x: float(y.double().mean()) for x, y in several.items()}
    alike = {reading: max(x, 1 - x) for reading, x in share.items()}

    drawn = draw_samples(test, args.samples)
    points = tsne(vectors[drawn])
    name = f'{type(test).__name__}: {len(drawn):,} test sessions'
    shown = {kind: labels[kind][0][drawn] for kind in kinds}
    figure = draw(points, shown, name)
    results = {'alike': alike, 'clusters': clusters}
    study.write(args, results, table(clusters, alike), figure)


def compare(cluster: Tensor, several: Tensor) -> Dict[str, float]:
    """How well clusters tell one label from the other.

    Each cluster stands for one of the two labels and each label has a
    cluster, so that the best agreement is reached.

    Args:
        cluster: Cluster of each sample.
        several: Label of each sample, bool.

    Returns:
        dict: ``agreement``, the share of samples whose cluster stands for
        their label, and ``information``, the mutual information adjusted
        for chance: 0 for clusters that know nothing of the label.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    count = torch.bincount(2 * cluster + several.long())
    count = torch.nn.functional.pad(count, (0, count.numel() % 2)).view(-1, 2)
    count = count[count.sum(dim=1) > 0]
    agree = int(count.amax(dim=1).sum())
    if count.argmax(dim=1).unique().numel() == 1:
        # The cluster that costs least gets the label that has none.
        agree -= int((count[:, 0] - count[:, 1]).abs().min())
    return {
        'agreement': agree / cluster.numel(),
        'information': float(
            adjusted_mutual_info_score(several.numpy(), cluster.numpy())
        ),
    }


def draw(points: Tensor, labels: Dict[Any, Tensor], name: str) -> Any:
    """One map for each method, by rows, and number of clusters."""
    methods = {method for method, _ in labels}
    columns = len(labels) // len(methods)
    figure, axes = panels(len(methods), columns, (8, 7.6), squeeze=False)
    most = max(k for _, k in labels)
    names = [str(i + 1) for i in range(most)]
    for axis, ((method, k), label) in zip(axes.flat, labels.items()):
        title = f'{METHODS[method]}, {k} clusters'
        scatter(axis, points, label, names, title, legend=False)
    handles = axes[0, 0].get_legend_handles_labels()[0]
    legend_below(figure, handles=handles, labels=names, title='Cluster',
                 ncols=most, handletextpad=0)  # fmt: skip
    figure.suptitle(f'Clusters of session vectors, {name}')
    return figure


def table(clusters: List[Dict[str, Any]], alike: Dict[str, float]) -> Table:
    found = [
        {
            'name': f'{METHODS[row["method"]]}, {row["num_clusters"]}',
            'largest': mean(max(x) / sum(x) for x in row['sizes']),
            **{x: averages(row[x]) for x in alike},
        }
        for row in clusters
    ]
    one = {
        x: {'mean': y, 'highest': y, 'known': 0.0} for x, y in alike.items()
    }
    found.append({'name': 'one for all samples', 'largest': 1.0, **one})
    cells = [('clusters', '{name}')]
    cells.append(('samples in the largest (%)', '{largest:.1%}'))
    for reading in alike:
        cells += [
            (f'agreement, {reading} (%)', f'{{{reading}[mean]:.1%}}'),
            ('highest', f'{{{reading}[highest]:.1%}}'),
            ('information', f'{{{reading}[known]:.3f}}'),
        ]
    return rows(found, cells)


def averages(fits: List[Dict[str, float]]) -> Dict[str, float]:
    agreement = [x['agreement'] for x in fits]
    known = mean(x['information'] for x in fits)
    return {'mean': mean(agreement), 'highest': max(agreement), 'known': known}


if __name__ == '__main__':
    study.call(main)
