"""Ranks test samples by counting alone: what every model should beat."""

import argparse
import json
import os
import os.path as osp
import sys
import time
from argparse import Namespace
from itertools import product
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.experiments.datasets import DATASETS, SPLITS, load
from benchmarks.experiments.knn import (
    VSKNN,
    WEIGHTING,
    Index,
    rank_cooccurrence,
    rank_pop,
    rank_spop,
    rank_vsknn,
)
from benchmarks.experiments.report import describe, environment, markdown
from benchmarks.run import fraction, positive
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.files import save_atomically
from pyg_sessaug.metrics import ranking_metrics

DESCRIPTION = """\
Ranks the items of the test samples by popularity, by co-occurrence with the
last click, and by the votes of similar sessions, on the splits and with the
metrics of run.py. Where several parameters are given, validation chooses.
"""
SIMPLE = {
    'pop': rank_pop,
    'spop': rank_spop,
    'cooccurrence': rank_cooccurrence,
}
BASELINES = (*SIMPLE, 'vsknn')
# What session-rec found on its single splits of RSC15/64 and Diginetica, and
# on the latter as prepared for STAMP, besides its defaults.
PUBLISHED = (
    VSKNN(),
    VSKNN(1000, 5000, 'log', 'quadratic', 2.0),
    VSKNN(500, 5000, 'quadratic', 'div', 10.0),
    VSKNN(500, 10000, 'quadratic', 'quadratic', 10.0),
)
CRITERION = 'MRR@20'


def main(argv: Optional[List[str]] = None) -> None:
    args = parse_args(argv)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    try:
        data = {split: read(args, split) for split in SPLITS}
        results, ranks = run_all(args, data)
        os.makedirs(args.output, exist_ok=True)
        with open(osp.join(args.output, 'results.json'), 'w') as f:
            json.dump(results, f, indent=1, allow_nan=False)
        table = tables(results)
        with open(osp.join(args.output, 'table.md'), 'w') as f:
            f.write(table)
        os.makedirs(osp.join(args.output, 'ranks'), exist_ok=True)
        for name, rank in ranks.items():
            path = osp.join(args.output, 'ranks', f'{name}.pt')
            save_atomically({'rank': rank.int()}, path)
        print(f'\n{table}\nWritten to {args.output}')
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')


def parse_args(argv: Optional[List[str]] = None) -> Namespace:
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    add = parser.add_argument
    add('--dataset', choices=DATASETS, default='multimodal')
    add(
        '--root',
        help='folder with the raw files in raw/, only read if they '
        'are there (default: data/DATASET)',
    )
    add(
        '--fraction',
        type=fraction,
        default=1.0,
        help='newest share of the training sessions to keep (default: 1)',
    )
    add(
        '--baselines',
        nargs='+',
        choices=BASELINES,
        default=list(BASELINES),
        help='(default: all)',
    )
    add(
        '--add-validation',
        action='store_true',
        help='then rank again with the validation sessions back in training, '
        'as most published figures have it',
    )
    knn = parser.add_argument_group(
        'vsknn',
        'Several values span a grid, of which validation chooses. Without any '
        "of these options it chooses among session-rec's defaults and its "
        'best parameters for three data sets; with some, the others have the '
        'defaults.',
    )
    for name, kind, text in (
        ('k', positive, 'neighbours that vote'),
        ('sample-size', positive, 'newest sessions they are sought among'),
        ('weighting', str, 'decay of older clicks in the similarity'),
        ('weighting-score', str, 'decay of votes that share older clicks'),
        ('idf-weighting', weight, 'how much rarer items are preferred'),
    ):
        default = getattr(VSKNN(), name.replace('-', '_'))
        knn.add_argument(
            f'--{name}',
            nargs='+',
            type=kind,
            choices=WEIGHTING if kind is str else None,
            help=f'{text} (default: {default})',
        )
    add('--threads', type=positive, help="of torch (default: torch's own)")
    add(
        '--output',
        help='folder for everything written (default: runs/baselines-DATASET)',
    )
    args = parser.parse_args(argv)
    args.baselines = list(dict.fromkeys(args.baselines))
    args.root = args.root or osp.join('data', args.dataset)
    args.output = args.output or f'runs/baselines-{args.dataset}'
    args.grid = grid(args)
    return args


