import json

import pytest

from benchmarks import compare, render, run, summary
from benchmarks.experiments import results
from benchmarks.experiments.report import METRICS
from pyg_sessaug.datasets import MultimodalSessions

pytestmark = pytest.mark.usefixtures('tiny_sessions')
OPTIONS = '--hidden 8 --epochs 1 --lr 0.02 --seeds 0 1 --methods'.split()


@pytest.fixture(scope='module')
def finished(tiny_sessions, tmp_path_factory):
    """Results whose last run, inject of seed 1, is not there."""
    folder = tmp_path_factory.mktemp('finished')
    methods = ['blur', 'nograph', 'i2i', 'i2i-shuffled', 'inject']
    run.main([*OPTIONS, *methods, '--output', str(folder)])
    path = folder / 'results.json'
    report = json.loads(path.read_text())
    ranks = results.load_ranks(str(path))
    assert (report['runs'].pop()['method'], ranks.popitem()[0]) == (
        'inject',
        (1, 'inject'),
    )
    path.write_text(json.dumps(report))
    results.write_ranks(str(path), ranks)
    return folder


def report_of(folder, *options, file='results.json'):
    compare.main(
        [str(folder / file), '--data', str(folder / 'root'), *options]
        + ['--output', str(folder / 'out')]
    )
    return json.loads((folder / 'out' / 'comparison.json').read_text())


def test_pairs_follow_from_the_runs(finished):
    pairs = [('i2i', 'i2i-shuffled'), ('inject', 'blur'), ('nograph', 'base')]
    methods = [*(':'.join(x) for x in pairs[:2]), 'nograph', 'soft:i2i']
    report = report_of(finished, '--methods', *methods)
    runs = json.loads((finished / 'results.json').read_text())['runs']
    value = {(x['seed'], x['method']): x for x in runs}
    rows = report['rows']  # Without soft, which was not run.
    assert [(x['method'], x['beside']) for x in rows] == pairs
    assert [x['seeds'] for x in rows] == [[0, 1], [0], [0, 1]]
    for row in rows:
        for metric in METRICS:
            each = [
                value[seed, row['method']][metric]
                - value[seed, row['beside']][metric]
                for seed in row['seeds']
            ]
            got = row[metric]
            assert got['difference'] == pytest.approx(sum(each) / len(each))
            assert got['low'] <= got['difference'] <= got['high']
            assert got['p'] <= got['p_holm'] <= 1
    head, *lines = report['table']
    assert [[*line[:2], line[-2]] for line in lines] == [
        [*pair, str(len(row['seeds']))] for pair, row in zip(pairs, rows)
    ]
    assert all(len(line) == len(head) for line in lines)
    assert str(finished) not in report['command']


def test_groups_by_counting(tmp_path):
    train, test = (
        MultimodalSessions(
            tmp_path, split, num_sessions=200, num_items=40, num_modes=4
        )
        for split in ('train', 'test')
    )
    items = train.flat_sessions.item.tolist()
    expected = {name: [] for name in compare.masks(train, test)}
    sessions = test.flat_sessions
    for target in sessions.target.tolist():
        start = max(x for x in sessions.ptr.tolist() if x < target)
        y, seen = sessions.item[target], sessions.item[start:target]
        count, length = items.count(int(y)), target - start
        values = {
            'all': True,
            'target never clicked in training': count == 0,
            'target clicked 1 to 5 times': 1 <= count <= 5,
            'target clicked 6 to 20 times': 6 <= count <= 20,
            'target clicked more often': count > 20,
            '1 click seen': length == 1,
            '2 or 3 clicks seen': 2 <= length <= 3,
            'more clicks seen': length > 3,
            'target seen in the session': y in seen,
            'target not seen in it': y not in seen,
        }
        for name, value in values.items():
            expected[name].append(value)
    masks = compare.masks(train, test)
    assert {k: v.tolist() for k, v in masks.items()} == expected
    assert 0 < masks['target seen in the session'].double().mean() < 1


