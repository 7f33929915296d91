"""Plots what augmentations gain against the share of the training data.

Reads results of run.py, of one data set and model, on different shares of the
newest training sessions, and writes a figure of the difference to the base.
"""

import argparse
import shlex
import sys
from typing import Any, Dict, List, Optional

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt

from benchmarks.experiments.earlier import load_results
from benchmarks.experiments.plots import COLORS, LINES, MARKERS
from benchmarks.experiments.report import METRICS


def main(argv: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('files', nargs='+', help='results.json of each share')
    add(
        '--methods',
        nargs='+',
        metavar='METHOD',
        help='which (default: those of the smallest share)',
    )
    add('--output', default='shares.png', help='(default: shares.png)')
    args = parser.parse_args(argv)
    try:
        figure = plot([load_results(x) for x in args.files], args.methods)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    command = shlex.join(['benchmarks/shares.py', *(argv or sys.argv[1:])])
    figure.savefig(args.output, dpi=150, metadata={'Description': command})
    plt.close(figure)


def plot(
    results: List[Dict[str, Any]], methods: Optional[List[str]] = None
) -> Any:
    """Difference to the base with its interval, by share and method."""
    kinds = {
        tuple(x['settings'][key] for key in ('dataset', 'model'))
        for x in results
    }
    if len(kinds) > 1:
        raise ValueError(
            f'cannot put {sorted(kinds)} on one axis; give files of one data '
            f'set and model'
        )
    results = sorted(results, key=lambda x: x['settings']['fraction'])
    first = results[0]['metrics'][METRICS[0]]
    methods = methods or [name for name in first if name != 'base']
    known = {name for x in results for name in x['metrics'][METRICS[0]]}
    for name in set(methods) - known:
        raise ValueError(
            f'no file has the method {name}; choose from '
            f'{", ".join(sorted(known - {"base"}))}'
        )
    figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout='constrained')
    for axis, metric in zip(axes, METRICS):
        for i, name in enumerate(methods):
            points = [
                (x['settings']['fraction'], x['metrics'][metric][name])
                for x in results
                if name in x['metrics'][metric]
            ]
            # Side by side, or intervals of a share would hide one another.
            share = [x * 1.06 ** (i - len(methods) / 2) for x, _ in points]
            value = [row['difference'] for _, row in points]
            bars = [
                [row['difference'] - row['low'] for _, row in points],
                [row['high'] - row['difference'] for _, row in points],
            ]
            axis.errorbar(
                share, value, bars, label=name, ms=5, lw=1, capsize=2,
                color=COLORS[i % 8], marker=MARKERS[i % 8],
                ls=LINES[i % 4],
            )  # fmt: skip
        axis.axhline(0, color='k', lw=1, alpha=0.5)
        shares = sorted({x['settings']['fraction'] for x in results})
        axis.set_xscale('log')
        axis.set_xticks(shares, [f'{x:.3g}' for x in shares])
        axis.minorticks_off()
        axis.set(
            title=metric,
            xlabel='Share of the training sessions',
            ylabel='Difference to the base (points)',
        )
        axis.grid(alpha=0.3)
    settings = results[0]['settings']
    figure.suptitle(
        f'{settings["model"].upper()} on {results[0]["data"]["name"]}: '
        f'gain by share of data, with 95 % intervals'
    )
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc='outside lower center', fontsize=9, ncols=4, frameon=False,
    )  # fmt: skip
    return figure


if __name__ == '__main__':
    main()
