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

from benchmarks import run
from benchmarks.experiments import (
    study,  # Before its neighbours: it tells where they are.
)
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.report import METRICS
from pyg_sessaug.comparison import compare, gains, per_session
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
        mean = {
            k: 100 * float(v[metric][0, keep].mean()) for k, v in gain.items()
        }
        out[metric] = mean['base']
        out.update(
            {f'{name} {metric}': mean[name] - mean['base'] for name in TUNED}
        )
    return out


def summarise(
    clusters: List[Dict[str, Any]], gain: Dict, label: Tensor
) -> Dict[str, Any]:
    """Every cluster that has test sessions, those below average, and all."""
    rows = [
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
    low = [x for x in rows if x[METRICS[0]] < mean[METRICS[0]]]
    out: Dict[str, Any] = {'clusters': rows}
    for name, kept in zip(SUMS, (low, rows)):
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
    difference, share = table[:, :2], table[:, 2:] / table[:, 2].sum()
    mean = (difference * share).sum(dim=0)
    return {
        'test': int(table[:, 2].sum()),
        **dict(zip([f'sum {m}' for m in METRICS], difference.sum(0).tolist())),
        **dict(zip([f'mean {m}' for m in METRICS], mean.tolist())),
    }


def table(results: Dict[str, Any]) -> List[List[str]]:
    """The rows of Table 5.2, for all clusters."""
    heads = [f'{x}: {m}' for x in TUNED.values() for m in METRICS]
    lines = [['cluster', 'training samples', 'test', *METRICS, *heads]]
    rows = [
        *((str(x['cluster']), x) for x in results['clusters']),
        *((x, results[x]) for x in SUMS if x in results),
    ]
    for name, values in rows:
        differences = [values[f'{x} {m}'] for x in TUNED for m in METRICS]
        lines.append(
            [
                name,
                f'{values["train"]:,}',
                f'{values["test"]:,}',
                *(f'{values[m]:.2f}' for m in METRICS),
                *(f'{x:+.2f}' for x in differences),
            ]
        )
    return lines


def plot(results: Dict[str, Any]) -> Any:
    """Differences to the base, per cluster."""
    from benchmarks.experiments.plots import COLORS, plt

    names = [f'{x["cluster"]}\n{x["test"]:,}' for x in results['clusters']] + [
        f'all\n{results["all"]["test"]:,}'
    ]
    rows = [*results['clusters'], results['all']]
    figure, axes = plt.subplots(
        2, 1, figsize=(8, 5.5), layout='constrained', sharex=True
    )
    place = torch.arange(len(rows))
    for axis, metric in zip(axes, METRICS):
        for side, (name, text) in zip((-0.2, 0.2), TUNED.items()):
            axis.bar(
                place + side,
                [x[f'{name} {metric}'] for x in rows],
                0.38,
                label=text,
                color=COLORS[5] if side < 0 else COLORS[1],
                hatch='' if side < 0 else '//',
                edgecolor='white',
            )
        axis.axhline(0, color='k', lw=1)
        axis.axvline(len(rows) - 1.5, color='k', lw=0.8, ls=':')
        axis.set(ylabel=f'{metric}, difference (points)')
        axis.grid(alpha=0.3, axis='y')
    axes[1].set_xticks(place, names)
    axes[1].set_xlabel('cluster, with its number of test samples')
    axes[0].legend(frameon=False, ncols=2)
    figure.suptitle('Fine-tuned models, difference to the model before')
    return figure


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments('switch_case', __doc__)
    add = parser.add_argument
    add('--num-clusters', type=run.positive, default=8, help='of sessions')
    add('--lr', type=float, default=1e-4, help='of fine-tuning')
    add('--epochs', type=run.positive, default=5, help='of it, at most')
    add(
        '--patience',
        type=run.positive,
        default=2,
        help='epochs of it without improvement before stopping',
    )
    args = study.start(parser, argv)
    runs = study.experiment(args)
    base, data = study.model(runs), runs.data
    options = {
        key: getattr(args, key) for key in ('lr', 'epochs', 'patience', 'seed')
    }
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
    results = {
        'model': runs.args.model,
        **summarise(clusters, gain, session_labels(ensemble, data['test'])),
        'comparison': {
            metric: compare(
                {name: values[metric] for name, values in gain.items()},
                per_session(data['test']),
            )
            for metric in METRICS
        },
        'thesis': thesis(),
    }
    study.write(args, results, table(results), plot(results))


if __name__ == '__main__':
    study.call(main)