def test_groups_make_up_the_results(finished):
    methods = ['blur', 'nograph']
    report = report_of(finished, '--by-group', '--methods', *methods)
    found = json.loads((finished / 'results.json').read_text())['metrics']
    rows = {row['group']: row for row in report['groups']}
    for metric in METRICS:
        for method in methods:
            # The same draws of sessions, and so the same intervals.
            whole = rows['all'][method][metric]
            assert whole == {
                key: pytest.approx(found[metric][method][key]) for key in whole
            }
        for parts in (
            compare.CLICKED,
            compare.LENGTHS,
            ('target seen in the session', 'target not seen in it'),
        ):
            there = [rows[x] for x in parts if x in rows]
            assert sum(x['share'] for x in there) == pytest.approx(1)
            mean = sum(x['share'] * x['base'][metric] for x in there)
            assert mean == pytest.approx(found[metric]['base']['mean'])
    head, *lines = report['table']
    assert head[3:] == ['base', *methods]
    assert len(lines) == 2 * len(rows)
    for name, _, metric, _, *cells in lines:
        for method, cell in zip(methods, cells):
            value = rows[name][method][metric]
            bold = value['low'] > 0 or value['high'] < 0
            shown = f'{value["difference"]:+.2f}'
            assert cell == (f'**{shown}**' if bold else shown)


def test_groups_beside_another(finished):
    options = ['--by-group', '--beside', 'nograph', '--methods', 'blur']
    report = report_of(finished, *options)
    assert report['table'][0][3:] == ['nograph', 'blur']
    found = json.loads((finished / 'results.json').read_text())['metrics']
    mean = {name: row['mean'] for name, row in found['HR@20'].items()}
    row = report['groups'][0]['blur']['HR@20']
    assert row['difference'] == pytest.approx(mean['blur'] - mean['nograph'])


def test_what_it_refuses(finished, tmp_path):
    with pytest.raises(SystemExit, match='no runs of gmm with a seed of base'):
        report_of(finished, '--by-group', '--methods', 'gmm')
    with pytest.raises(SystemExit, match='one method beside the others'):
        report_of(finished, '--by-group', '--methods', 'i2i:blur', 'inject')
    with pytest.raises(SystemExit, match='no file has both methods'):
        report_of(finished, '--methods', 'gmm')
    for suffix in ('json', 'npz'):
        data = (finished / f'results.{suffix}').read_bytes()
        (tmp_path / f'other.{suffix}').write_bytes(data)
    path = tmp_path / 'other.json'
    report = json.loads(path.read_text())
    report['settings']['raw_sha256'] = {'log.csv': 'of other data'}
    path.write_text(json.dumps(report))
    for more in ([], ['--by-group']):
        with pytest.raises(SystemExit, match='point --data to the folder'):
            report_of(tmp_path, '--methods', 'blur', *more, file='other.json')


def test_committed_controls_are_of_the_committed_results():
    """Every augmentation that has its control, and differences of the runs
    beside them.
    """
    folder = render.RESULTS
    rows = json.loads((folder / 'controls.json').read_text())['rows']
    pairs = set()
    for path in folder.glob('*.json'):
        report = json.loads(path.read_text())
        names = {x['method'] for x in report.get('runs', [])}
        for name in filter(summary.is_augmentation, names):
            if summary.control_of(name) in names:
                pairs.add((path.name, name, summary.control_of(name)))
    found = {(row['file'], row['method'], row['beside']) for row in rows}
    assert found == pairs
    for row in rows:
        runs = json.loads((folder / row['file']).read_text())['runs']
        value = {(x['seed'], x['method']): x for x in runs}
        pair = row['method'], row['beside']
        both = sorted(s for s, x in value if x == pair[0])
        assert row['seeds'] == [s for s in both if (s, pair[1]) in value]
        for metric in METRICS:
            ours, theirs = (
                sum(value[seed, x][metric] for seed in row['seeds'])
                for x in pair
            )
            mean = (ours - theirs) / len(row['seeds'])
            assert row[metric]['difference'] == pytest.approx(mean, abs=1e-9)
