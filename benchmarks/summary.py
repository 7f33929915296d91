"""Sums up the results of run.py: a line for each file.

The augmentation of highest HR@20, what it and its control have over the base,
and the base. A base alone on part of the data has no line.
"""

import argparse
from glob import glob
from os import path as osp
from typing import Any, Dict, List, Optional

from benchmarks.experiments import options
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.report import (
    METRICS,
    data_of,
    interval,
    place,
    variant,
)
from benchmarks.experiments.results import Table, command, load, write

RESULTS = osp.join(osp.dirname(osp.abspath(__file__)), 'results')
HEAD = [
    *('data', 'best augmented', 'HR@20 over the base [95 %]', 'p (Holm)'),
    *('its control', 'base', 'model'),
]


def main(argv: Optional[List[str]] = None) -> None:
    add = (parser := options.parser(__doc__)).add_argument
    add('--results', default=RESULTS, help='folder of the files')
    add('--output', default=RESULTS, help='folder for summary.json')
    args = parser.parse_args(argv)
    report = {'command': command('summary.py', []), 'table': table(args)}
    write(osp.join(args.output, 'summary.json'), report)


def table(args: argparse.Namespace) -> Table:
    """A line for each file that compares, or has a base on whole data."""
    compared = []
    for path in sorted(glob(osp.join(args.results, '*.json'))):
        try:
            compared.append(load(path))
        except ValueError:
            continue  # Not of run.py
    compared.sort(key=lambda x: place(x['settings']))
    lines = [(x['settings']['fraction'] == 1, row(x)) for x in compared]
    return [HEAD, *(x for whole, x in lines if whole or x[1] != '–')]


def row(results: Dict[str, Any]) -> List[str]:
    """The line of a file."""
    settings, metrics = results['settings'], results['metrics']
    hits, best = metrics['HR@20'], '–'
    gain = p = beside = '–'
    augmented = [x for x in hits if is_augmentation(x)]
    if augmented:
        best = max(augmented, key=lambda x: hits[x]['mean'])
        gain, p = interval(hits[best]), f'{hits[best]["p_holm"]:.4f}'
        beside = interval(hits.get(control_of(best), {}))
    base = ' / '.join(f'{metrics[x]["base"]["mean"]:.2f}' for x in METRICS)
    return [data_of(settings), best, gain, p, beside, base, variant(settings)]


def is_augmentation(name: str) -> bool:
    """Whether a method augments graphs and is no control."""
    method = parse_method(name)
    changed = method.weights or method.blur or name.startswith('inject')
    return bool(changed) and '-shuffled' not in name


def control_of(name: str) -> str:
    """The method that differs in knowing nothing of the items, or in its
    graphs alone.
    """
    if name == 'inject-same':
        return 'inject'  # An item of any other category is a random one.
    if name == 'blur':
        return 'base-wd-patience'
    weights, noblur, _ = name.partition('-noblur')
    return f'{weights}-shuffled{noblur}'


if __name__ == '__main__':
    main()
