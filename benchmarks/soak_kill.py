"""Kills training again and again, resumes it, and compares what comes out.

Every run prepares a log and trains by Algorithm 3 from the command line. It
is killed (SIGKILL) at random moments of preparing, training, clustering and
writing files, and each time resumed; at the end all files must be, byte for
byte, those of a run that nobody disturbed. After every kill each file must be
whole.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.experiments.report import environment
from pyg_sessaug import __main__, files
from pyg_sessaug.datasets import SessionLog, base
from pyg_sessaug.training import augmented

# The package exports a function of the module's name.
training = import_module('pyg_sessaug.training.fit')

# What can be killed: name, and where it is called.
PHASES = {
    'prepare': [(SessionLog, 'prepare')],
    'train': [(training, '_train_epoch')],
    'cluster': [(augmented, '_clusters')],
    'write': [(files, 'save_together'), (base, 'save_together')],
}
TEMPORARY = re.compile(r'\.\d+\.part$')


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('--runs', type=int, default=20, help='runs to kill and resume')
    add('--kills', type=int, default=3, help='kills per run, at most')
    add('--sessions', type=int, default=2000, help='sessions of the log')
    add('--hidden', type=int, default=64, help='size of all vectors')
    add('--epochs', type=int, default=2, help='epochs of each training')
    add('--threads', type=int, default=2, help='threads of each run')
    add('--seed', type=int, default=0, help='seed of log and moments')
    add('--output', default='runs/soak-kill', help='folder for all files')
    return parser.parse_args(argv)


def write_log(path, num_sessions, seed):
    rng = random.Random(seed)
    num_items, lines = num_sessions // 5, ['session_id,item_id,time']
    for session in range(num_sessions):
        start, item = rng.randrange(30 * 86_400), rng.randrange(num_items)
        for click in range(rng.randint(2, 9)):
            lines.append(f'{session},i{item},{start + 20 * click}')
            item = (item + rng.choice([0, 1, 1, 2, 5])) % num_items
    path.write_text('\n'.join(lines) + '\n')


def announce(owner, name, phase, pipe):
    """Tells when a function begins and ends."""
    function = getattr(owner, name)

    def wrapped(*args, **kwargs):
        os.write(pipe, f'{phase}\n'.encode())
        result = function(*args, **kwargs)
        os.write(pipe, f'end {phase}\n'.encode())
        return result

    setattr(owner, name, wrapped)


def start(argv):
    """Runs the command line in a process of its own.

    Returns its id and a file of lines that tell what it does. The process is
    forked, which saves importing everything anew; this one computes nothing.
    """
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid > 0:
        os.close(write)
        return pid, os.fdopen(read)
    code = 1
    try:
        os.close(read)
        for phase, places in PHASES.items():
            for owner, name in places:
                announce(owner, name, phase, write)
        with open('output.txt', 'a') as f:
            os.dup2(f.fileno(), 1)
            os.dup2(f.fileno(), 2)
        __main__.main(argv)
        code = 0
    except SystemExit as error:
        print(error, file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def attempt(argv, kill=None):
    """Runs until the end or a kill (phase, occurrence, seconds).

    Returns whether it was killed, and the seconds of each phase.
    """
    pid, lines = start(argv)
    begun, seconds, killed = Counter(), {}, False
    last = {}
    with lines:
        for line in lines:
            phase = line.split()[-1]
            if line.startswith('end '):
                passed = time.perf_counter() - last[phase]
                seconds.setdefault(phase, []).append(passed)
                continue
            last[phase] = time.perf_counter()
            if kill is not None and kill[:2] == (phase, begun[phase]):
                time.sleep(kill[2])
                os.kill(pid, signal.SIGKILL)
                killed = True
                break
            begun[phase] += 1
    _, status = os.waitpid(pid, 0)
    if killed and os.WIFSIGNALED(status):
        return True, seconds
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f'a run failed; {Path("output.txt").read_text()}')
    return False, seconds


def contents(folder):
    """SHA-256 of all that a run wrote."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def check_whole(folder):
    """Every file must be readable; returns how many were left unfinished."""
    left = 0
    for path in folder.rglob('*'):
        if TEMPORARY.search(path.name):
            left += 1
        elif path.suffix in ('.pt', '.part'):
            files.load_state(str(path), 'it must be whole')
    return left


def main(argv=None):
    args = parse_args(argv)
    torch.set_num_threads(1)  # A process that forks must have no others.
    root = Path(args.output).resolve()
    shutil.rmtree(root, ignore_errors=True)
    folder = root / 'run'  # Of all runs: files hold the path of the log.
    command = ['train', '--log', str(folder / 'clicks.csv')]
    command += ['--output', str(folder / 'model.pt'), '--augment', 'gmm']
    command += ['--hidden', str(args.hidden), '--epochs', str(args.epochs)]
    command += ['--threads', str(args.threads), '--seed', str(args.seed)]
    command += ['--device', 'cpu', '--quiet', '--resume']

    def prepare_folder():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        os.chdir(root)
        write_log(folder / 'clicks.csv', args.sessions, args.seed)

    begin = time.perf_counter()
    prepare_folder()
    _, seconds = attempt(command)
    expected = contents(folder)
    rng = random.Random(args.seed)
    runs = []
    for number in range(args.runs):
        prepare_folder()
        kills = []
        for _ in range(rng.randint(1, args.kills)):
            phase = rng.choice(list(PHASES))
            occurrence = rng.randrange(len(seconds[phase]))
            delay = rng.random() * seconds[phase][occurrence]
            killed, _ = attempt(command, (phase, occurrence, delay))
            if not killed:  # It was already beyond that.
                break
            kills.append(
                {
                    'phase': phase,
                    'occurrence': occurrence,
                    'after_seconds': delay,
                    'unfinished_files': check_whole(folder),
                }
            )
        else:
            attempt(command)
        found = contents(folder)
        if found != expected:
            differ = {k for k, _ in found.items() ^ expected.items()}
            raise SystemExit(
                f'run {number}, killed {kills}: {sorted(differ)} are not '
                f'those of an undisturbed run; see {folder}'
            )
        runs.append(kills)
        names = ', '.join(kill['phase'] for kill in kills) or 'nothing'
        print(f'run {number}: killed in {names}; all files as undisturbed')
    result = {
        'settings': {k: v for k, v in vars(args).items() if k != 'output'},
        'environment': {**environment('cpu'), 'threads': args.threads},
        'seconds_of_phases': seconds,
        'kills': Counter(kill['phase'] for run in runs for kill in run),
        'runs': runs,
        'files_compared': sorted(expected),
        'seconds': time.perf_counter() - begin,
    }
    (root / 'soak_kill.json').write_text(json.dumps(result, indent=1) + '\n')
    print(
        f'{len(runs)} runs, {sum(map(len, runs))} kills: all ended as an '
        f'undisturbed run; {root / "soak_kill.json"}'
    )


if __name__ == '__main__':
    main()
