"""Do the ideas of the thesis' further work help?"""

from typing import Any, Dict, List, Optional

import matplotlib.pyplot as plt

from benchmarks.experiments import study
from benchmarks.experiments.plots import COLORS
from pyg_sessaug.comparison import compare, gains, per_session

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
    parser.set_defaults(
        dataset='yoochoose_100k', fraction=1.0, output='runs/further_work'
    )
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0, 1], help='one run each'
    )
    parser.add_argument(
        '--epochs', type=study.positive, default=4,
        help='of each run; later ones have hardly a learning rate left',
    )  # fmt: skip
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
    gain = {name: gains(rank) for name, rank in ranks.items()}
    results = {
        'metrics': {
            metric: compare({x: gain[x][metric] for x in gain}, session)
            for metric in gain['base']
        },
        'channel_weights': kernels,
    }
    study.write(args, results, table(results), draw(results, args))


def table(results: Dict[str, Any]) -> List[List[str]]:
    metrics = results['metrics']
    lines = [['method', 'what it is']]
    for metric in metrics:
        lines[0] += [f'{metric} (%)', 'difference [95 %]', 'p (Holm)']
    for name in next(iter(metrics.values())):
        line = [name, METHODS[name]]
        for rows in metrics.values():
            row = rows[name]
            line.append(f'{row["mean"]:.2f}')
            if 'p' not in row:
                line += ['–', '–']
                continue
            line += [
                f'{row["difference"]:+.2f} [{row["low"]:+.2f}, '
                f'{row["high"]:+.2f}]',
                f'{row["p_holm"]:.3f}',
            ]
        lines.append(line)
    return lines


def draw(results: Dict[str, Any], args: Any) -> Any:
    """Difference of each method to the plain model, with its interval."""
    metrics = results['metrics']
    names = [x for x in next(iter(metrics.values())) if x != 'base']
    figure, axes = plt.subplots(
        1, 2, figsize=(8, 1.8 + 0.3 * len(names)), layout='constrained',
        sharey=True,
    )  # fmt: skip
    for axis, (metric, rows), color in zip(
        axes, metrics.items(), (COLORS[5], COLORS[4])
    ):
        value = [rows[x]['difference'] for x in names]
        low = [rows[x]['difference'] - rows[x]['low'] for x in names]
        high = [rows[x]['high'] - rows[x]['difference'] for x in names]
        axis.errorbar(value, range(len(names)), xerr=[low, high], fmt='o',
                      ms=5, capsize=3, color=color,
                      label='mean and 95 % interval')  # fmt: skip
        axis.axvline(0, color='k', ls='--', lw=1, label='plain model')
        axis.set(
            title=f'plain model: {rows["base"]["mean"]:.2f} %',
            xlabel=f'{metric}: difference (points)',
        )
        axis.set_yticks(range(len(names)), [METHODS[x] for x in names])
        axis.grid(alpha=0.3, axis='x')
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=2,
                  fontsize=9, frameon=False)  # fmt: skip
    seeds = ', '.join(map(str, args.seeds))
    figure.suptitle(f'Further work on {args.dataset}, seed {seeds}')
    return figure


if __name__ == '__main__':
    study.call(main)
