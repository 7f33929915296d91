"""Do clusters of session vectors tell sessions of several categories?"""

from typing import Any, Dict, List, Optional

import matplotlib.pyplot as plt
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.experiments import study
from benchmarks.studies.maps import scatter, tsne
from benchmarks.studies.sample_categories import several_categories
from benchmarks.studies.vectors import draw_samples, session_vectors
from pyg_sessaug.clusters import ItemClusters

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
    add(
        '--num-clusters',
        type=study.positive,
        nargs='+',
        default=[2, 8],
        help='one map each',
    )
    add('--repeats', type=study.positive, default=3, help='fits of each kind')
    add('--samples', type=study.positive, default=4000,
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
    rows = [
        {
            'method': method,
            'num_clusters': k,
            'sizes': [
                x.bincount(minlength=k).tolist() for x in labels[method, k]
            ],
            **{
                reading: [compare(x, y) for x in labels[method, k]]
                for reading, y in several.items()
            },
        }
        for method, k in kinds
    ]
    alike = {
        reading: max(float(y.double().mean()), 1 - float(y.double().mean()))
        for reading, y in several.items()
    }

    drawn = draw_samples(test, args.samples)
    points = tsne(vectors[drawn])
    name = f'{type(test).__name__}: {len(drawn):,} test sessions'
    shown = {kind: labels[kind][0][drawn] for kind in kinds}
    figure = draw(points, shown, name)
    study.write(
        args, {'alike': alike, 'clusters': rows}, table(rows, alike), figure
    )


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
    figure, axes = plt.subplots(
        len(methods), columns, figsize=(8, 7.6), layout='constrained',
        squeeze=False,
    )  # fmt: skip
    most = max(k for _, k in labels)
    names = [str(i + 1) for i in range(most)]
    for axis, ((method, k), label) in zip(axes.flat, labels.items()):
        title = f'{METHODS[method]}, {k} clusters'
        scatter(axis, points, label, names, title, legend=False)
    handles = axes[0, 0].get_legend_handles_labels()[0]
    figure.legend(
        handles, names, title='Cluster', loc='outside lower center',
        ncols=most, frameon=False, handletextpad=0,
    )  # fmt: skip
    figure.suptitle(f'Clusters of session vectors, {name}')
    return figure


def table(rows: List[Dict[str, Any]], alike: Dict[str, float]) -> Any:
    head = ['clusters', 'samples in the largest (%)']
    for reading in alike:
        head += [f'agreement, {reading} (%)', 'highest', 'information']
    lines = [head]
    for row in rows:
        largest = [max(x) / sum(x) for x in row['sizes']]
        line = [f'{METHODS[row["method"]]}, {row["num_clusters"]}',
                f'{100 * sum(largest) / len(largest):.1f}']  # fmt: skip
        for reading in alike:
            agreement = [100 * x['agreement'] for x in row[reading]]
            information = [x['information'] for x in row[reading]]
            line += [
                f'{sum(agreement) / len(agreement):.1f}',
                f'{max(agreement):.1f}',
                f'{sum(information) / len(information):.3f}',
            ]
        lines.append(line)
    line = ['one for all samples', '100.0']
    for share in alike.values():
        line += [f'{100 * share:.1f}', f'{100 * share:.1f}', '0.000']
    return [*lines, line]


if __name__ == '__main__':
    study.call(main)
