"""What the number of clusters does to a model trained with their weights."""

from dataclasses import replace
from typing import Any, Dict, List, Optional

import matplotlib.pyplot as plt

from benchmarks.experiments import study
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.plots import COLORS
from benchmarks.run import positive
from benchmarks.studies.measures import balance, fit, sizes
from pyg_sessaug.comparison import compare, gains, per_session
from pyg_sessaug.training import best_epoch
from pyg_sessaug.transforms import ClusterDistance

DESCRIPTION = """\
The choice of 8 clusters (section 6.2), and whether more clusters help where
they are unbalanced (section 7.2): one model trained for each number of
clusters, with blur, beside the base.
"""
METHODS = ('gmm', 'kmeans')
STYLE = {'gmm': (COLORS[1], 'o', '-'), 'kmeans': (COLORS[5], 's', '--')}


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments('num_clusters', DESCRIPTION)
    parser.add_argument(
        '--num-clusters',
        type=positive,
        nargs='+',
        default=[2, 8, 32],
        metavar='K',
        help='numbers of clusters',
    )
    parser.add_argument(
        '--methods',
        nargs='+',
        choices=METHODS,
        default=['kmeans'],
        help='what makes the clusters',
    )
    args = study.start(parser, argv)
    runs = study.experiment(args)
    base = runs.run(args.seed, parse_method('base'))
    embedding = study.model(runs).item_embedding.detach()
    gain = {'base': gains([base['rank']])}
    rows = []
    for method in args.methods:
        for k in sorted(set(args.num_clusters)):
            # run.py trains that of its own number:
            own = k == runs.args.num_clusters
            name = method if own else f'{method}-{k}'
            print(name, flush=True)
            clusters, _ = fit(runs, embedding, method, k)
            record = runs.run(
                args.seed,
                replace(parse_method(method), name=name),
                ClusterDistance(clusters),
            )
            gain[name] = gains([record['rank']])
            epoch = best_epoch(record['history'])
            rows.append(
                {
                    'name': name,
                    'method': method,
                    'num_clusters': k,
                    'balance': balance(
                        sizes(clusters, runs.data['train'].seen_items)
                    ),
                    'val_loss': record['history'][epoch - 1]['val_loss'],
                }
            )
    session = per_session(runs.data['test'])
    epoch = best_epoch(base['history'])
    results = {
        'base_val_loss': base['history'][epoch - 1]['val_loss'],
        'rows': rows,
        'metrics': {
            metric: compare({x: gain[x][metric] for x in gain}, session)
            for metric in ('HR@20', 'MRR@20')
        },
    }
    study.write(args, results, table(results), plot(results))


def table(results: Dict[str, Any]) -> List[List[str]]:
    metrics = results['metrics']
    lines = [['clusters', 'balance', 'validation loss']]
    for metric in metrics:
        lines[0] += [f'{metric} (%)', 'difference [95 %]']
    lines.append(['none (base)', '–', f'{results["base_val_loss"]:.4f}'])
    for row in metrics.values():
        lines[1] += [f'{row["base"]["mean"]:.2f}', '–']
    for row in results['rows']:
        line = [
            f'{row["num_clusters"]}, {row["method"]}',
            f'{row["balance"]:.3f}',
            f'{row["val_loss"]:.4f}',
        ]
        for metric in metrics.values():
            own = metric[row['name']]
            line += [
                f'{own["mean"]:.2f}',
                f'{own["difference"]:+.2f} '
                f'[{own["low"]:+.2f}, {own["high"]:+.2f}]',
            ]
        lines.append(line)
    return lines


def plot(results: Dict[str, Any]) -> Any:
    fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout='constrained')
    for axis, (metric, values) in zip(axes, results['metrics'].items()):
        for name, (color, marker, line) in STYLE.items():
            rows = [x for x in results['rows'] if x['method'] == name]
            own = [values[x['name']] for x in rows]
            if rows:
                axis.errorbar(
                    [x['num_clusters'] for x in rows],
                    [x['difference'] for x in own],
                    [
                        [x['difference'] - x['low'] for x in own],
                        [x['high'] - x['difference'] for x in own],
                    ],
                    color=color, marker=marker, ls=line, capsize=4, label=name,
                )  # fmt: skip
        axis.axhline(0, color='k', ls=':', lw=1, label='base')
        axis.set_xscale('log', base=2)
        k = sorted({x['num_clusters'] for x in results['rows']})
        axis.set_xticks(k, k)
        axis.set(
            title=f'{metric} against the base, 95 % interval',
            xlabel='Number of clusters',
            ylabel='Difference (percentage points)',
        )
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    return fig


if __name__ == '__main__':
    study.call(main)
