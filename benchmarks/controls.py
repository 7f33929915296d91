"""Shows what augmentations gain beyond their controls, on all data.

Of every file of run.py that has both, each augmentation is compared with its
control: weights shuffled among the items, injected items of any other
category, or for blur, plain graphs with its weight decay and patience.
Nothing is trained: the files hold the ranks of all test targets. Intervals
come from a paired bootstrap over test sessions, on the seeds that both have;
p-values are corrected for all rows by Holm.
"""

import argparse
import json
import os.path as osp
import sys
from functools import lru_cache
from glob import glob
from typing import Any, Dict, List, Optional

import torch

from benchmarks.evidence import FOLDERS, RESULTS
from benchmarks.experiments.datasets import load
from benchmarks.experiments.earlier import check_same, read
from benchmarks.experiments.report import (
    METRICS,
    environment,
    interval,
    write_report,
)
from benchmarks.render import (
    control_of,
    data_of,
    is_augmentation,
    place,
    variant,
)
from pyg_sessaug.comparison import gains, holm, paired_bootstrap, per_session


def main(argv: Optional[List[str]] = None) -> None:
    args = parse(argv)
    try:
        report = controls(args)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    write_report(args.output, report)


def parse(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('--data', default='data', help='folder of the data sets')
    add(
        '--results',
        default=RESULTS,
        help='folder with files of run.py (default: benchmarks/results)',
    )
    add(
        '--output',
        default='runs/controls',
        help='folder for results and prepared data (default: runs/controls)',
    )
    return parser.parse_args(argv)


def controls(args: argparse.Namespace) -> Dict[str, Any]:
    """The difference of every augmentation to its control."""

    @lru_cache
    def test_set(dataset: str) -> Any:
        """SHA-256 of the raw files, and the session of each test sample."""
        root = osp.join(args.data, FOLDERS.get(dataset, dataset))
        data = load(dataset, root, 'test', 1.0, osp.join(args.output, 'data'))
        return data.raw_sha256, per_session(data)

    compared = []
    for path in glob(osp.join(args.results, '*.json')):
        with open(path) as f:
            results = json.load(f)
        if {'runs', 'metrics'} <= results.keys() and all(
            'ranks' in run for run in results['runs']
        ):
            compared.append((place(results), path, results['settings']))
    rows: List[Dict[str, Any]] = []
    for _, path, settings in sorted(compared, key=lambda x: x[:2]):
        runs = read(path, settings)
        names = dict.fromkeys(name for _, name in runs)
        pairs = [
            (name, control_of(name))
            for name in names
            if is_augmentation(name) and control_of(name) in names
        ]
        if not pairs:
            continue
        sha256, session = test_set(settings['dataset'])
        check_same(
            path,
            settings,
            {'raw_sha256': sha256},
            'point --data to the folder of those runs',
        )
        rows += compare_pairs(path, settings, runs, pairs, session)
    if not rows:
        raise ValueError(
            f'{args.results} has no file with ranks of an augmentation and '
            f'its control; copy a results.json of run.py there'
        )
    # Weights, then blur, then injected items; each as the files come.
    rows.sort(
        key=lambda x: (x['method'].startswith('inject'), x['method'] == 'blur')
    )
    for metric in METRICS:
        corrected = holm([row[metric]['p'] for row in rows])
        for row, p in zip(rows, corrected):
            row[metric]['p_holm'] = p
    return {
        'study': 'controls',
        'settings': {
            'seeds': sorted({x for row in rows for x in row['seeds']})
        },
        'environment': environment('cpu'),
        'rows': rows,
        'table': table(rows),
    }


def compare_pairs(
    path: str,
    settings: Dict[str, Any],
    runs: Dict[Any, Any],
    pairs: List[Any],
    session: torch.Tensor,
) -> List[Dict[str, Any]]:
    """A row for each augmentation of a file and its control."""
    rows, differences = [], []
    for name, control in pairs:
        seeds = sorted(
            seed for seed, x in runs if x == name and (seed, control) in runs
        )
        ours, theirs = (
            gains([runs[seed, x]['rank'] for seed in seeds])
            for x in (name, control)
        )
        # Drawn together, all rows of a file see the same sessions.
        differences += [(ours[x] - theirs[x]).mean(dim=0) for x in METRICS]
        rows.append(
            {
                'file': osp.basename(path),
                'data': data_of(settings),
                'model': variant(settings),
                'method': name,
                'control': control,
                'seeds': seeds,
            }
        )
    result = paired_bootstrap(torch.stack(differences), session)
    for i, row in enumerate(rows):
        for j, metric in enumerate(METRICS, len(METRICS) * i):
            row[metric] = {
                'difference': 100 * float(result.difference[j]),
                'low': 100 * float(result.low[j]),
                'high': 100 * float(result.high[j]),
                'p': float(result.p[j]),
            }
    return rows


def table(rows: List[Dict[str, Any]]) -> List[List[str]]:
    """A line for each row."""
    head = ['data', 'model', 'augmentation', 'control', 'seeds']
    for metric in METRICS:
        head += [f'{metric} beyond it [95 %]', 'p (Holm)']
    lines = [head]
    for row in rows:
        line = [row[key] for key in ('data', 'model', 'method', 'control')]
        line.append(str(len(row['seeds'])))
        for metric in METRICS:
            line += [interval(row[metric]), f'{row[metric]["p_holm"]:.4f}']
        lines.append(line)
    return lines


if __name__ == '__main__':
    main()
