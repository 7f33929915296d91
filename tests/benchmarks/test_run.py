import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import run
from benchmarks.experiments import experiment, report
from benchmarks.experiments.results import load_ranks
from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.datasets import Diginetica, MultimodalSessions
from pyg_sessaug.nn.loss.catalogue import choose_precision
from pyg_sessaug.training import augmented
from pyg_sessaug.training.augmentations import derive

METHODS = (
    'i2i base blur gmm kmeans category gmm-shuffled-noblur i2i-shuffled '
    'nograph base-wd'
).split()
TINY = '--hidden 8 --epochs 2 --num-clusters 4 --seeds 0 1 --lr 0.02'.split()
pytestmark = pytest.mark.usefixtures('tiny_sessions')


@pytest.fixture(scope='module')
def finished(tiny_sessions, tmp_path_factory):
    folder = tmp_path_factory.mktemp('finished')
    run.main([*TINY, '--output', str(folder), '--methods', *METHODS])
    return folder


@pytest.fixture(scope='module')
def results(finished):
    return json.loads((finished / 'results.json').read_text())


def numbers(results):
    """Results without what depends on the clock."""
    runs = [
        {k: v for k, v in x.items() if not k.endswith('seconds')}
        for x in results['runs']
    ]
    return runs, results['metrics'], results['data']


def test_results_follow_from_ranks(finished, results):
    names = list(results['metrics']['HR@20'])
    assert sorted(names) == sorted({'base', *METHODS})
    assert names[:3] == ['base', 'blur', 'i2i']  # As in the thesis.
    for name in names:
        hits, gains = [], []
        for seed in (0, 1):
            record = torch.load(finished / 'models' / f'seed{seed}-{name}.pt')
            rank = record['rank'].double()
            hits.append(100 * float((rank <= 20).double().mean()))
            gains.append(100 * float(((rank <= 20) / rank).mean()))
        for metric, values in (('HR@20', hits), ('MRR@20', gains)):
            row = results['metrics'][metric][name]
            assert row['values'] == pytest.approx(values)
            mean = sum(values) / 2
            assert row['mean'] == pytest.approx(mean)
            std = abs(values[0] - values[1]) / 2**0.5
            assert row['std'] == pytest.approx(std)
            base = results['metrics'][metric]['base']['mean']
            if name != 'base':
                gain = 100 * (mean - base) / base
                assert row['gain'] == pytest.approx(gain)
                assert row['difference'] == pytest.approx(mean - base)
                assert row['low'] <= row['difference'] <= row['high']
                assert 0 < row['p'] <= row['p_holm'] <= 1
            of_runs = [
                x[metric] for x in results['runs'] if x['method'] == name
            ]
            assert of_runs == pytest.approx(values)
    for (seed, name), rank in load_ranks(
        str(finished / 'results.json')
    ).items():
        record = torch.load(finished / 'models' / f'seed{seed}-{name}.pt')
        assert torch.equal(rank, record['rank'].clamp(max=21))


def test_table_shows_the_results(finished, results):
    lines = (finished / 'table.md').read_text().splitlines()
    for metric, rows in results['metrics'].items():
        start = next(
            i for i, x in enumerate(lines) if x.startswith(f'| {metric} (%)')
        )
        for line, (name, row) in zip(lines[start + 2 :], rows.items()):
            cells = [x.strip() for x in line.strip('|').split('|')]
            assert cells[:2] == [name, f'{row["mean"]:.2f} ± {row["std"]:.2f}']
            if name != 'base':
                assert cells[2] == f'{row["gain"]:+.2f}'
                assert cells[4:] == [f'{row["p"]:.4f}', f'{row["p_holm"]:.4f}']


def test_table_shows_each_seed(finished):
    lines = (finished / 'table.md').read_text().splitlines()
    start = lines.index(next(x for x in lines if 'seed 0' in x)) + 2
    rows = [[y.strip() for y in x.split('|')] for x in lines[start:]]
    assert len(rows) == len({'base', *METHODS})
    for _, name, *cells, loss, _ in rows:
        lowest = []
        for seed, cell in enumerate(cells):
            path = finished / 'models' / f'seed{seed}-{name}.pt'
            record = torch.load(path)
            rank = record['rank'].double()
            hits, gains = rank <= 20, (rank <= 20) / rank
            epoch = min(record['history'], key=lambda x: x['val_loss'])
            assert cell == (
                f'{100 * hits.double().mean():.2f} / '
                f'{100 * gains.mean():.2f} ({epoch["epoch"]})'
            )
            lowest.append(epoch['val_loss'])
        assert len(cells) == 2
        assert float(loss) == pytest.approx(sum(lowest) / 2, abs=6e-4)


