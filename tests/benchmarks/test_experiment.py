import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from benchmarks import run
from benchmarks.experiments import experiment
from pyg_sessaug.training import augmented

pytestmark = pytest.mark.usefixtures('tiny_sessions')


@pytest.mark.parametrize(
    ('losses', 'num_trained', 'num_epochs'),
    [([5, 4, 3, 6, 6, 6], 1, 5), ([5, 4, 6, 6, 3, 6, 6, 6], 2, 4)],
)
def test_less_patience_is_the_same_run_cut_short(
    tmp_path, monkeypatch, losses, num_trained, num_epochs
):
    """The same as if trained, and trained where the best epoch is another."""
    script, folders = [], []

    def fit(*args, **kwargs):
        script[:] = losses
        folders.append(Path(kwargs['checkpoint']).parents[1].name)
        return _fit(*args, **kwargs)

    _fit = augmented.fit
    monkeypatch.setattr(augmented, 'fit', fit)
    monkeypatch.setattr(
        sys.modules['pyg_sessaug.training.loop'],
        'validation_loss',
        lambda *_: script.pop(0),
    )
    command = '--hidden 4 --epochs 9 --seeds 0 --lr 0.2 --patience 3'.split()
    command += ['--augmented-patience', '2', '--methods', 'base-patience']
    run.main([*command, '--output', str(tmp_path / 'cut')])
    with monkeypatch.context() as patch:
        patch.setattr(
            experiment.Experiment, '_stopped_sooner', lambda *_: None
        )
        run.main([*command, '--output', str(tmp_path / 'trained')])
    assert folders == ['cut'] * num_trained + ['trained'] * 2
    for name, count in (
        ('base', len(losses)),
        ('base-patience', num_epochs),
    ):
        cut, trained = (
            torch.load(tmp_path / x / 'models' / f'seed0-{name}.pt')
            for x in ('cut', 'trained')
        )
        assert len(cut['history']) == len(trained['history']) == count
        for a, b in zip(cut['history'], trained['history']):
            assert a['train_loss'] == b['train_loss']
        assert torch.equal(cut['rank'], trained['rank'])
        for key, value in cut['model'].items():
            assert torch.equal(value, trained['model'][key])


def test_one_run_in_a_folder_at_a_time(tmp_path):
    command = ['--hidden', '4', '--epochs', '1', '--seeds', '0', '--methods']
    command += ['base', '--output', str(tmp_path)]
    run.main(command)
    path = tmp_path / 'models' / 'seed0-base.pt'
    before = path.read_bytes()
    with FileLock(tmp_path / 'models.lock'):
        with pytest.raises(SystemExit, match='another process trains with'):
            run.main(command)
    assert path.read_bytes() == before
