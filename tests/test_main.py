import gzip
import json
import random
import re
import shutil
import subprocess
import sys
import warnings

import pytest
import torch

from pyg_sessaug import Recommender, evaluate
from pyg_sessaug.__main__ import main
from pyg_sessaug.datasets import SessionLog
from pyg_sessaug.training import loop as training

DAY = 86_400
COLUMNS = ('session_id', 'item_id', 'time', 'kind')
QUICK = (
    '--hidden 6 --num-layers 1 --epochs 2 --lr 0.01 --quiet --device cpu '
    '--num-clusters 3'
).split()


def rows(prefix=''):
    rng = random.Random(0)
    table = []
    for session in range(150):
        start, item = rng.randrange(20 * DAY), rng.randrange(12)
        for click in range(rng.randint(2, 6)):
            table.append((session, f'{prefix}{item}', start + click, item % 3))
            item = (item + rng.choice([0, 1, 1, 3])) % 12
    return table


def write(path, prefix='', delimiter=',', columns=COLUMNS):
    lines = [columns, *rows(prefix)]
    text = '\n'.join(delimiter.join(map(str, line)) for line in lines)
    data = text.encode()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == '.gz' else data)
    return str(path)


@pytest.fixture(scope='module')
def log(tmp_path_factory):
    return write(tmp_path_factory.mktemp('shop') / 'clicks.csv', prefix='i')


@pytest.fixture(scope='module')
def trained(log, tmp_path_factory):
    path = str(tmp_path_factory.mktemp('models') / 'gmm.pt')
    main(['train', '--log', log, '--augment', 'gmm', '--output', path, *QUICK])
    return path


def fails(capsys, *argv):
    with pytest.raises(SystemExit) as error:
        main(list(argv))
    assert error.value.code not in (0, None)
    message = f'{error.value.code} {capsys.readouterr().err}'
    assert 'Traceback' not in message
    return message


def test_prepare(log, capsys):
    main(['prepare', '--log', log])
    out = capsys.readouterr().out
    train = SessionLog(
        log.removesuffix('/clicks.csv'),
        file=log,
        allow_missing_categories=True,
    )
    split = f'train: {train.sessions} sessions, {len(train)} samples, from'
    assert split in out
    assert f'12 items, {train.report["clicks"]} clicks' in out
    assert f'prepared files are in {train.root}' in out
    assert len(out.splitlines()) <= 12
    main(['prepare', '--log', log, '--json'])
    assert json.loads(capsys.readouterr().out) == train.report


def test_options_of_a_log(log, tmp_path, capsys):
    folder = tmp_path / 'clicks'
    folder.mkdir()
    with open(log) as f:
        header, *rows = f.read().splitlines()
    for name, part in [('a', rows[::2]), ('b', rows[1::2])]:
        text = '\n'.join([*part, header.count(',') * ','])
        (folder / f'{name}.csv').write_text(text)
    command = ['prepare', '--log', str(folder / '*.csv'), '--json']
    command += ['--columns', header, '--on-missing', 'drop']
    command += ['--where', "item_id <> 'x'", '--val-split', 'time']
    command += ['--test-ratio', '0.25', '--max-length', '4']
    main(command)
    report = json.loads(capsys.readouterr().out)
    assert report['read'] == len(rows) + 2
    splits = report['splits']
    assert splits['val']['sessions'] == splits['test']['sessions'] > 0
    assert splits['val']['from'] <= splits['test']['from']
    assert report['length'][2] == 4


def test_folders_and_patterns(log, tmp_path, capsys):
    """Prepared files stay where they are, whatever files there are today."""
    text = open(log).read()
    for day in (1, 2):
        folder = tmp_path / 'clicks' / f'day={day}'
        folder.mkdir(parents=True)
        (folder / 'a.csv').write_text(text)
    home = tmp_path / 'clicks'
    for name, place in [
        ('clicks', home),
        ('clicks/day=*/*.csv', home),
        ('clicks/day=2/a.csv', home / 'day=2'),
        ('click*/day=1/[a-c].csv', tmp_path),
    ]:
        main(['prepare', '--log', str(tmp_path / name)])
        out = capsys.readouterr().out
        assert f'prepared files are in {place / "processed"}\n' in out
    both = [str(home / f'day={day}' / 'a.csv') for day in (1, 2)]
    message = fails(capsys, 'prepare', '--log', *both)  # Without quotes
    assert f"{both[1]}; put a pattern in quotes, --log 'clicks/*" in message
    message = fails(capsys, 'prepare', '--log', both[0], 'more')
    assert 'arguments: more\n' in message