def test_results_hold_settings_but_no_paths(finished, results):
    text = (finished / 'results.json').read_text()
    assert str(finished) not in text
    assert 'data/' not in text
    assert results['settings']['hidden'] == 8
    assert results['settings']['precision'] == choose_precision('auto')
    assert results['environment']['torch'] == torch.__version__
    assert results['data']['num_items'] == 40
    assert results['data']['test']['sessions'] == 20
    assert 0 <= results['data']['test_unseen_target_share'] <= 1
    assert [x['epochs'] for x in results['runs']] == [2] * 20
    assert results['command'].startswith('python benchmarks/run.py --hid')
    for name in ('curves.png', 'metrics.png'):
        assert (finished / name).stat().st_size > 10_000
    assert not list((finished / 'models').glob('*unfinished*'))


def test_weights_come_from_the_base_of_the_seed(finished, results):
    models = finished / 'models'
    seen = MultimodalSessions(
        finished / 'data', num_sessions=200, num_items=40, num_modes=4
    ).seen_items
    for seed in (0, 1):
        base = torch.load(models / f'seed{seed}-base.pt')['model']
        torch.manual_seed(derive(seed, 'kmeans', 'weights'))
        expected = ItemClusters.fit(base['item_embedding'], 'kmeans', 4, seen)
        saved = ItemClusters.load(models / f'seed{seed}-kmeans.clusters.pt')
        assert torch.equal(saved.labels, expected.labels)
        assert torch.equal(saved.centers, expected.centers)
        # Shuffled labels are those of the same mixture, seen items alone.
        plain, shuffled = (
            ItemClusters.load(models / f'seed{seed}-{name}.clusters.pt')
            for name in ('gmm', 'gmm-shuffled-noblur')
        )
        assert torch.equal(plain.centers, shuffled.centers)
        assert torch.equal(plain.labels[~seen], shuffled.labels[~seen])
        assert not torch.equal(plain.labels, shuffled.labels)
        assert torch.equal(
            plain.labels[seen].bincount(), shuffled.labels[seen].bincount()
        )
    about = {
        x['method']: x['weights'] for x in results['runs'] if x['seed'] == 0
    }
    assert about['base'] is about['blur'] is about['base-wd'] is None
    assert sum(about['kmeans']['cluster_sizes']) == int(seen.sum())
    changed = about['i2i']['changed_edges']
    assert 0.4 < changed['weights'] < 0.6
    assert 0 < changed['shares'] < changed['weights']


def test_protocol_of_each_method(tmp_path, monkeypatch):
    calls = {}

    def fit(model, train, val, transform, **kwargs):
        name = Path(kwargs['checkpoint']).name.split('.')[0]
        calls[name] = (model, train, str(transform), kwargs)
        return _fit(model, train, val, transform, **kwargs)

    _fit = augmented.fit
    monkeypatch.setattr(augmented, 'fit', fit)
    names = (
        'base nograph base-wd base-patience base-wd-patience blur i2i '
        'i2i-noblur'
    ).split()
    run.main(
        ['--hidden', '4', '--epochs', '1', '--seeds', '7', '--output']
        + [str(tmp_path), '--methods', *names]
    )
    # What would differ from another in patience alone is not run.
    cut = {'base-patience', 'base-wd-patience'}
    ran = [name for name in names if name not in cut]
    assert list(calls) == [f'seed7-{name}' for name in ran]
    plain, blur = 'NormalizeEdges()', 'GaussianBlur(p=0.5, mean=0.01, std=0.01'
    i2i = 'ItemDistance(embedding=[40, 4], p=0.5)'
    for name, decay, patience, layers, has in (
        ('base', 1e-5, 5, 2, [plain]),
        ('nograph', 1e-5, 5, 0, [plain]),
        ('base-wd', 1e-6, 5, 2, [plain]),
        ('blur', 1e-6, 4, 2, [plain, blur]),
        ('i2i', 1e-6, 4, 2, [i2i, plain, blur]),
        ('i2i-noblur', 1e-6, 4, 2, [i2i, plain]),
    ):
        model, train, transform, kwargs = calls[f'seed7-{name}']
        assert (kwargs['weight_decay'], kwargs['patience']) == (
            decay,
            patience,
        )
        assert model.num_layers == layers
        steps = [x for x in (i2i, plain, blur) if x in transform]
        assert steps == has
        assert kwargs['decay_steps'] is None
        assert train.split == 'train'
    # What differs between methods must not be their start.
    assert len({kwargs['seed'] for *_, kwargs in calls.values()}) == 1


