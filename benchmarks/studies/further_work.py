"""Do the ideas of the thesis' further work help?"""

from typing import Any, Dict, List, Optional

from benchmarks.experiments import plots, study
from benchmarks.experiments.options import positive
from benchmarks.experiments.report import interval
from benchmarks.experiments.results import Table, rows
from pyg_sessaug.comparison import compare_ranks, per_session

METHODS = {
    'base': 'plain graphs',
    'base-wd': 'plain graphs, weight decay of the others',
    'time-linear-noblur': 'linear time decay',
    'time-exponential-noblur': 'exponential time decay',
    'time-logarithmic-noblur': 'logarithmic time decay',
    'time-exponential-shuffled-noblur': 'exponential, gaps shuffled',
    'gmm-noblur': 'distances between clusters',
    'soft-noblur': 'expected distances between clusters',
    'channels': 'item, cluster and time as channels',
    'covariance': 'covariance in the session vector',
}


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments(
        'further_work',
        'Section 8.1, further work: time decay in three forms, soft instead '
        'of hard clusters, several weight channels and the covariance in the '
        'session vector, each against the plain model. Without click times '
        'those that need them are left out.',
    )
    # A folder of its own, so that no run of another data set is there.
    parser.set_defaults(dataset='yoochoose_100k', output='runs/further_work')
    parser.set_defaults(fraction=1.0)
    add = parser.add_argument
    add('--seeds', nargs='+', type=int, default=[0, 1], help='one run each')
    add('--epochs', type=positive, default=4,
        help='of each; later ones have hardly a learning rate')  # fmt: skip
    args = study.start(parser, argv)
    names, ranks, kernels = list(METHODS), {}, []
    for seed in dict.fromkeys(args.seeds):
        args.seed = seed
        options = ['--epochs', str(args.epochs)]
        runs = study.experiment(args, ['base'], options)
        if runs.data['train'].flat_sessions.time is None:
            names = [x for x in METHODS if not x.startswith('time')]
        runs = study.experiment(args, names, options)
        for method in runs.methods:
            record = runs.run(seed, method)
            ranks.setdefault(method.name, []).append(record['rank'])
            if method.name == 'channels':
                kernels.append(record['model']['combine.weight'].tolist())
    session = per_session(runs.data['test'])
    results = {
        'metrics': compare_ranks(ranks, session),
        'channel_weights': kernels,
    }
    study.write(args, results, table(results), draw(results, args))


def table(results: Dict[str, Any]) -> Table:
    metrics = results['metrics']
    found: List[Dict[str, Any]] = []
    for name in metrics['HR@20']:
        values = {metric: metrics[metric][name] for metric in metrics}
        found.append({'name': name, 'what': METHODS[name], **values})
    cells = [('method', '{name}'), ('what it is', '{what}')]
    for metric in metrics:
        cells += [
            (f'{metric} (%)', f'{{{metric}[mean]:.2f}}'),
            ('difference [95 %]', lambda x, y=metric: interval(x[y])),
            ('p (Holm)', lambda x, y=metric: number(x[y].get('p_holm'))),
        ]
    return rows(found, cells)


def number(p: Optional[float]) -> str:
    return '–' if p is None else f'{p:.3f}'


def draw(results: Dict[str, Any], args: Any) -> Any:
    """Difference of each method to the plain model, with its interval."""
    metrics = results['metrics']
    names = [x for x in metrics['HR@20'] if x != 'base']
    size = (8, 1.8 + 0.3 * len(names))
    figure, axes = plots.panels(1, 2, size, 'x', sharey=True)
    colors = (plots.COLORS[5], plots.COLORS[4])
    for axis, (metric, found), color in zip(axes, metrics.items(), colors):
        plots.differences(
            axis, range(len(names)), [found[x] for x in names], flat=True,
            fmt='o', color=color, label='mean and 95 % interval',
        )  # fmt: skip
        axis.axvline(0, color='k', ls='--', lw=1, label='plain model')
        axis.set(title=f'plain model: {found["base"]["mean"]:.2f} %',
                 xlabel=f'{metric}: difference (points)')  # fmt: skip
        axis.set_yticks(range(len(names)), [METHODS[x] for x in names])
    axes[0].invert_yaxis()
    plots.legend_below(figure, ncols=2)
    seeds = ', '.join(map(str, args.seeds))
    figure.suptitle(f'Further work on {args.dataset}, seed {seeds}')
    return figure


if __name__ == '__main__':
    study.call(main)