def test_train_writes_one_file(trained, tmp_path):
    folder = trained.removesuffix('/gmm.pt')
    assert [x.name for x in type(tmp_path)(folder).iterdir()] == ['gmm.pt']
    recommender = Recommender.load(trained)
    assert sorted(recommender.item_ids) == sorted(f'i{i}' for i in range(12))
    assert recommender.model.hidden_channels == 6
    assert recommender.about['dataset'] == 'SessionLog'
    histories = recommender.about['history']
    assert {*histories} <= {'base', 'augmented'}
    assert all({*x} == {'train_loss', 'val_loss'} for x in histories['base'])


def test_evaluate(log, trained, capsys):
    argv = ['evaluate', trained, '--log', log, '-k', '1', '5']
    main([*argv, '--format', 'json'])
    result = json.loads(capsys.readouterr().out)
    test = SessionLog(
        log.removesuffix('/clicks.csv'),
        'test',
        file=log,
        allow_missing_categories=True,
    )
    model = Recommender.load(trained).model
    for k in (1, 5):
        for name, value in evaluate(model, test, k).items():
            assert result[name] == value
    assert result['samples'] == len(test)
    main(argv)
    out = capsys.readouterr().out
    assert f'HR@5          {100 * result["HR@5"]:6.2f} %' in out
    assert f'Coverage@5    {100 * result["Coverage@5"]:6.2f} %' in out
    clicks = f'{result["Popularity@1"]:.1f} training clicks an item'
    assert clicks in out
    main([*argv, '--split', 'val'])
    assert 'of the val split' in capsys.readouterr().out


def test_evaluate_on_other_items(trained, tmp_path, capsys):
    other = write(tmp_path / 'other.csv', prefix='x')
    message = fails(capsys, 'evaluate', trained, '--log', other)
    assert 'trained on other items' in message


@pytest.mark.parametrize(
    'option, value, match',
    [
        ('--test-days', '2', 'test_days=7, not 2'),
        ('--val-ratio', '0.2', 'val_ratio=0.1, not 0.2'),
    ],
)
def test_evaluate_on_another_split(log, trained, capsys, option, value, match):
    argv = ['evaluate', trained, '--log', log, option, value]
    assert match in fails(capsys, *argv)


def test_evaluate_on_a_log_that_moved_or_changed(
    log, trained, tmp_path, capsys
):
    moved, changed = tmp_path / 'moved.csv', tmp_path / 'changed.csv'
    shutil.copy(log, moved)
    main(['evaluate', trained, '--log', str(moved)])
    with open(log) as f:
        changed.write_text(f.read() + '\n')
    message = fails(capsys, 'evaluate', trained, '--log', str(changed))
    assert 'a log of other contents' in message


