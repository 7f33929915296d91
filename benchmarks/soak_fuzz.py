"""Feeds damaged and strange input to everything that reads.

Logs, SR-GNN's pickles, saved files with flipped bits, raw ids and sessions of
thousands of clicks. Nothing may crash without a message that says what is
wrong and where, and what is read must be what plain code reads.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import _fuzz_files
import _fuzz_logs
import _fuzz_use
import hypothesis
from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.experiments.report import environment

TARGETS = {
    **_fuzz_logs.TARGETS,
    **_fuzz_files.TARGETS,
    **_fuzz_use.TARGETS,
}


def fuzz(name, num_cases, number=0, shrink=True):
    """Runs a target; returns how many cases had which outcome."""
    strategy, check = TARGETS[name]
    outcomes = Counter()
    phases = [Phase.generate] + [Phase.shrink] * shrink

    @seed(number)
    @settings(
        max_examples=num_cases,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(case):
        folder = tempfile.mkdtemp(prefix='fuzz')
        try:
            outcomes[check(case, folder)] += 1
        finally:
            shutil.rmtree(folder)

    run()
    return outcomes


def timed(name, num_cases, number):
    begin = time.perf_counter()
    outcomes = fuzz(name, num_cases, number)
    seconds = time.perf_counter() - begin
    return {'cases': outcomes.total(), **outcomes, 'seconds': seconds}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('--cases', type=int, default=1300, help='cases of each target')
    add('--targets', nargs='+', choices=TARGETS, default=list(TARGETS),
        help='what to feed')  # fmt: skip
    add('--jobs', type=int, default=2, help='processes')
    add('--seed', type=int, default=0, help='seed of all cases')
    add('--output', default='runs/soak-fuzz', help='folder for the result')
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    result = {
        'settings': {k: v for k, v in vars(args).items() if k != 'output'},
        'environment': {
            **environment('cpu'),
            'hypothesis': hypothesis.__version__,
        },
        'targets': {},
    }
    work = partial(timed, num_cases=args.cases, number=args.seed)
    with ProcessPoolExecutor(args.jobs, get_context('spawn')) as pool:
        for name, row in zip(args.targets, pool.map(work, args.targets)):
            result['targets'][name] = row
            print(name, row)
    result['cases'] = sum(x['cases'] for x in result['targets'].values())
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    path = output / 'soak_fuzz.json'
    path.write_text(json.dumps(result, indent=1) + '\n')
    print(f'{result["cases"]} cases, no fault; {path}')


if __name__ == '__main__':
    main()
