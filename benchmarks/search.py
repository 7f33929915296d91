"""Looks for the settings of an augmentation, by validation alone.

First the plain model's own best weight decay and dropout; then, with these,
injected items where the data has categories, the best of them annealed too,
and random settings of weights and blur, whose distances come from that model.
The highest MRR@20 on the validation samples wins. The test set is not read: a
last line has the command of run.py that compares both on it, with other seeds.
"""

import argparse
import os.path as osp
import shlex
import shutil
import sys
import time
from itertools import product
from typing import Any, Dict, List, Optional

import torch

from benchmarks import run
from benchmarks.experiments.board import told
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import METHODS, Method, parse_method
from benchmarks.experiments.options import parser as parser_with
from benchmarks.experiments.options import positive
from benchmarks.experiments.report import environment, outcome
from benchmarks.experiments.results import Table, command, rows, write
from pyg_sessaug.metrics import ranking_metrics

PLAIN = {'weight-decay': [1e-6, 1e-5, 1e-4], 'dropout': [0.0, 0.2]}
INJECTED = {'method': ['inject', 'inject-same'], 'inject-p': [0.25, 0.5, 1.0]}
ANNEALED = {'anneal': [5, 10]}
WEIGHTED = {
    'method': ['blur', 'i2i', 'live', 'gmm', 'kmeans', 'kmeans-noblur'],
    'augmented-weight-decay': [1e-6, 1e-5, 1e-4],
    'edge-p': [0.25, 0.5, 1.0],
    'blur-p': [0.25, 0.5, 1.0],
    'blur-std': [0.01, 0.03, 0.1],
    'num-clusters': [4, 8, 16, 32],
    'edge-power': [0.5, 1.0, 2.0],
    'anneal': [5, 10, None],
}


# Options of run.py that no search may be given, and those that change none.
OWN = {x.replace('-', '_') for x in {**PLAIN, **INJECTED, **WEIGHTED}}
OWN |= {'methods', 'seeds', 'resume'}
NEUTRAL = {'root', 'output', 'device', 'threads'}


def main(argv: Optional[List[str]] = None) -> None:
    args, options = parse_args(argv)
    plain = [
        candidate(args, options, METHODS['base'], setting)
        for setting in grid(PLAIN)
    ]
    best_plain = max(plain, key=lambda x: x['MRR@20'])
    base = osp.join(best_plain['folder'], 'models', 'seed0-base.val.pt')
    settings = grid(WEIGHTED)
    generator = torch.Generator().manual_seed(args.seed)
    order = torch.randperm(len(settings), generator=generator).tolist()
    tried = [settings[i] for i in order[: args.candidates]]

    def augment(setting: Dict[str, Any]) -> Dict[str, Any]:
        setting = {**best_plain['setting'], **setting}
        method = parse_method(str(setting.pop('method')))
        return candidate(args, options, method, setting, base)

    augmented = []
    if best_plain['categories']:
        augmented = [augment(x) for x in grid(INJECTED)]
        best = max(augmented, key=lambda x: x['MRR@20'])
        best = {'method': best['method'], **best['setting']}
        augmented += [augment({**best, **x}) for x in grid(ANNEALED)]
    augmented += [augment(x) for x in tried]
    best = max(augmented, key=lambda x: x['MRR@20'])
    test = ['python', 'benchmarks/run.py', *options, *flags(best['setting'])]
    test += ['--methods', 'base', best['method'], '--seeds']
    report = {
        'command': command('search.py', argv),
        **collect(args, options, [*plain, *augmented]),
    }
    write(osp.join(args.output, 'search.json'), report)
    print(f'Compare on the test set by:\n{shlex.join(test)} 1 2 3 4 5')


