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
from benchmarks.experiments.board import NAMES
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

# Rows of the leaderboard with edges that carry news.
WHOLE = {'srgnn-plus-context': 'context=20',
         'srgnn-plus-covisits': 'covisit-context',
         'srgnn-modes': 'two-modes'}  # fmt: skip
OVER = ('base', 'control')


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
    found: Dict[str, Dict[str, Dict[str, Any]]] = {}
    for path in sorted(glob(osp.join(args.results, 'duels-*.json'))):
        with open(path) as f:
            report = json.load(f)
        for row in report['rows']:
            for model, label in WHOLE.items():
                if row['model'] == model:
                    other = 'shuffled' in row['beside']
                    name = f'{label}, {NAMES[report["about"]]}'
                    found.setdefault(name, {})[OVER[other]] = row
    with open(osp.join(args.results, 'edges.json')) as f:
        gains = json.load(f)['gains']
    for row in gains:
        for other in OVER:
            values = {x: row.get(f'{x} over {other}') for x in METRICS}
            method = row['method']
            if None in values.values() or method.endswith(
                ('-shuffled', 'draw')
            ):
                continue
            name = method + ', counted in all' * row['older']
            name += f', {NAMES[row["data"]]}'
            name += f' × {row["fraction"]:g}' * (row['fraction'] < 1)
            name += f', {row["model"]}' * (row['model'] != 'srgnn-plus')
            found.setdefault(name, {})[other] = {
                metric: dict(zip(('difference', 'low', 'high'), value))
                for metric, value in values.items()
            }
    size = (10, 0.34 * len(found) + 1.5)
    figure, axes = panels(1, 2, size, grid='x', sharey=True)
    for axis, metric in zip(axes, METRICS):
        for i, other in enumerate(OVER):
            rows = [(j, x) for j, x in enumerate(found.values()) if other in x]
            differences(
                axis, [j + 0.3 * i - 0.15 for j, _ in rows],
                [x[other][metric] for _, x in rows], flat=True,
                color=COLORS[i], marker=MARKERS[i], linestyle='',
                markersize=4, label=f'over the {other}',
            )  # fmt: skip
        axis.axvline(0, color='#666666', linewidth=1)
        axis.set_xlabel(f'{metric} (percentage points, 95 %)')
    axes[0].set_yticks(range(len(found)), list(found), fontsize=8)
    axes[0].invert_yaxis()
    legend_below(figure, ncols=2)
    return figure


PICTURES = {'forest': forest, 'shares': shares, 'edges': edges}

if __name__ == '__main__':
    main()
