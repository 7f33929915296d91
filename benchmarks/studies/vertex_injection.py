"""Does an item of another category in a session help?"""

from typing import Any, Dict, List, Optional

import matplotlib.pyplot as plt
from torch import Tensor

from benchmarks.experiments import study
from benchmarks.experiments.plots import COLORS
from benchmarks.studies.sample_categories import several_categories
from pyg_sessaug.comparison import compare, gains, per_session
from pyg_sessaug.training import best_epoch

NAMES = {'base': 'plain sessions', 'inject': 'with injected items'}
# HR@20 and MRR@20 in chapter 5.2, on YooChoose with its own preparation.
THESIS = {'base': (55.87, 25.27), 'inject': (44.41, 20.27)}


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments(
        'vertex_injection',
        'Section 5.2, vertex injection: HR@20 and MRR@20 of a model trained '
        'with an item of another category at a random place of half of the '
        'sessions of one category, and of the plain model.',
    )
    args = study.start(parser, argv)
    runs = study.experiment(args, NAMES)
    records = {
        method.name: runs.run(args.seed, method) for method in runs.methods
    }
    several = several_categories(runs.data['test'])['clicks seen']
    session = per_session(runs.data['test'])
    several_in_training = several_categories(runs.data['train'])['clicks seen']
    one = float((~several_in_training).double().mean())
    groups = {
        'all': several | ~several,
        'one category': ~several,
        'several categories': several,
    }
    results = {
        'one_category_share': {
            'train': one,
            'injected': 0.5 * one,
            'test': float((~several).double().mean()),
        },
        'groups': {
            name: compare_within(records, keep, session)
            for name, keep in groups.items()
        },
        'training': {
            name: {
                'best_epoch': best_epoch(record['history']),
                'losses': [
                    [epoch['train_loss'], epoch['val_loss']]
                    for epoch in record['history']
                ],
            }
            for name, record in records.items()
        },
        'thesis': THESIS,
    }
    figure = draw(results, type(runs.data['test']).__name__)
    study.write(args, results, table(results), figure)


def compare_within(
    records: Dict[str, Any], keep: Tensor, session: Tensor
) -> Dict[str, Any]:
    """Both models on some of the test samples.

    Args:
        records: What :meth:`Experiment.run` returned, by method.
        keep: The samples, ``[num_samples]`` bool.
        session: Session of each sample, ``[num_samples]``.
    """
    own = session[keep].unique(return_inverse=True)[1]
    gain = {
        name: gains([record['rank'][keep]]) for name, record in records.items()
    }
    return {
        metric: compare({name: x[metric] for name, x in gain.items()}, own)
        for metric in gain['base']
    }


def table(results: Dict[str, Any]) -> List[List[str]]:
    lines = [['test samples', 'metric (%)', *NAMES.values()]]
    lines[0] += ['difference [95 %]', 'p']
    for group, metrics in results['groups'].items():
        for metric, rows in metrics.items():
            row = rows['inject']
            lines.append(
                [
                    group,
                    metric,
                    f'{rows["base"]["mean"]:.2f}',
                    f'{row["mean"]:.2f}',
                    f'{row["difference"]:+.2f} '
                    f'[{row["low"]:+.2f}, {row["high"]:+.2f}]',
                    f'{row["p"]:.4f}',
                ]
            )
    for i, metric in enumerate(results['groups']['all']):
        base, inject = (THESIS[name][i] for name in NAMES)
        lines.append(
            ['thesis, YooChoose', metric, f'{base:.2f}', f'{inject:.2f}']
            + [f'{inject - base:+.2f}', '–']
        )
    return lines


def draw(results: Dict[str, Any], name: str) -> Any:
    """Losses of both trainings, and HR@20 by group."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8, 3.8), layout='constrained'
    )
    colors = (COLORS[5], COLORS[4])
    for (method, label), color in zip(NAMES.items(), colors):
        losses = results['training'][method]['losses']
        epochs = range(1, len(losses) + 1)
        for i, (kind, line) in enumerate(
            (('training', '--'), ('valid.', '-'))
        ):
            left.plot(
                epochs, [x[i] for x in losses], line, color=color, lw=1.5,
                label=f'{label}, {kind}',
            )  # fmt: skip
    left.set(title='Loss', xlabel='Epoch', ylabel='Cross-entropy')
    left.xaxis.get_major_locator().set_params(integer=True)
    groups = results['groups']
    for i, (method, label) in enumerate(NAMES.items()):
        value = [groups[x]['HR@20'][method]['mean'] for x in groups]
        place = [x + 0.38 * (i - 0.5) for x in range(len(groups))]
        bars = right.bar(place, value, 0.36, color=colors[i], label=label)
        right.bar_label(bars, fmt='%.1f', fontsize=8)
    right.set(title='Test samples', ylabel='HR@20 (%)')
    names = [x.replace(' ', '\n') for x in groups]
    right.set_xticks(range(len(groups)), names)
    right.margins(y=0.12)
    for axis in (left, right):
        axis.grid(alpha=0.3, axis='y')
        axis.legend(
            loc='upper center', bbox_to_anchor=(0.5, -0.2), ncols=2,
            fontsize=8, frameon=False,
        )  # fmt: skip
    figure.suptitle(f'Items of another category injected: {name}')
    return figure


if __name__ == '__main__':
    study.call(main)