def weight(text: str) -> float:
    value = float(text)
    if not 0 <= value < float('inf'):
        raise argparse.ArgumentTypeError(f'must be 0 or more, got {text}')
    return value


def grid(args: Namespace) -> List[VSKNN]:
    """The parameters that validation chooses from."""
    given = [getattr(args, name) for name in VSKNN._fields]
    if not any(given):
        return list(PUBLISHED)
    values = [x or [default] for x, default in zip(given, VSKNN())]
    return list(dict.fromkeys(VSKNN(*x) for x in product(*values)))


def read(args: Namespace, split: str, **kwargs: Any) -> SessionDataset:
    folder = osp.join(args.output, 'data')
    return load(
        args.dataset, args.root, split, args.fraction, folder, **kwargs
    )


def run_all(
    args: Namespace, data: Dict[str, SessionDataset]
) -> Tuple[Dict[str, Any], Dict[str, Tensor]]:
    """Results without paths and samples, and the ranks of each baseline."""
    index, seconds = timed(make_index, data['train'])
    print(f'{seconds:.1f} s for the index', flush=True)
    validation: List[Dict[str, Any]] = []
    options = args.grid[0]
    if 'vsknn' in args.baselines and len(args.grid) > 1:
        for options in args.grid:
            row, _ = measure(rank, 'vsknn', index, data['val'], options)
            print(options, row, flush=True)
            validation.append({**options._asdict(), **row})
        best = max(
            range(len(validation)), key=lambda i: validation[i][CRITERION]
        )
        options = args.grid[best]
    rows, ranks = [], {}
    for extra in (False, True)[: 1 + args.add_validation]:
        if extra:
            index = make_index(read(args, 'train', val_ratio=0.0))
        for name in args.baselines:
            row, ranks[name + '-all' * extra] = measure(
                rank, name, index, data['test'], options
            )
            rows.append({'baseline': name, 'add_validation': extra, **row})
            print(rows[-1], flush=True)
    return {
        'settings': {
            'dataset': args.dataset,
            'fraction': args.fraction,
            'baselines': args.baselines,
            'add_validation': args.add_validation,
            'vsknn': options._asdict() if 'vsknn' in args.baselines else None,
            'criterion': CRITERION,
            'raw_sha256': data['train'].raw_sha256,
        },
        'environment': {**environment('cpu'), 'numpy': np.__version__},
        'data': describe(Namespace(data=data)),
        'index_seconds': seconds,
        'validation': validation,
        'test': rows,
    }, ranks


def make_index(train: SessionDataset) -> Index:
    return Index(train.flat_sessions, train.num_items)


def rank(
    name: str, index: Index, data: SessionDataset, options: VSKNN
) -> Tensor:
    if name == 'vsknn':
        return rank_vsknn(index, data.flat_sessions, options)
    return SIMPLE[name](index, data.flat_sessions)


def timed(function: Callable[..., Any], *args: Any) -> Tuple[Any, float]:
    start = time.perf_counter()
    out = function(*args)
    return out, time.perf_counter() - start


def measure(
    function: Callable[..., Tensor], *args: Any
) -> Tuple[Dict[str, float], Tensor]:
    """Metrics in percent and seconds, and the ranks."""
    ranks, seconds = timed(function, *args)
    metrics = {k: 100 * v for k, v in ranking_metrics(ranks).items()}
    return {**metrics, 'seconds': seconds}, ranks


def tables(results: Dict[str, Any]) -> str:
    """Test results and the choice of parameters, in Markdown."""
    head = ['HR@20 (%)', 'MRR@20 (%)', 'seconds']
    lines = [['baseline', 'training sessions', *head]]
    for row in results['test']:
        sessions = 'with validation' if row['add_validation'] else 'as models'
        lines.append([row['baseline'], sessions, *cells(row)])
    parts = [markdown(lines)]
    if results['validation']:
        lines = [[*VSKNN._fields, *(f'validation {x}' for x in head)]]
        for row in results['validation']:
            lines.append([*(str(row[x]) for x in VSKNN._fields), *cells(row)])
        parts.append(markdown(lines))
    return '\n\n'.join(parts) + '\n'


def cells(row: Dict[str, Any]) -> List[str]:
    metrics = [f'{row[x]:.2f}' for x in ('HR@20', 'MRR@20')]
    return [*metrics, f'{row["seconds"]:.1f}']


if __name__ == '__main__':
    main()
