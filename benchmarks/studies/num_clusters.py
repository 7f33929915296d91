"""What the number of clusters does to a model trained with their weights.

The choice of 8 clusters (section 6.2), and whether more clusters help where
they are unbalanced (section 7.2): one model trained for each number of
clusters, with blur, beside the base.
"""

from dataclasses import replace
from typing import Any, Dict, List, Optional

from benchmarks.experiments import study
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.options import positive
from benchmarks.experiments.plots import differences, panels
from benchmarks.experiments.report import interval, outcome
from benchmarks.experiments.results import Table, rows
from benchmarks.studies.measures import STYLE, balance, fit, sizes
from pyg_sessaug.comparison import compare_ranks, per_session
from pyg_sessaug.transforms import ClusterDistance


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments('num_clusters', __doc__)
    add = parser.add_argument
    add('--num-clusters', type=positive, nargs='+', default=[2, 8, 32],
        metavar='K', help='numbers of clusters')  # fmt: skip
    add('--methods', nargs='+', choices=STYLE, default=['kmeans'],
        help='what makes the clusters')  # fmt: skip
    args = study.start(parser, argv)
    runs = study.experiment(args)
    base = runs.run(args.seed, parse_method('base'))
    embedding = study.model(runs).item_embedding.detach()
    rank, found = {'base': [base['rank']]}, []
    for method in args.methods:
        for k in sorted(set(args.num_clusters)):
            # run.py trains that of its own number:
            own = k == runs.args.num_clusters
            name = method if own else f'{method}-{k}'
            print(name, flush=True)
            clusters, _ = fit(runs, embedding, method, k)
            named = replace(parse_method(method), name=name)
            record = runs.run(args.seed, named, ClusterDistance(clusters))
            rank[name] = [record['rank']]
            size = sizes(clusters, runs.data['train'].seen_items)
            row = {'name': name, 'method': method, 'num_clusters': k}
            row['balance'] = balance(size)
            row['val_loss'] = outcome(record['history'])['val_loss']
            found.append(row)
    results = {
        'base_val_loss': outcome(base['history'])['val_loss'],
        'rows': found,
        'metrics': compare_ranks(rank, per_session(runs.data['test'])),
    }
    study.write(args, results, table(results), plot(results))


def table(results: Dict[str, Any]) -> Table:
    metrics = results['metrics']
    base = {'name': 'base', 'clusters': 'none (base)', 'balance': None}
    found = [{**base, 'val_loss': results['base_val_loss']}]
    found += [
        {'clusters': f'{x["num_clusters"]}, {x["method"]}', **x}
        for x in results['rows']
    ]
    for row in found:
        row.update({x: metrics[x][row['name']] for x in metrics})
    cells = [
        ('clusters', '{clusters}'),
        ('balance', '{balance:.3f}'),
        ('validation loss', '{val_loss:.4f}'),
    ]
    for metric in metrics:
        cells += [
            (f'{metric} (%)', f'{{{metric}[mean]:.2f}}'),
            ('difference [95 %]', lambda x, y=metric: interval(x[y])),
        ]
    return rows(found, cells)


def plot(results: Dict[str, Any]) -> Any:
    fig, axes = panels(1, 2, (8, 3.6), 'both')
    for axis, (metric, values) in zip(axes, results['metrics'].items()):
        for name, style in STYLE.items():
            own = [x for x in results['rows'] if x['method'] == name]
            if own:
                k = [x['num_clusters'] for x in own]
                gain = [values[x['name']] for x in own]
                differences(axis, k, gain, label=name, **style)
        axis.axhline(0, color='k', ls=':', lw=1, label='base')
        axis.set_xscale('log', base=2)
        k = sorted({x['num_clusters'] for x in results['rows']})
        axis.set_xticks(k, k)
        axis.set(title=f'{metric} against the base, 95 % interval',
                 xlabel='Number of clusters',
                 ylabel='Difference (percentage points)')  # fmt: skip
    axes[0].legend(frameon=False)
    return fig


if __name__ == '__main__':
    study.call(main)