def test_resume_skips_finished_runs(finished, results, monkeypatch):
    monkeypatch.setattr(augmented, 'fit', None)
    command = [*TINY, '--output', str(finished), '--resume', '--methods']
    run.main([*command, *METHODS])
    again = json.loads((finished / 'results.json').read_text())
    assert again == results
    # Others may be asked for, but not by other settings.
    run.main([*command, 'gmm', '--seeds', '1'])
    part = json.loads((finished / 'results.json').read_text())
    assert list(part['metrics']['HR@20']) == ['base', 'gmm']
    row = part['metrics']['HR@20']['gmm']
    assert row['std'] is None
    assert row['values'] == [results['metrics']['HR@20']['gmm']['values'][1]]
    run.main([*command, *METHODS])


@pytest.mark.parametrize('resume', [[], ['--resume']])
def test_other_settings_in_the_same_folder(finished, resume):
    with pytest.raises(SystemExit, match=r'lr=0.02, not 0.5; use the same'):
        run.main([*TINY, '--lr', '0.5', '--output', str(finished), *resume])
    assert (finished / 'models' / 'seed0-base.pt').exists()


def test_settings_under_which_nothing_has_run(tmp_path):
    command = [*TINY, '--output', str(tmp_path), '--seeds', '0']
    with pytest.raises(SystemExit, match='Invalid learning rate'):
        run.main([*command, '--methods', 'base', '--lr', '-1'])
    run.main([*command, '--methods', 'base'])
    assert (tmp_path / 'models' / 'seed0-base.pt').exists()


def test_runs_older_than_a_setting(finished, monkeypatch):
    path = finished / 'settings.json'
    settings = json.loads(path.read_text())
    for name in ('scale', 'dropout'):
        assert not settings.pop(name)
    path.write_text(json.dumps(settings))
    monkeypatch.setattr(augmented, 'fit', None)  # All is finished.
    command = [*TINY, '--output', str(finished), '--resume', '--methods']
    with pytest.raises(SystemExit, match=r'dropout=None, not 0.5'):
        run.main([*command, *METHODS, '--dropout', '0.5'])
    run.main([*command, *METHODS])
    assert json.loads(path.read_text())['dropout'] == 0


def test_interrupted_run_goes_on(tmp_path, monkeypatch, capsys):
    methods = ['--methods', 'gmm', '--seeds', '0']
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    run.main([*TINY, *methods, '--output', str(whole)])

    def validation_loss(*args):
        calls.append(args)
        if len(calls) == 4:  # In the second epoch of the second run
            raise KeyboardInterrupt
        return _validation_loss(*args)

    calls = []
    module = sys.modules['pyg_sessaug.training.loop']
    _validation_loss = module.validation_loss
    monkeypatch.setattr(module, 'validation_loss', validation_loss)
    command = [*TINY, *methods, '--output', str(parts)]
    with pytest.raises(SystemExit) as error:
        run.main(command)
    assert error.value.code == 130
    message = capsys.readouterr().err
    assert 'Go on with: ' in message
    assert f'--output {parts} --resume' in message
    run.main([*command, '--resume'])
    # The base, an epoch of gmm, then only what was left of it.
    assert len(calls) == 2 + 1 + 1 + 1
    first, second = (
        numbers(json.loads((x / 'results.json').read_text()))
        for x in (whole, parts)
    )
    assert first == second


def test_without_resume_all_starts_anew(tmp_path, monkeypatch):
    command = ['--hidden', '4', '--epochs', '1', '--seeds', '0']
    command += ['--output', str(tmp_path), '--methods', 'base']
    run.main(command)
    path = tmp_path / 'models' / 'seed0-base.pt'
    path.write_bytes(b'broken')
    with pytest.raises(SystemExit, match='delete it to run it again'):
        run.main([*command, '--resume'])
    run.main(command)
    assert torch.load(path)['history']


