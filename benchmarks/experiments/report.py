"""What run.py reports: results, their tables and their surroundings."""

import os.path as osp
import platform
import subprocess
from typing import Any, Dict, List, Tuple

import sklearn
import torch
import torch_geometric

import pyg_sessaug
from benchmarks.experiments.datasets import SPLITS
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.results import Table
from pyg_sessaug.comparison import compare, gains, per_session
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.training import best_epoch

# HR@20 and MRR@20 in Tables 7.1 and 7.6 of the thesis; but for the bases and
# blur alone all with blur.
NAMES = ('base', 'blur', 'i2i', 'gmm', 'kmeans', 'category')
THESIS = {
    ('diginetica', 'srgnn'): (
        (50.71, 17.75), (51.11, 17.75), (51.18, 18.05), (51.12, 18.01),
        (51.12, 18.06), (51.08, 18.02)),
    ('yoochoose', 'srgnn'): (
        (69.94, 30.68), (69.97, 30.68), (70.09, 30.69), (70.02, 30.76),
        (70.04, 30.69), (70.02, 30.75)),
    ('otto', 'srgnn'): (
        (31.42, 20.49), (31.49, 20.54), (32.05, 21.16), (32.02, 21.18),
        (32.05, 21.34), None),
    ('diginetica', 'tagnn'): (
        (50.34, 17.66), None, (51.04, 18.17), (51.13, 18.05), (51.11, 18.08),
        (51.08, 18.00)),
    ('yoochoose', 'tagnn'): (
        (70.50, 30.76), None, (70.51, 30.79), (70.78, 31.04), (70.72, 30.86),
        (70.52, 30.62)),
    ('otto', 'tagnn'): (
        (34.10, 21.43), None, (35.04, 22.71), (35.02, 22.82), (35.08, 22.77),
        None),
}  # fmt: skip
# The same in the papers of SR-GNN and TAGNN.
PUBLISHED = {
    ('diginetica', 'srgnn'): (50.73, 17.59),
    ('yoochoose', 'srgnn'): (70.57, 30.94),
    ('diginetica', 'tagnn'): (51.31, 18.03),
    ('yoochoose', 'tagnn'): (71.02, 31.12),
}
COUNTS = ('sessions', 'clicks', 'average_length')
METRICS = ('HR@20', 'MRR@20')


def collect(
    experiment: Experiment,
    runs: Dict[Tuple[int, str], Dict[str, Any]],
    command: str,
) -> Dict[str, Any]:
    """The results of all runs and their tables: plain values without paths.

    Args:
        experiment: The experiment.
        runs: What :meth:`Experiment.run` returned, by seed and method.
        command: The command that ran them.
    """
    args = experiment.args
    seeds = sorted({seed for seed, _ in runs})
    # In the thesis' order; what it has not, as given.
    given = dict.fromkeys(name for _, name in runs)
    names = list(dict.fromkeys([x for x in NAMES if x in given] + [*given]))
    session = per_session(experiment.data['test'])
    gain = {
        name: gains([runs[seed, name]['rank'] for seed in seeds])
        for name in names
    }
    known = THESIS if args.fraction == 1 else {}
    thesis = known.get((args.dataset, args.model), ())
    surroundings = environment(args.device)
    results = {
        'command': command,
        'about': '',
        'table': {},
        'settings': experiment.settings,
        'environment': surroundings,
        'data': describe(experiment.data),
        'metrics': {
            metric: compare({x: gain[x][metric] for x in names}, session)
            for metric in METRICS
        },
        'thesis': {
            name: dict(zip(METRICS, values))
            for name, values in zip(NAMES, thesis)
            if values is not None
        },
        'runs': [
            {
                'seed': seed,
                'method': name,
                **{
                    metric: 100 * float(value[i].mean())
                    for metric, value in gain[name].items()
                },
                **outcome(runs[seed, name]['history']),
                'test_seconds': runs[seed, name]['test_seconds'],
                'weights': runs[seed, name]['weights'],
                'commit': surroundings['commit'],
            }
            for i, seed in enumerate(seeds)
            for name in names
        ],
    }
    results['about'], results['table'] = about(results), tables(results)
    return results


