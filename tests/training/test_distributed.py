import os
import subprocess
import sys
import time

import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils.data import RandomSampler

from pyg_sessaug import Recommender
from pyg_sessaug.__main__ import main
from pyg_sessaug.files import load_state
from pyg_sessaug.training import distributed
from tests.test_main import QUICK, write
from tests.training import distributed_fit


def torchrun(*argv):
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    return subprocess.Popen(
        [*command, '--nproc-per-node=2', *map(str, argv)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope='module')
def two(tmp_path_factory):
    """What two processes made, their folder and what they printed."""
    root = tmp_path_factory.mktemp('distributed')
    process = torchrun(distributed_fit.__file__, root)
    out, error = process.communicate()
    assert process.returncode == 0, error
    return [torch.load(root / f'results{i}') for i in range(2)], root, out


@pytest.fixture(scope='module')
def one(two):
    """What one process makes of the same data."""
    return distributed_fit.train_plain(distributed_fit.load(two[1]))


@pytest.mark.parametrize('name', list(distributed_fit.MODELS))
def test_losses_are_those_of_one_process(one, two, name):
    losses, weights = one[name]
    assert losses[0][0] > losses[1][0]
    for results in two[0]:
        assert_close(results[name][0], losses, rtol=1e-5, atol=0)
        assert_close(results[name][1], weights, rtol=1e-3, atol=1e-4)
    assert_close(two[0][0][name], two[0][1][name], rtol=0, atol=0)


def test_resumed_run_is_the_undisturbed_one(two, monkeypatch):
    (first, second), root, _ = two
    for results in (first, second):
        for name in ('whole', 'resumed'):
            assert_close(results[name], first['whole'], rtol=0, atol=0)
    # Each process has random numbers of its own.
    assert not torch.equal(first['next'], second['next'])
    # Of a script that was run.
    monkeypatch.setattr(distributed_fit.Stop, '__module__', '__main__')
    with pytest.raises(ValueError, match='made with processes=2, not None'):
        distributed_fit.train_blurred(
            distributed_fit.load(root),
            checkpoint=str(root / 'rank0.pt'),
            resume=True,
        )


def test_the_first_process_alone_writes_and_prints(two):
    _, root, out = two
    files = sorted(x.name for x in root.iterdir())
    assert files == ['processed', 'rank0.pt', 'results0', 'results1']
    lines = [x.split(':')[0] for x in out.splitlines()]
    assert lines == 2 * ['epoch 1', 'epoch 2', 'epoch 3']


@settings(deadline=None)
@given(
    num_samples=st.integers(1, 50),
    batch_size=st.integers(1, 9),
    world_size=st.integers(1, 4),
)
def test_parts_make_up_the_batches(num_samples, batch_size, world_size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, 'world_size', lambda: world_size)
        patch.setattr(distributed, 'from_first', lambda make: order)
        order = torch.randperm(num_samples)
        batches = [[] for _ in order.split(batch_size)]
        for rank in range(world_size):
            patch.setattr(distributed, 'rank', lambda rank=rank: rank)
            parts = distributed.BatchParts(
                RandomSampler(range(num_samples)), batch_size
            )
            sizes = distributed.part_sizes(num_samples, batch_size)
            assert len(parts) == len(batches)
            for batch, part, (count, size) in zip(
                batches, parts, sizes, strict=True
            ):
                assert len(part) == max(count, 1)
                assert size >= count
                batch += part[:count]
    for batch, expected in zip(batches, order.split(batch_size)):
        assert sorted(batch) == sorted(expected.tolist())


@pytest.mark.slow
def test_killed_and_resumed_from_the_command_line(tmp_path):
    log = write(tmp_path / 'clicks.csv')
    # Of a cosine, the number of epochs is a setting.
    quick = [*QUICK, '--preset', 'thesis']
    argv = ['train', '--log', log, *quick, '--patience', '1000']
    output, alone = (str(tmp_path / x) for x in ('two.pt', 'one.pt'))
    # torchrun takes --log for its own if nothing ends its options.
    two = ['-m', '--', 'pyg_sessaug', *argv, '--output', output, '--resume']

    process = torchrun(*two, '--epochs', '1000')
    state = {'history': []}
    while len(state['history']) < 2:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
        if os.path.exists(f'{output}.base.part'):
            state = load_state(f'{output}.base.part', '')
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    _, error = process.communicate()
    assert process.returncode != 0
    epochs = len(load_state(f'{output}.base.part', '')['history']) + 2

    process = torchrun(*two, '--epochs', str(epochs))
    out, error = process.communicate()
    assert process.returncode == 0, error
    assert out.count('base model: best of ') == out.count('Written to ') == 1
    main([*argv, '--output', alone, '--epochs', str(epochs)])
    weights = [Recommender.load(x).model.state_dict() for x in (output, alone)]
    assert_close(*weights, rtol=1e-2, atol=1e-3)
    names = {x.name for x in tmp_path.iterdir()}
    assert names == {'clicks.csv', 'processed', 'one.pt', 'two.pt'}


def test_what_ends_early_says_why(tmp_path):
    log = write(tmp_path / 'clicks.csv')
    process = torchrun(
        *('-m', '--', 'pyg_sessaug', 'train', '--log', log, *QUICK),
        *('--output', '/dev/null/a.pt'),
    )
    _, error = process.communicate()
    assert process.returncode != 0
    errors = [x for x in error.splitlines() if x.startswith('error: ')]
    assert "File exists; nothing was changed: '/dev/null/a.pt" in errors[0]
    assert all('process 1 lost another one' in x for x in errors[1:])
    assert '[rank1]' not in error
