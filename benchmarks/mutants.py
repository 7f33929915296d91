"""Mutation testing: are the tests of a module sensitive to each line of it?

cosmic-ray changes one operator, number or branch at a time, in a copy of the
project, and the tests of the module run on it. Those that no test notices
are written to mutants.json, to be looked at; a second call goes on where the
first stopped and puts them, and those that ran out of time, to the tests
again. Needs `pip install cosmic-ray`.
"""

import argparse
import json
import os
import os.path as osp
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
RESULTS = osp.join(ROOT, 'benchmarks', 'results', 'mutants.json')
TRANSFORMS = ['tests/transforms/test_compose.py']
MODULES: Dict[str, List[str]] = {
    'graphs.py': ['tests/test_graphs.py', 'tests/transforms'],
    'nn/functional.py': ['tests/nn/test_functional.py'],
    **{
        f'transforms/{name}.py': [
            f'tests/transforms/test_{name}.py',
            *TRANSFORMS,
        ]
        for name in (
            'cluster_distance gaussian_blur item_distance '
            'soft_cluster_distance time_decay vertex_injection '
            'weight_channels'
        ).split()
    },
    'transforms/normalize_edges.py': [
        'tests/transforms/test_normalize_edges.py',
        'tests/transforms/test_weight_channels.py',
        *TRANSFORMS,
    ],
    'transforms/utils.py': ['tests/transforms'],
}
CONFIG = """\
[cosmic-ray]
module-path = "pyg_sessaug/{module}"
timeout = {timeout}.0
excluded-modules = []
test-command = "{python} -S -I {script} --ask {address}"
[cosmic-ray.distributor]
name = "local"
[cosmic-ray.filters.operators-filter]
exclude-operators = ["{excluded}"]
"""
# A sum or a product turned into one other is enough.
EXCLUDED = (
    'core/ReplaceBinaryOperator_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)_'
    '(FloorDiv|Mod|Pow|BitAnd|BitOr|BitXor|LShift|RShift)'
)