def test_warnings_are_one_line(tmp_path):
    path = write(tmp_path / 'clicks.csv')
    with open(path, 'a') as f:
        f.write('\n999,x,1,0\n999,1,2,0\n')
    told = 'warning: 12 of 13 ids are integers, but'
    command = [sys.executable, '-m', 'pyg_sessaug', 'prepare', '--log', path]
    done = subprocess.run(
        [*command, '--json'], capture_output=True, text=True, check=True
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith(told)


def test_warnings_are_said_once(tmp_path, capsys):
    """By the report, or at once where there is none."""
    path = write(tmp_path / 'clicks.csv')
    with open(path, 'a') as f:
        f.write('\n999,x,1,0\n999,1,2,0\n')
    told = '12 of 13 ids are integers, but'
    with warnings.catch_warnings(record=True) as caught:
        for _ in range(2):  # Prepared, and loaded
            main(['prepare', '--log', path])
            assert capsys.readouterr().out.count(told) == 1
        output = str(tmp_path / 'shop.pt')
        log = ['--log', path, '--root', str(tmp_path / 'work')]
        loud = [x for x in QUICK if x != '--quiet']
        main(['train', *log, '--output', output, *loud])
        assert capsys.readouterr().err.count(told) == 1
    assert not [x for x in caught if told in str(x.message)]
    other = [*log, '--val-ratio', '0.2', '--output', output]
    with pytest.warns(UserWarning, match=told):
        main(['train', *other, *QUICK])
    assert told not in capsys.readouterr().err
    with (
        pytest.raises(SystemExit, match='test_days'),
        pytest.warns(UserWarning, match=told),
    ):
        main(['prepare', '--log', path, '--test-days', '9999'])


@pytest.mark.parametrize('augment', ['none', 'blur', 'i2i', 'category'])
def test_tsv_with_integer_ids(tmp_path, capsys, augment):
    path = write(tmp_path / 'clicks.tsv.gz', '', '\t', ('s', 'i', 't', 'kind'))
    columns = '--session s --item i --time t --category kind'.split()
    output = str(tmp_path / 'a.pt')
    data = ['--log', path, *columns, '--root', str(tmp_path / 'work')]
    model = ['--model', 'tagnn', '--augment', augment, '--output', output]
    main(['train', *data, *model, *QUICK])
    out = capsys.readouterr().out
    assert ('base model' in out) == (augment != 'blur')
    assert ('augmented model' in out) == (augment != 'none')
    main(['recommend', output, '3', '4', '-k', '12'])
    items = capsys.readouterr().out.split()
    assert sorted(map(int, items)) == list(range(12))
    assert Recommender.load(output).recommend([3, 4]).items == [
        int(x) for x in items
    ]
    main(['recommend', output, '03'])
    assert "unknown items ['03']" in capsys.readouterr().err


def test_interrupted_and_resumed(log, trained, tmp_path, monkeypatch, capsys):
    output = str(tmp_path / 'a.pt')
    argv = ['train', '--log', log, '--augment', 'gmm', '--output', output]
    calls = []
    real = training.validation_loss

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 4:  # In the last epoch of the augmented model
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(training, 'validation_loss', interrupt)
    with pytest.raises(SystemExit) as error:
        main([*argv, *QUICK])
    assert error.value.code == 130
    message = capsys.readouterr().err
    assert 'Go on with: python -m pyg_sessaug train --log' in message
    assert message.strip().endswith('--resume')
    assert sorted(x.name for x in tmp_path.iterdir()) == [
        'a.pt.base.part',
        'a.pt.gmm.clusters.part',
        'a.pt.gmm.part',
    ]
    again = [*argv, *QUICK, '--resume']
    message = fails(capsys, *again, '--num-clusters', '4')
    assert 'num_clusters=3, not 4' in message
    message = fails(capsys, *again, '--lr', '0.02')
    assert 'lr=0.01, not 0.02' in message
    main(again)
    assert len(calls) == 5
    state, other = (
        Recommender.load(x).model.state_dict() for x in (output, trained)
    )
    assert all(torch.equal(state[key], other[key]) for key in state)
    assert [x.name for x in tmp_path.iterdir()] == ['a.pt']


def test_decay_steps(log, tmp_path):
    """As many as there are in two epochs are the default."""
    samples = len(SessionLog(str(tmp_path), 'train', file=log))
    two_epochs, states = 2 * -(-samples // 100), []
    for i, steps in enumerate((None, two_epochs, 1)):
        output = str(tmp_path / f'{i}.pt')
        option = [] if steps is None else ['--decay-steps', str(steps)]
        argv = ['train', '--log', log, '--preset', 'thesis', *option]
        main([*argv, *QUICK, '--epochs', '3', '--output', output])
        states.append(Recommender.load(output).model.state_dict())
    default, same, other = states
    assert all(torch.equal(default[key], same[key]) for key in default)
    assert not all(torch.equal(default[key], other[key]) for key in default)


def test_sampled_loss(log, tmp_path, capsys):
    output, states = str(tmp_path / 'a.pt'), []
    argv = ['train', '--log', log, *QUICK, '--output', output]
    sampled = ['--loss', 'sampled', '--num-negatives']
    for options in ([], [*sampled, '3'], [*sampled, '4']):
        main([*argv, *options])
        states.append(Recommender.load(output).model.item_embedding)
    assert not torch.equal(states[0], states[1])
    assert not torch.equal(states[1], states[2])
    message = fails(capsys, *argv, *sampled, '3', '--model', 'tagnn')
    assert 'the loss that a TAGNN has of its own' in message


def test_bad_input(log, trained, tmp_path, capsys):
    data = ['--log', log]
    assert 'no file nowhere.csv' in fails(
        capsys, 'prepare', '--log', 'nowhere.csv'
    )
    message = fails(capsys, 'prepare', *data, '--item', 'product')
    assert "one column 'product'" in message
    message = fails(capsys, 'train', *data, '--augment', 'category', *QUICK)
    assert 'needs a data set with item categories' in message
    many = ['--augment', 'gmm', '--num-clusters', '13']
    message = fails(capsys, 'train', *data, *QUICK, *many)
    assert 'num_clusters=13 must be between 1 and the 12 items' in message
    message = fails(capsys, 'train', *data, '--output', str(tmp_path))
    assert 'is a folder' in message
    message = fails(capsys, 'train', *data, '--device', 'abacus')
    assert "cannot use 'abacus'" in message
    message = fails(capsys, 'train', *data, '--device', 'meta')
    assert "cannot use 'meta'" in message
    message = fails(capsys, 'train', *data, '--epochs', '0')
    assert 'must be at least 1' in message
    message = fails(capsys, 'prepare', *data, '--fraction', '2')
    assert 'must be in (0, 1]' in message
    assert 'is required' in fails(capsys, 'prepare')
    for argv in (['evaluate', 'a.pt', *data, 'b.pt'], ['recommend', '--top']):
        assert 'unrecognized' in fails(capsys, *argv, 'a.pt')
    known = ['--dataset', 'otto', '--root', str(tmp_path)]
    assert 'train.jsonl' in fails(capsys, 'prepare', *known)
    message = fails(capsys, 'prepare', *known, '--time-unit', '2')
    assert '--time-unit is for --log' in message
    assert 'there is no file' in fails(capsys, 'recommend', 'nothing.pt', 'i1')
    damaged = tmp_path / 'damaged.pt'
    damaged.write_bytes(b'PK')
    assert 'is damaged' in fails(capsys, 'recommend', str(damaged), 'i1')


@pytest.mark.parametrize('output', ['', 'models/'])
def test_output_without_a_name(log, tmp_path, monkeypatch, capsys, output):
    monkeypatch.chdir(tmp_path)
    command = ['train', '--log', log, '--output', output, *QUICK]
    assert 'name a file' in fails(capsys, *command)
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_grows(tmp_path, capsys):
    path = write(tmp_path / 'shop' / 'clicks.csv')
    prepared = str(tmp_path / 'prepared')
    command = ['prepare', '--log', path, '--processed-root', prepared]
    main(command)
    before = capsys.readouterr().out
    assert [x.name for x in (tmp_path / 'shop').iterdir()] == ['clicks.csv']
    with open(path, 'a') as f:
        f.writelines(f'\n500,{i},{30 * DAY},0' for i in (1, 2))
    assert '(--force-reload)' in fails(capsys, *command)
    main([*command, '--force-reload'])
    assert capsys.readouterr().out != before
    main(command)


def test_no_validation_sessions(log, capsys):
    main(['prepare', '--log', log, '--val-ratio', '0'])
    out = capsys.readouterr().out.split('\n')
    names = [x.split(':')[0] for x in out]
    assert 'val' not in names or 'val: 0 sessions, 0 samples' in out


@pytest.mark.parametrize(
    'command', ['prepare', 'train', 'evaluate', 'recommend']
)
def test_help_shows_every_default(command, capsys):
    with pytest.raises(SystemExit):
        main([command, '--help'])
    out = ' '.join(capsys.readouterr().out.split())
    out = out.split('options: -h, --help show this help message and exit')[1]
    options = re.split(' (?:--|-k )', out)[1:]
    for option in options:
        assert '(default: ' in option
    assert '(default: None)' not in out