def outcome(history: List[Dict[str, float]]) -> Dict[str, float]:
    """What a training came to: the epoch that validation chose, its loss,
    all epochs and their seconds.
    """
    epoch = best_epoch(history)
    return {
        'best_epoch': epoch,
        'val_loss': history[epoch - 1]['val_loss'],
        'epochs': len(history),
        'seconds': sum(x['seconds'] for x in history),
    }


def about(results: Dict[str, Any]) -> str:
    """What was run, in a line."""
    settings, data = results['settings'], results['data']
    seeds = sorted({run['seed'] for run in results['runs']})
    share = settings['fraction']
    return (
        f'{variant(settings)}; {data["name"]}'
        f'{"" if share == 1 else f", newest {share:.4g} of the sessions"}: '
        f'{data["train"]["samples"]:,} training, '
        f'{data["val"]["samples"]:,} validation and '
        f'{data["test"]["samples"]:,} test samples, '
        f'{data["test_unseen_target_share"]:.1%} of the test targets unseen '
        f'in training, {data["test_repeat_share"]:.1%} clicked before in '
        f'their session; {"seed" if len(seeds) == 1 else "seeds"} '
        f'{", ".join(map(str, seeds))}'
    )


def variant(settings: Dict[str, Any]) -> str:
    """A model, with what differs from the thesis' protocol."""
    parts = [settings['model'].upper(), settings['precision']]
    if settings.get('scale') is not None:
        parts.append(f'cosine scores × {settings["scale"]:g}')
    if settings.get('dropout'):
        parts.append(f'dropout {settings["dropout"]:g}')
    if settings['num_layers'] != 2:
        parts.append(f'layers {settings["num_layers"]}')
    if settings['num_clusters'] != 8:
        parts.append(f'{settings["num_clusters"]} clusters')
    if settings.get('inject_p') not in (None, 0.5):  # 0.5 is the default.
        parts.append(f'injection p {settings["inject_p"]:g}')
    if settings['weight_decay'] != 1e-5:
        parts.append(f'weight decay {settings["weight_decay"]:g}')
    if settings['schedule'] == 'steps':
        parts.append('stretched schedule')
    return ', '.join(parts)


def data_of(settings: Dict[str, Any]) -> str:
    """A data set, and which share of it where that is not all."""
    share = settings['fraction']
    return settings['dataset'] + (f' × {share:.4g}' if share != 1 else '')


def place(settings: Dict[str, Any]) -> Tuple[str, float, str, float]:
    """Where a file goes: whole data first, plain models before others."""
    return (
        settings['dataset'],
        -settings['fraction'],
        settings['model'],
        settings.get('scale') or 0,
    )


def published(settings: Dict[str, Any]) -> Dict[str, float]:
    """What the model's paper reports on this data, if it is that model."""
    if settings['fraction'] != 1 or settings.get('scale') is not None:
        return {}
    key = settings['dataset'], settings['model']
    return dict(zip(METRICS, PUBLISHED.get(key, ())))


def tables(results: Dict[str, Any]) -> Dict[str, Table]:
    """One table for each metric, and one of all seeds."""
    thesis, paper = results['thesis'], published(results['settings'])
    out = {}
    for metric, rows in results['metrics'].items():
        head = ['mean', 'gain (%)', 'difference [95 %]', 'p', 'p (Holm)']
        # A column for the number of seeds where it is not that of all.
        counts = {name: len(row['values']) for name, row in rows.items()}
        unequal = len(set(counts.values())) > 1
        head += ['seeds'] * unequal
        more = ['thesis'] * bool(thesis) + ['published'] * bool(paper)
        lines = [[f'{metric} (%)', *head, *more]]
        for name, row in rows.items():
            std = '' if row['std'] is None else f' ± {row["std"]:.2f}'
            line = [name, f'{row["mean"]:.2f}{std}']
            if 'p' in row:
                line += [
                    '–' if row['gain'] is None else f'{row["gain"]:+.2f}',
                    interval(row),
                    f'{row["p"]:.4f}',
                    f'{row["p_holm"]:.4f}',
                ]
            line += ['–'] * (6 - len(line)) + [str(counts[name])] * unequal
            if name in thesis:
                line.append(f'{thesis[name][metric]:.2f}')
            if name == 'base' and paper:
                line += ['–'] * (len(lines[0]) - 1 - len(line))
                line.append(f'{paper[metric]:.2f}')
            lines.append(line + ['–'] * (len(lines[0]) - len(line)))
        out[metric] = lines
    if len(results['runs']) > 1:
        out['seeds'] = by_seed(results)
    return out