def test_fraction_and_schedule(tmp_path):
    def prepare(*options):
        folder = tmp_path / '-'.join(options)
        return experiment.Experiment(
            run.parse_args(['--output', str(folder), *options])
        )

    whole = prepare()
    assert (whole.decay_steps, whole.epochs) == (None, 4)
    part = prepare('--fraction', '0.25')
    assert part.data['train'].sessions == 41
    assert (part.decay_steps, part.epochs) == (None, 4)
    steps = prepare('--fraction', '0.25', '--schedule', 'steps')
    assert len(steps.data['train']) == len(part.data['train'])
    batches = -(-len(whole.data['train']) // 100)
    assert (steps.decay_steps, steps.epochs) == (2 * batches, 16)
    assert f'every {2 * batches} steps, at most 16' in report.summary(steps)


def test_fraction_of_yoochoose_is_its_newest_share(tmp_path, srgnn_root):
    root = srgnn_root([[1, 2, 3]] * 40, ([[1]], [2]))
    command = ['--dataset', 'yoochoose', '--root', str(root), '--fraction']
    command += ['0.5', '--schedule', 'steps', '--batch-size', '10']
    args = run.parse_args([*command, '--output', str(tmp_path / 'output')])
    runs = experiment.Experiment(args)
    assert runs.data['train'].sessions == 18
    assert runs.decay_steps == 2 * 8  # 36 sessions, 72 samples


def test_raw_data_are_read_and_processed_elsewhere(tmp_path, srgnn_root):
    root = srgnn_root([[1, 2, 3]] * 30, ([[1], [2, 1]], [2, 3]))
    (root / 'raw').chmod(0o555)
    root.chmod(0o555)
    output = tmp_path.parent / f'{tmp_path.name}-output'
    command = ['--dataset', 'diginetica', '--root', str(root), '--output']
    command += [str(output), '--seeds', '0', '--epochs', '1', '--hidden', '4']
    run.main([*command, '--num-clusters', '2'])
    for folder in (root, root / 'raw'):
        folder.chmod(0o755)
    results = json.loads((output / 'results.json').read_text())
    # Without categories they are left out, unless asked for.
    names = ['base', 'blur', 'i2i', 'gmm', 'kmeans']
    assert list(results['metrics']['HR@20']) == names
    assert set(results['settings']['raw_sha256']) == {
        'all_train_seq.txt',
        'test.txt',
    }
    assert results['thesis']['i2i'] == {'HR@20': 51.18, 'MRR@20': 18.05}
    assert results['data']['name'] == Diginetica.__name__
    table = (output / 'table.md').read_text()
    assert '| thesis |' in table.splitlines()[0]
    assert '51.18' in table
    assert [x.name for x in root.iterdir()] == ['raw']
    with pytest.raises(SystemExit, match=r'no item categories in .*choose fr'):
        run.main([*command, '--methods', 'category-noblur'])


def test_missing_raw_data(tmp_path):
    command = ['--dataset', 'otto', '--root', str(tmp_path / 'none')]
    with pytest.raises(SystemExit, match=r'error: .*none'):
        run.main([*command, '--output', str(tmp_path)])


@pytest.mark.parametrize(
    'arguments,message',
    [
        (['--dataset', 'movies'], "'movies' (choose from"),
        (['--model', 'gcn'], "no model 'gcn'; choose from"),
        (['--methods', 'base', 'gnm'], "unknown method 'gnm'; choose from b"),
        (['--methods', 'blur-noblur'], "unknown method 'blur-noblur'"),
        (['--methods', 'gmm-noblur-shuffled'], 'or -shuffled-noblur'),
        (['--fraction', '0'], 'must be in (0, 1], got 0'),
        (['--epochs', '0'], 'must be at least 1, got 0'),
        (['--num-layers', '-1'], '-1 is negative'),
        (['--device', 'tpu9'], "cannot use 'tpu9'"),
    ],
)
def test_arguments_that_cannot_be(arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        run.parse_args(arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_defaults(capsys):
    args = run.parse_args([])
    assert (args.dataset, args.model, args.seeds) == (
        'multimodal',
        'srgnn',
        [0, 1],
    )
    assert args.output == 'runs/multimodal-srgnn'
    args = run.parse_args(['--dataset', 'otto', '--model', 'tagnn'])
    assert (args.epochs, args.lr, args.seeds) == (20, 1e-3, [0, 1, 2])
    assert (args.root, args.output) == ('data/otto', 'runs/otto-tagnn')
    with pytest.raises(SystemExit):
        run.parse_args(['--help'])
    assert '-shuffled' in capsys.readouterr().out
