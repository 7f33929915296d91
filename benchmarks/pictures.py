"""Draws what augmentations and edges gain beyond their controls.

Reads files that compare.py, run.py, duels.py and studies/edges.py wrote;
nothing is measured. Writes forest.png, a line for each pair of controls.json,
shares.png, the thesis' gain over the base on shares of Diginetica, and
edges.png, what edges that carry news gain.
"""

import argparse
import json
from glob import glob
from os import path as osp
from typing import Any, Dict, List, Optional

from benchmarks.experiments import options
from benchmarks.experiments.plots import (
    COLORS,
    MARKERS,
    differences,
    legend_below,
    panels,
)
from benchmarks.experiments.report import METRICS
from benchmarks.experiments.results import load

RESULTS = osp.join(osp.dirname(osp.abspath(__file__)), 'results')
KINDS = {
    'distances, beside shuffled ones': lambda x: x not in APART,
    'blur, beside plain graphs trained alike': lambda x: x == 'blur',
    "items of a category, beside any other's": lambda x: x == 'inject-same',
}
APART = ('blur', 'inject-same')
# Files of the newest sixteenth and eighth, and of the whole.
SHARES = {
    '1/16': 'diginetica-srgnn-16th-steps',
    '1/8': 'diginetica-srgnn-8th-steps',
    '1': 'diginetica-srgnn',
}
METHODS = {'kmeans': 'weights by clusters, and blur', 'blur': 'blur alone',
           'inject-same': 'an injected item of the category'}  # fmt: skip


def main(argv: Optional[List[str]] = None) -> None:
    add = (parser := options.parser(__doc__)).add_argument
    add('--results', default=RESULTS, help='folder of the files')
    add('--output', default=RESULTS, help='folder for the pictures')
    args = parser.parse_args(argv)
    for name, draw in PICTURES.items():
        figure = draw(args)
        path = osp.join(args.output, f'{name}.png')
        figure.savefig(path, dpi=150)
        print(f'Written to {path}')


def forest(args: argparse.Namespace) -> Any:
    """Gain of each pair in HR@20 and its interval, kind by kind."""
    with open(osp.join(args.results, 'controls.json')) as f:
        found: List[Dict[str, Any]] = json.load(f)['rows']
    figure, axis = panels(size=(8, 0.19 * len(found) + 1.6), grid='x')
    names: List[str] = []
    for i, (kind, inside) in enumerate(KINDS.items()):
        part = [row for row in found if inside(row['method'])]
        place = list(range(len(names), len(names) + len(part)))
        differences(
            axis, place, [row['HR@20'] for row in part], flat=True,
            color=COLORS[i], marker=MARKERS[i], linestyle='', label=kind,
            markersize=4,
        )  # fmt: skip
        names += [label(row) for row in part]
    axis.axvline(0, color='#666666', linewidth=1)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel('HR@20 beyond the control (percentage points, 95 %)')
    legend_below(figure)
    return figure


def label(row: Dict[str, Any]) -> str:
    """A pair in few words."""
    model, _, rest = row['model'].partition(',')
    parts = [row['data'], model]
    parts += ['cosine scores'] * ('cosine' in rest)
    parts += ['stretched'] * ('stretched' in rest)
    return f'{row["method"]}: {", ".join(parts)}'


def shares(args: argparse.Namespace) -> Any:
    """Gain over the base on shares of Diginetica."""
    metrics = [
        load(osp.join(args.results, f'{name}.json'))['metrics']['HR@20']
        for name in SHARES.values()
    ]
    figure, axis = panels(size=(6, 3.6), grid='y')
    for i, (method, about) in enumerate(METHODS.items()):
        known = [j for j, x in enumerate(metrics) if method in x]
        place = [j + 0.08 * (i - 1) for j in known]
        differences(
            axis, place, [metrics[j][method] for j in known],
            color=COLORS[i], marker=MARKERS[i], label=about, markersize=5,
        )  # fmt: skip
    axis.axhline(0, color='#666666', linewidth=1)
    axis.set_xticks(range(len(SHARES)), list(SHARES))
    axis.set_xlabel('share of the training sessions of Diginetica')
    axis.set_ylabel('HR@20 over the base\n(percentage points, 95 %)')
    legend_below(figure)
    return figure


def edges(args: argparse.Namespace) -> Any:
    """Gains of edges that carry news, over the base and the control."""
    names: List[str] = []
    found: List[Dict[str, Any]] = []
    for path in sorted(glob(osp.join(args.results, 'duels-*.json'))):
        with open(path) as f:
            report = json.load(f)
        for row in report['rows']:
            plain = 'refit' not in row['model']
            if plain and row['model'].endswith('-context'):
                other = 'control' if 'shuffled' in row['beside'] else 'base'
                names.append(f'context, {report["about"]}, over {other}')
                found.append(row)
    with open(osp.join(args.results, 'edges.json')) as f:
        gains = json.load(f)['gains']
    for row in gains:
        for other in ('base', 'control'):
            values = {x: row.get(f'{x} over {other}') for x in METRICS}
            if None in values.values() or row['method'].endswith('-shuffled'):
                continue
            older = ', counted in all' * row['older']
            about = f'{row["data"]} × {row["fraction"]:g}, {row["model"]}'
            names.append(f'{row["method"]}{older}, {about}, over {other}')
            found.append(
                {
                    metric: dict(zip(('difference', 'low', 'high'), value))
                    for metric, value in values.items()
                }
            )
    size = (10, 0.24 * len(found) + 1.3)
    figure, axes = panels(1, 2, size, grid='x', sharey=True)
    for i, (axis, metric) in enumerate(zip(axes, METRICS)):
        differences(
            axis, list(range(len(found))), [x[metric] for x in found],
            flat=True, color=COLORS[i], marker='o', linestyle='',
            markersize=4,
        )  # fmt: skip
        axis.axvline(0, color='#666666', linewidth=1)
        axis.set_xlabel(f'{metric} (percentage points, 95 %)')
    axes[0].set_yticks(range(len(names)), names, fontsize=7)
    axes[0].invert_yaxis()
    return figure


PICTURES = {'forest': forest, 'shares': shares, 'edges': edges}

if __name__ == '__main__':
    main()