def by_seed(results: Dict[str, Any]) -> Table:
    """Both metrics of each run, the epoch that validation chose, its loss."""
    runs = {(run['seed'], run['method']): run for run in results['runs']}
    seeds = sorted({seed for seed, _ in runs})
    head = [f'seed {seed}' for seed in seeds] + ['validation loss']
    lines = [[' / '.join(METRICS) + ' (epoch)', *head]]
    for name in results['metrics'][METRICS[0]]:
        found = [runs.get((seed, name)) for seed in seeds]
        line = [
            '–'
            if run is None
            else f'{run["HR@20"]:.2f} / {run["MRR@20"]:.2f} '
            f'({run["best_epoch"]})'
            for run in found
        ]
        losses = [run['val_loss'] for run in found if run is not None]
        lines.append([name, *line, f'{sum(losses) / len(losses):.3f}'])
    return lines


def interval(row: Dict[str, Any], digits: int = 2) -> str:
    """A difference to the base and where it lies; none for the base."""
    if 'low' not in row:
        return '–'
    value, low, high = (
        f'{row[key]:+.{digits}f}' for key in ('difference', 'low', 'high')
    )
    return f'{value} [{low}, {high}]'


def describe(data: Dict[str, SessionDataset]) -> Dict[str, Any]:
    """Counts and shares of a data set, whose splits are given."""
    train, test = data['train'], data['test']
    return {
        'name': type(train).__name__,
        'num_items': train.num_items,
        'num_seen_items': int(train.seen_items.sum()),
        'num_categories': train.num_categories,
        'categories_per_session': train.categories_per_session,
        **{
            split: {
                'samples': len(part),
                **{x: getattr(part, x) for x in COUNTS},
            }
            for split, part in data.items()
        },
        'test_unseen_target_share': test.unseen_target_share,
        'test_repeat_share': test.repeat_share,
    }


def summary(experiment: Experiment) -> str:
    """What is about to run, in a few lines."""
    data, args = describe(experiment.data), experiment.args
    counts = ', '.join(f'{data[x]["samples"]:,} {x}' for x in SPLITS)
    every = (
        '2 epochs'
        if experiment.decay_steps is None
        else f'{experiment.decay_steps:,} steps'
    )
    return (
        f'{data["name"]}: {data["num_items"]:,} items '
        f'({data["num_seen_items"]:,} in training), samples: {counts}\n'
        f'{args.model}, {experiment.precision}; learning rate / 10 every '
        f'{every}, at most {experiment.epochs} epochs\n'
        f'Test targets never seen in training '
        f'{data["test_unseen_target_share"]:.2%}, clicked before in their '
        f'session {data["test_repeat_share"]:.2%}'
    )


def environment(device: str) -> Dict[str, Any]:
    """Versions and hardware."""
    commit = subprocess.run(
        ['git', 'describe', '--always', '--dirty', '--abbrev=40',
         '--exclude=*'],
        cwd=osp.dirname(osp.abspath(__file__)), capture_output=True, text=True,
    )  # fmt: skip
    return {
        'python': platform.python_version(),
        'torch': torch.__version__,
        'torch_geometric': torch_geometric.__version__,
        'sklearn': sklearn.__version__,
        'pyg_sessaug': pyg_sessaug.__version__,
        'commit': commit.stdout.strip() or None,
        'cpu': _cpu(),
        'device': device,
        'threads': torch.get_num_threads(),
    }


def _cpu() -> str:
    try:
        with open('/proc/cpuinfo') as f:
            names = [line for line in f if line.startswith('model name')]
        return names[0].split(':', 1)[1].strip()
    except (OSError, IndexError):  # Not Linux, or no x86.
        return platform.processor() or platform.machine()
