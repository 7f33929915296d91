"""Switch case: Algorithms 1 and 2 and Table 5.2 of the thesis (5.4.1).

A Gaussian mixture of validation session vectors splits the sessions, a copy
of the model is fine-tuned on each cluster, and every test session is ranked
by the model of its cluster. Differences are to the model before, per cluster
and in all. The control is one copy, fine-tuned by the same settings on all
sessions: what it gains comes from training on and not from the clusters.
"""

import copy
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor

from benchmarks.experiments import study
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.options import positive
from benchmarks.experiments.plots import COLORS, panels
from benchmarks.experiments.report import METRICS
from benchmarks.experiments.results import Table, rows
from pyg_sessaug.comparison import compare_ranks, gains, per_session
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.nn import SessionModel
from pyg_sessaug.training import fit, validation_loss
from pyg_sessaug.training.switch_case import fit_switch_case, session_labels

# Table 5.2: difference of HR@20 and of MRR@20, test sessions. Its bottom row
# says +2.05 and +1.65: the sums of the columns, exchanged.
THESIS = [
    (-0.6, -1.15, 522), (0.73, 1.62, 433), (0.52, 0.83, 2877),
    (0.14, -0.17, 603), (-0.28, -0.76, 655), (0.62, 0.8, 500),
    (-0.16, 1.5, 601), (0.68, -0.62, 648),
]  # fmt: skip
SUMS = ('below average', 'all')
TUNED = {'switch case': 'switch case', 'control': 'one model, fine-tuned'}


def fine_tune(base: SessionModel, data: Dict, **kwargs: Any) -> SessionModel:
    """The control: one copy that goes on training on all sessions."""
    tuned = copy.deepcopy(base)
    before = validation_loss(base, data['val'])
    kwargs['schedule'] = 'steps'
    history = fit(tuned, data['train'], data['val'], **kwargs)
    if min(epoch['val_loss'] for epoch in history) >= before:
        return base  # As the ensemble does where nothing is gained.
    return tuned


def row(gain: Dict[str, Dict[str, Tensor]], keep: Tensor) -> Dict[str, Any]:
    """Test samples of some clusters: the base, and differences to it."""
    out: Dict[str, Any] = {'test': int(keep.sum())}
    for metric in METRICS:
        mean = {k: 100 * float(v[metric][0, keep].mean())
                for k, v in gain.items()}  # fmt: skip
        out[metric] = mean['base']
        for name in TUNED:
            out[f'{name} {metric}'] = mean[name] - mean['base']
    return out


def summarise(
    clusters: List[Dict[str, Any]], gain: Dict, label: Tensor
) -> Dict[str, Any]:
    """Every cluster that has test sessions, those below average, and all."""
    found = [
        {
            'cluster': i,
            'epochs': len(about['history']),
            **{key: about[key] for key in ('train', 'val', 'improved')},
            **row(gain, label == i),
        }
        for i, about in enumerate(clusters)
        if bool((label == i).any())
    ]
    mean = row(gain, label >= 0)
    low = [x for x in found if x[METRICS[0]] < mean[METRICS[0]]]
    out: Dict[str, Any] = {'clusters': found}
    for name, kept in zip(SUMS, (low, found)):
        if not kept:
            continue
        index = torch.tensor([x['cluster'] for x in kept])
        out[name] = {
            'train': sum(x['train'] for x in kept),
            **row(gain, torch.isin(label, index)),
        }
    return out


def thesis() -> Dict[str, float]:
    """The columns of Table 5.2 in one number, added up and averaged."""
    table = torch.tensor(THESIS, dtype=torch.float64)
    difference, test = table[:, :2], table[:, 2]
    kinds = {'sum': difference.sum(0), 'mean': test @ difference / test.sum()}
    out: Dict[str, float] = {'test': int(test.sum())}
    for kind, values in kinds.items():
        out.update(zip([f'{kind} {m}' for m in METRICS], values.tolist()))
    return out


def table(results: Dict[str, Any]) -> Table:
    """The rows of Table 5.2, for all clusters."""
    found = [{**x, 'name': x['cluster']} for x in results['clusters']]
    found += [{**results[x], 'name': x} for x in SUMS if x in results]
    cells = [('cluster', '{name}'), ('training samples', '{train:,}')]
    cells += [('test', '{test:,}'), *((x, f'{{{x}:.2f}}') for x in METRICS)]
    cells += [
        (f'{text}: {metric}', f'{{{name} {metric}:+.2f}}')
        for name, text in TUNED.items()
        for metric in METRICS
    ]
    return rows(found, cells)


def plot(results: Dict[str, Any]) -> Any:
    """Differences to the base, per cluster."""
    found = [*results['clusters'], {'cluster': 'all', **results['all']}]
    names = [f'{x["cluster"]}\n{x["test"]:,}' for x in found]
    figure, axes = panels(2, 1, (8, 5.5), 'y', sharex=True)
    place = torch.arange(len(found))
    for axis, metric in zip(axes, METRICS):
        for i, (name, text) in enumerate(TUNED.items()):
            difference = [x[f'{name} {metric}'] for x in found]
            axis.bar(place + 0.4 * i - 0.2, difference, 0.38, label=text,
                     color=COLORS[(5, 1)[i]], hatch=('', '//')[i],
                     edgecolor='white')  # fmt: skip
        axis.axhline(0, color='k', lw=1)
        axis.axvline(len(found) - 1.5, color='k', lw=0.8, ls=':')
        axis.set(ylabel=f'{metric}, difference (points)')
    axes[1].set_xticks(place, names)
    axes[1].set_xlabel('cluster, with its number of test samples')
    axes[0].legend(frameon=False, ncols=2)
    figure.suptitle('Fine-tuned models, difference to the model before')
    return figure


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments('switch_case', __doc__)
    add = parser.add_argument
    add('--num-clusters', type=positive, default=8, help='of sessions')
    add('--lr', type=float, default=1e-4, help='of fine-tuning')
    add('--epochs', type=positive, default=5, help='of it, at most')
    add('--patience', type=positive, default=2,
        help='epochs of it without improvement before stopping')  # fmt: skip
    args = study.start(parser, argv)
    runs = study.experiment(args)
    base, data = study.model(runs), runs.data
    names = ('lr', 'epochs', 'patience', 'seed')
    options = {name: getattr(args, name) for name in names}
    ensemble, clusters = fit_switch_case(
        base, data['train'], data['val'], args.num_clusters, **options
    )
    tuned = fine_tune(base, data, **options)
    ranks = {
        'base': runs.run(args.seed, parse_method('base'))['rank'].long(),
        'switch case': rank_samples(ensemble, data['test']),
        'control': rank_samples(tuned, data['test']),
    }
    gain = {name: gains([rank]) for name, rank in ranks.items()}
    several = {name: [rank] for name, rank in ranks.items()}
    results = {
        'model': runs.args.model,
        **summarise(clusters, gain, session_labels(ensemble, data['test'])),
        'comparison': compare_ranks(several, per_session(data['test'])),
        'thesis': thesis(),
    }
    study.write(args, results, table(results), plot(results))


if __name__ == '__main__':
    study.call(main)
