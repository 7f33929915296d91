"""Does an item of another category in a session help?"""

from typing import Any, Dict, List, Optional

from torch import Tensor

from benchmarks.experiments import study
from benchmarks.experiments.plots import COLORS, panels
from benchmarks.experiments.report import interval
from benchmarks.experiments.results import Table, rows
from benchmarks.studies.samples import several_categories
from pyg_sessaug.comparison import compare_ranks, per_session
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
    records = {x.name: runs.run(args.seed, x) for x in runs.methods}
    several = several_categories(runs.data['test'])['clicks seen']
    session = per_session(runs.data['test'])
    several_in_training = several_categories(runs.data['train'])['clicks seen']
    one = float((~several_in_training).double().mean())
    groups = {'all': several | ~several, 'one category': ~several}
    groups['several categories'] = several
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
    ranks = {name: [x['rank'][keep]] for name, x in records.items()}
    return compare_ranks(ranks, own)


def table(results: Dict[str, Any]) -> Table:
    found = [
        {'samples': group, 'metric': metric, **values}
        for group, metrics in results['groups'].items()
        for metric, values in metrics.items()
    ]
    cells = [('test samples', '{samples}'), ('metric (%)', '{metric}')]
    cells += [(text, f'{{{x}[mean]:.2f}}') for x, text in NAMES.items()]
    cells.append(('difference [95 %]', lambda x: interval(x['inject'])))
    lines = rows(found, [*cells, ('p', '{inject[p]:.4f}')])
    for i, metric in enumerate(results['groups']['all']):
        base, inject = (THESIS[name][i] for name in NAMES)
        line = ['thesis, YooChoose', metric, f'{base:.2f}', f'{inject:.2f}']
        lines.append([*line, f'{inject - base:+.2f}', '–'])
    return lines


def draw(results: Dict[str, Any], name: str) -> Any:
    """Losses of both trainings, and HR@20 by group."""
    figure, (left, right) = panels(1, 2, grid='y')
    groups = results['groups']
    for i, (method, label) in enumerate(NAMES.items()):
        color = COLORS[5 - i]
        losses = zip(*results['training'][method]['losses'])
        kinds = (('training', '--'), ('valid.', '-'))
        for loss, (kind, line) in zip(losses, kinds):
            left.plot(range(1, len(loss) + 1), loss, line, color=color, lw=1.5,
                      label=f'{label}, {kind}')  # fmt: skip
        value = [groups[x]['HR@20'][method]['mean'] for x in groups]
        place = [x + 0.38 * (i - 0.5) for x in range(len(groups))]
        bars = right.bar(place, value, 0.36, color=color, label=label)
        right.bar_label(bars, fmt='%.1f', fontsize=8)
    left.set(title='Loss', xlabel='Epoch', ylabel='Cross-entropy')
    left.xaxis.get_major_locator().set_params(integer=True)
    right.set(title='Test samples', ylabel='HR@20 (%)')
    names = [x.replace(' ', '\n') for x in groups]
    right.set_xticks(range(len(groups)), names)
    right.margins(y=0.12)
    for axis in (left, right):
        axis.legend(loc='upper center', bbox_to_anchor=(0.5, -0.2), ncols=2,
                    fontsize=8, frameon=False)  # fmt: skip
    figure.suptitle(f'Items of another category injected: {name}')
    return figure


if __name__ == '__main__':
    study.call(main)