def ask(address: str) -> int:
    """Has the server run the tests; their exit code."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
        code = int(client.recv(16) or b'1')
    if code == signal.SIGALRM:
        print('timeout')  # Kept with the mutant
    return code


def serve(address: str, tests: List[str], timeout: int) -> None:
    """Runs tests in a fork for whoever connects, the libraries loaded."""
    import hypothesis
    import pytest
    import sklearn.mixture  # noqa: F401
    import torch_geometric.nn
    import torch_geometric.transforms  # noqa: F401

    # Few examples have to do: each mutant meets all of the tests. The first
    # that fails tells enough; the smallest is not looked for.
    new = hypothesis.settings.__init__
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)

    def few(self: Any, *args: Any, **kwargs: Any) -> None:
        if 'max_examples' in kwargs:
            kwargs['max_examples'] = min(kwargs['max_examples'], 30)
        new(self, *args, **{'phases': phases, **kwargs})

    hypothesis.settings.__init__ = few
    # A busy machine is no reason to call a mutant noticed.
    hypothesis.settings.register_profile('mutants', deadline=None)
    hypothesis.settings.load_profile('mutants')
    # Workers or coverage asked for outside would fail here.
    os.environ.pop('PYTEST_ADDOPTS', None)
    options = ['-x', '-q', '-p', 'no:cacheprovider', '--no-header', *tests]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f'{address}.new')
        server.listen()
        os.replace(f'{address}.new', address)  # Seen only when it listens
        while True:
            client, _ = server.accept()
            if (child := os.fork()) == 0:
                signal.alarm(timeout)
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, 1)
                os.dup2(null, 2)
                os._exit(int(pytest.main(options)))
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            client.sendall(str(abs(code)).encode())
            client.close()


def draw(session: str, sample: int) -> None:
    """Leaves as many mutants to test, drawn from a fixed seed."""
    from cosmic_ray.work_db import WorkDB, use_db
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    with use_db(session, WorkDB.Mode.open) as db:
        output = {job: result.output for job, result in db.results}
        items = sorted(db.work_items, key=lambda x: str(x.mutations))
        jobs = [
            item.job_id
            for item in items
            if output.get(item.job_id) != 'Filtered operator'
        ]
        random.Random(0).shuffle(jobs)
        db.set_multiple_results(
            [job for job in jobs[sample:] if job not in output],
            WorkResult(WorkerOutcome.SKIPPED, output='not drawn'),
        )


def mutate(args: argparse.Namespace, module: str) -> Dict[str, Any]:
    """Tests all mutants of a module, but for those done before."""
    from cosmic_ray.work_db import WorkDB, use_db

    name = module.replace('/', '-').removesuffix('.py')
    folder = osp.join(args.output, name)
    session = osp.join(folder, 'session.sqlite')
    config, address = osp.join(folder, 'config.toml'), osp.join(folder, 's')
    os.makedirs(folder, exist_ok=True)
    copy = osp.join(folder, 'copy')
    shutil.rmtree(copy, ignore_errors=True)
    for part in ('pyg_sessaug', 'tests', 'pyproject.toml', 'README.md'):
        source, target = osp.join(ROOT, part), osp.join(copy, part)
        os.makedirs(copy, exist_ok=True)
        if osp.isdir(source):
            ignore = shutil.ignore_patterns('__pycache__')
            shutil.copytree(source, target, ignore=ignore)
        else:
            shutil.copy(source, target)
    with open(config, 'w') as f:
        f.write(
            CONFIG.format(
                module=module,
                python=sys.executable,
                script=osp.abspath(__file__),
                address=address,
                timeout=args.timeout + 60,
                excluded=EXCLUDED,
            )
        )
    env = {
        **os.environ,
        'PYTHONPATH': copy,
        'PYTHONDONTWRITEBYTECODE': '1',
        'OMP_NUM_THREADS': '1',
        'HYPOTHESIS_STORAGE_DIRECTORY': osp.join(folder, 'hypothesis'),
    }
    for old in (address, f'{address}.new'):
        if osp.exists(old):
            os.unlink(old)
    server = subprocess.Popen(
        [
            *(sys.executable, osp.abspath(__file__), '--serve', address),
            *('--tests', *MODULES[module], '--timeout', str(args.timeout)),
        ],
        cwd=copy,
        env=env,
    )
    try:
        while not osp.exists(address):
            if server.poll() is not None:
                sys.exit(f'error: the server of {module} did not start')
            time.sleep(0.1)
        if ask(address) != 0:
            sys.exit(f'error: the tests of {module} fail without a mutant')

        def run(*command: str) -> None:
            subprocess.run(command, cwd=copy, env=env, check=True)

        if not osp.exists(session):
            run('cosmic-ray', 'init', config, session)
            run('cr-filter-operators', session, config)
        else:  # Better tests, a larger sample, a machine less busy?
            with sqlite3.connect(session) as db:
                db.execute(
                    "DELETE FROM work_results WHERE test_outcome = 'SURVIVED'"
                    " OR output = 'not drawn' OR output LIKE 'timeout%'"
                )
            db.close()
        if args.sample is not None:
            draw(session, args.sample)
        run('cosmic-ray', 'exec', config, session)
    finally:
        server.kill()
        server.wait()
    counts: Dict[str, int] = {}
    survivors = []
    with use_db(session, WorkDB.Mode.open) as db:
        for item, result in db.completed_work_items:
            outcome = (result.output or '').strip()
            if outcome in ('timeout', 'not drawn'):
                pass
            elif result.test_outcome is None:  # Filtered
                continue
            else:
                outcome = str(result.test_outcome.value)
            counts[outcome] = counts.get(outcome, 0) + 1
            if outcome != 'survived':
                continue
            (mutation,) = item.mutations
            lines = [
                line
                for line in result.diff.splitlines()
                if line[:1] in '+-' and line[:3] not in ('+++', '---')
            ]
            survivors.append(
                {
                    'line': mutation.start_pos[0],
                    'operator': mutation.operator_name.split('/')[-1],
                    'change': lines,
                }
            )
    survivors.sort(key=lambda x: (x['line'], x['operator'], x['change']))
    survivors = judge(module, survivors)
    return {'counts': dict(sorted(counts.items())), 'survivors': survivors}


def judge(module: str, survivors: List[Dict[str, Any]]) -> List[Any]:
    """Survivors with the verdicts that people wrote into the results."""
    if not osp.exists(RESULTS):
        return survivors
    with open(RESULTS) as f:
        judged = json.load(f)['modules'].get(module, {'survivors': []})
    verdicts = {
        (x['operator'], *x['change']): x['verdict']
        for x in judged['survivors']
    }
    return [
        {**x, 'verdict': verdicts.get((x['operator'], *x['change']))}
        for x in survivors
    ]


def main(argv: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('--modules', nargs='+', choices=MODULES, default=list(MODULES))
    add('--sample', type=int, help='mutants per module (default: all)')
    add('--timeout', type=int, default=120, help='seconds (default: 120)')
    add('--output', default='runs/mutants', help='(default: runs/mutants)')
    add('--ask', help=argparse.SUPPRESS)
    add('--serve', help=argparse.SUPPRESS)
    add('--tests', nargs='+', help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.ask:
        sys.exit(ask(args.ask))
    if args.serve:
        serve(args.serve, args.tests, args.timeout)
    sys.path.insert(0, osp.dirname(osp.abspath(__file__)))
    from _report import environment

    args.output = osp.abspath(args.output)
    path = osp.join(args.output, 'mutants.json')
    results: Dict[str, Any] = {'modules': {}}
    if osp.exists(path):
        with open(path) as f:
            results = json.load(f)
    results['environment'] = environment('cpu')
    for module in args.modules:
        results['modules'][module] = mutate(args, module)
        print(module, results['modules'][module]['counts'], flush=True)
        with open(path, 'w') as f:
            json.dump(results, f, indent=1)


if __name__ == '__main__':
    main()
