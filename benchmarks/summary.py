"""Sums up the results of run.py: a line for each file.

The base, what the thesis and the model's paper report, the augmentation of
highest HR@20 and its control. A base alone on part of the data has no line;
the table `whole` has those on whole data.
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
    published,
    variant,
)
from benchmarks.experiments.results import Table, command, load, write

RESULTS = osp.join(osp.dirname(osp.abspath(__file__)), 'results')
HEAD = [
    *('data', 'model', 'base', 'thesis', 'published', 'best augmented'),
    *('HR@20 over the base [95 %]', 'p (Holm)', 'its control'),
]


def main(argv: Optional[List[str]] = None) -> None:
    add = (parser := options.parser(__doc__)).add_argument
    add('--results', default=RESULTS, help='folder of the files')
    add('--output', default=RESULTS, help='folder for summary.json')
    args = parser.parse_args(argv)
    report = {'command': command('summary.py', []), 'table': tables(args)}
    write(osp.join(args.output, 'summary.json'), report)


def tables(args: argparse.Namespace) -> Dict[str, Table]:
    """Lines of all files, and of those on whole data."""
    compared = []
    for path in sorted(glob(osp.join(args.results, '*.json'))):
        try:
            compared.append(load(path))
        except ValueError:
            continue  # Not of run.py
    lines = [
        (results['settings']['fraction'] == 1, row(results))
        for results in sorted(compared, key=lambda x: place(x['settings']))
    ]
    return {
        'all': [HEAD, *(x for whole, x in lines if whole or x[5] != '–')],
        'whole': [HEAD, *(x for whole, x in lines if whole)],
    }


def row(results: Dict[str, Any]) -> List[str]:
    """The line of a file."""
    settings, metrics = results['settings'], results['metrics']
    hits = metrics['HR@20']
    line = [
        data_of(settings),
        variant(settings),
        pair({x: metrics[x]['base']['mean'] for x in METRICS}),
        pair(results['thesis'].get('base')),
        pair(published(settings)),
    ]
    augmented = [x for x in hits if is_augmentation(x)]
    if augmented:
        best = max(augmented, key=lambda x: hits[x]['mean'])
        line += [best, interval(hits[best]), f'{hits[best]["p_holm"]:.4f}']
        control = control_of(best)
        line += [interval(hits[control])] if control in hits else []
    return line + ['–'] * (len(HEAD) - len(line))


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


def pair(values: Optional[Dict[str, float]]) -> str:
    """HR@20 and MRR@20 as papers print them."""
    if not values:
        return '–'
    return ' / '.join(f'{values[metric]:.2f}' for metric in METRICS)


if __name__ == '__main__':
    main()