def parse_args(
    argv: Optional[List[str]] = None,
) -> 'tuple[argparse.Namespace, List[str]]':
    """Options of the search, and those left for run.py."""
    epilog = (
        'All other options are those of run.py, such as --dataset, --root, '
        '--fraction and --schedule, but for those that the search sets itself.'
    )
    parser = parser_with(__doc__, 'seed output', epilog, output='runs/search')
    parser.add_argument(
        '--candidates', type=positive, default=20,
        help='settings of weights and blur to try',
    )  # fmt: skip
    args, options = parser.parse_known_args(argv)
    given = vars(run.parse_args(options))  # Says what it does not know.
    defaults = run.parse_args(['--dataset', given['dataset']])
    for key, value in vars(defaults).items():
        if key in OWN and given[key] != value:
            option = key.replace('_', '-')
            parser.error(f'--{option} is what the search sets itself')
    return args, options


def grid(values: Dict[str, List[Any]]) -> List[Dict[str, Any]]:
    """All combinations."""
    return [dict(zip(values, x)) for x in product(*values.values())]


def flags(setting: Dict[str, Any]) -> List[str]:
    """A setting as options of run.py."""
    given = {k: v for k, v in setting.items() if v is not None}
    return [x for k, v in given.items() for x in (f'--{k}', f'{v:g}')]


def candidate(
    args: argparse.Namespace,
    options: List[str],
    method: Method,
    setting: Dict[str, Any],
    base: Optional[str] = None,
) -> Dict[str, Any]:
    """One model, trained and validated.

    Args:
        args: Options of the search.
        options: Options of run.py that all share.
        method: What to train.
        setting: Further options of run.py.
        base: File of the model that distances come from.
    """
    name = '-'.join([method.name, *flags(setting)[1::2]])
    folder = osp.join(args.output, name)
    given = run.parse_args([*options, *flags(setting)])
    given.output, given.resume, given.methods = folder, True, [method]
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    experiment = Experiment(given)
    experiment.claim()
    if base is not None:
        models = osp.join(folder, 'models')
        shutil.copy(base, osp.join(models, 'seed0-base.pt'))
    start = time.perf_counter()
    record = experiment.run(0, method, split='val')
    result = {
        'method': method.name,
        'setting': setting,
        **{k: 100 * v for k, v in ranking_metrics(record['rank']).items()},
        **outcome(record['history']),
        'folder': folder,
        'categories': experiment.data['train'].categories is not None,
    }
    print(f'{name}: HR@20 {result["HR@20"]:.2f}, MRR@20 '
          f'{result["MRR@20"]:.2f} ({time.perf_counter() - start:.0f} s)',
          flush=True)  # fmt: skip
    return result


def collect(
    args: argparse.Namespace,
    options: List[str],
    candidates: List[Dict[str, Any]],
) -> Dict[str, Any]:
    """What was searched and found: plain values without paths."""
    shared = vars(run.parse_args(options))
    seconds = sum(x['seconds'] for x in candidates)
    return {
        'about': f'{len(candidates)} models, seed 0, {seconds / 60:.0f} '
        f'minutes of training',
        'table': table(candidates),
        'search': {
            'candidates': args.candidates,
            'seed': args.seed,
            **{k: v for k, v in shared.items() if k not in OWN | NEUTRAL},
        },
        'environment': environment('cpu'),
        'seconds': seconds,
        'candidates': [
            {k: v for k, v in x.items() if k not in ('folder', 'categories')}
            for x in candidates
        ],
    }


def table(candidates: List[Dict[str, Any]]) -> Table:
    """All candidates, the best first."""

    def settings(candidate: Dict[str, Any]) -> str:
        given = candidate['setting'].items()
        return told({k: v for k, v in given if v is not None})

    return rows(
        sorted(candidates, key=lambda x: -x['MRR@20']),
        [
            ('validation', '{method}'),
            ('HR@20 (%)', '{HR@20:.2f}'),
            ('MRR@20 (%)', '{MRR@20:.2f}'),
            ('settings', settings),
        ],
    )


if __name__ == '__main__':
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
