"""Runs the experiments behind the page of results, several at a time.

Each is a command of run.py on one thread. Finished runs are kept, so a
stopped campaign goes on where it was; results of finished experiments are
copied to benchmarks/results/, and what is there is not run again.
"""

import argparse
import json
import os
import os.path as osp
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Dict, List, Optional

from benchmarks.run import positive
from pyg_sessaug.nn.loss.catalogue import choose_precision

HERE = osp.dirname(osp.abspath(__file__))
RESULTS = osp.join(HERE, 'results')

AUGMENTED = 'blur i2i gmm kmeans'
CONTROLS = (
    'nograph base-wd base-patience base-wd-patience i2i-noblur i2i-shuffled '
    'gmm-shuffled kmeans-shuffled'
)
WHOLE = f'--seeds 0 1 --methods base {AUGMENTED}'
SHARE = f'--seeds 0 1 2 3 4 --methods base {AUGMENTED}'
TAGNN = '--model tagnn --fraction 0.125 --seeds 0 1 2 --methods base'
STRONGER = '--scale 16 --dropout 0.2 --num-layers 1 --weight-decay 1e-6'
DIGINETICA, YOOCHOOSE = '--dataset diginetica', '--dataset yoochoose'
CATEGORY = 'category category-shuffled'
INJECTED = 'inject inject-same inject-cluster'
FRACTIONS = {'8th': 0.125, '16th': 0.0625}
EXPERIMENTS: Dict[str, str] = {
    'yoochoose_100k-srgnn': f'--dataset yoochoose_100k {SHARE} {CONTROLS} '
    'time-exponential time-exponential-shuffled',
    'yoochoose_100k-niser': f'--dataset yoochoose_100k {STRONGER} {SHARE} '
    'kmeans-shuffled nograph',
    'diginetica-srgnn': f'{DIGINETICA} {WHOLE} {CATEGORY} {INJECTED} '
    f'{CONTROLS}',
    'yoochoose-srgnn': f'{YOOCHOOSE} {WHOLE} inject-cluster {CONTROLS}',
    'diginetica-niser': f'{DIGINETICA} {STRONGER} --seeds 0 1 '
    f'--methods base nograph {AUGMENTED} category kmeans-shuffled '
    f'{INJECTED}',
    'diginetica-niser-inject': f'{DIGINETICA} {STRONGER} --inject-p 0.1 '
    '--seeds 0 --methods base inject-same',
    'yoochoose-niser': f'{YOOCHOOSE} {STRONGER} --seeds 0 1 '
    f'--methods base {AUGMENTED} kmeans-shuffled nograph',
    **{
        f'{name}-srgnn-{part}{suffix}': f'{data} {SHARE} {more} {CONTROLS} '
        f'--fraction {share} --schedule {schedule}'
        for part, share in FRACTIONS.items()
        for schedule, suffix in {'epochs': '', 'steps': '-steps'}.items()
        for name, data, more in (
            ('diginetica', DIGINETICA, f'{CATEGORY} {INJECTED}'),
            ('yoochoose', YOOCHOOSE, 'inject-cluster'),
        )
    },
    'diginetica-srgnn-16th-steps-dropout': f'{DIGINETICA} --fraction 0.0625 '
    '--schedule steps --dropout 0.2 --inject-p 0.5 --seeds 1 2 3 4 5 '
    '--methods base inject inject-same kmeans',
    'diginetica-srgnn-16th-steps-clusters': f'{DIGINETICA} --fraction 0.0625 '
    '--schedule steps --num-clusters 500 --seeds 0 1 2 '
    '--methods base inject-cluster',
    'diginetica-niser-16th-steps': f'{DIGINETICA} {STRONGER} {SHARE} '
    'category inject inject-same nograph kmeans-shuffled '
    '--fraction 0.0625 --schedule steps --inject-p 0.5',
    'diginetica-tagnn-8th': f'{DIGINETICA} {TAGNN} {AUGMENTED} category',
    'yoochoose-tagnn-8th': f'{YOOCHOOSE} {TAGNN} {AUGMENTED}',
    'yoochoose-tagnn': f'{YOOCHOOSE} --model tagnn --seeds 0 '
    '--methods base kmeans',
}
FOLDERS = {
    'diginetica': 'diginetica',
    'yoochoose': 'yoochoose1_64',
    'yoochoose_100k': 'yoochoose_100k',
}


def command(args: argparse.Namespace, name: str) -> List[str]:
    """The command line of an experiment."""
    options = EXPERIMENTS[name].split()
    dataset = options[options.index('--dataset') + 1]
    root = osp.join(args.data, FOLDERS.get(dataset, dataset))
    return [
        *(sys.executable, osp.join(HERE, 'run.py'), *options),
        *('--root', root, '--precision', args.precision, '--threads', '1'),
        *('--resume', '--output', osp.join(args.output, name)),
        *include(name, args.precision),
    ]


def include(name: str, precision: str) -> List[str]:
    """The option for what benchmarks/results/ has of an experiment."""
    path = osp.join(RESULTS, f'{name}.json')
    if not osp.exists(path):
        return []
    with open(path) as f:
        results = json.load(f)
    ranked = all('ranks' in x for x in results['runs'])
    same = results['settings']['precision'] == choose_precision(precision)
    return ['--include', path] if ranked and same else []


def run(args: argparse.Namespace, name: str) -> bool:
    """Runs an experiment; whether it ended well."""
    # Processes on neighbouring cores must not spin while they wait.
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'OMP_WAIT_POLICY': 'PASSIVE'}
    path = osp.join(args.output, f'{name}.log')
    with open(path, 'a') as log:
        code = subprocess.run(
            command(args, name), env=env, stdout=log, stderr=log
        ).returncode
    if code == 0:
        results = osp.join(args.output, name, 'results.json')
        shutil.copy(results, osp.join(RESULTS, f'{name}.json'))
    print(f'{name}: {"done" if code == 0 else f"failed, see {path}"}')
    return code == 0


def main(argv: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('--data', default='data', help='folder of the data sets')
    add(
        '--names',
        nargs='+',
        choices=EXPERIMENTS,
        default=list(EXPERIMENTS),
        help='experiments, in this order (default: all)',
    )
    add('--jobs', type=positive, default=2, help='at a time (default: 2)')
    add(
        '--precision',
        choices=['auto', 'float32', 'bf16'],
        default='auto',
        help='(default: auto)',
    )
    add('--output', default='runs/evidence', help='folder for models and logs')
    add('--list', action='store_true', help='print the commands and end')
    args = parser.parse_args(argv)
    if args.list:
        print('\n'.join(shlex.join(command(args, x)) for x in args.names))
        return
    os.makedirs(args.output, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        done = list(pool.map(partial(run, args), args.names))
    sys.exit(not all(done))


if __name__ == '__main__':
    main()
