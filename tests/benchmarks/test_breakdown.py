import json

import pytest

from benchmarks import breakdown, run
from pyg_sessaug.datasets import MultimodalSessions

pytestmark = pytest.mark.usefixtures('tiny_sessions')
OPTIONS = '--hidden 8 --epochs 1 --lr 0.02 --seeds 0 1 --methods'.split()


@pytest.fixture(scope='module')
def finished(tiny_sessions, tmp_path_factory):
    folder = tmp_path_factory.mktemp('finished')
    methods = ['blur', 'nograph']
    run.main([*OPTIONS, *methods, '--output', str(folder)])
    return folder


def report_of(finished, *options):
    breakdown.main(
        [str(finished / 'results.json'), '--output', str(finished)]
        + ['--root', str(finished / 'root'), *options]
    )
    return json.loads((finished / 'breakdown.json').read_text())


def test_groups_by_counting(tmp_path):
    train, test = (
        MultimodalSessions(
            tmp_path, split, num_sessions=200, num_items=40, num_modes=4
        )
        for split in ('train', 'test')
    )
    items = train.flat_sessions.item.tolist()
    expected = {name: [] for name in breakdown.groups(train, test)}
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
    masks = breakdown.groups(train, test)
    assert {k: v.tolist() for k, v in masks.items()} == expected
    assert 0 < masks['target seen in the session'].double().mean() < 1


def test_groups_make_up_the_results(finished):
    report = report_of(finished)
    results = json.loads((finished / 'results.json').read_text())
    rows = {row['group']: row for row in report['groups']}
    for metric in breakdown.METRICS:
        # The same draws of sessions, and so the same intervals.
        assert rows['all'][metric] == results['metrics'][metric]
        for parts in (
            breakdown.BINS,
            breakdown.LENGTHS,
            ('target seen in the session', 'target not seen in it'),
        ):
            there = [rows[x] for x in parts if x in rows]
            assert sum(x['share'] for x in there) == pytest.approx(1)
            for method in ('base', 'blur', 'nograph'):
                mean = sum(
                    x['share'] * x[metric][method]['mean'] for x in there
                )
                whole = results['metrics'][metric][method]['mean']
                assert mean == pytest.approx(whole)
    head, *lines = report['table']
    assert head[3:] == ['base', 'blur', 'nograph']
    assert len(lines) == 2 * len(rows)


def test_versus_a_control(finished):
    report = report_of(finished, '--versus', 'nograph', '--methods', 'blur')
    assert report['table'][0][3:] == ['nograph', 'blur']
    results = json.loads((finished / 'results.json').read_text())
    mean = {
        name: row['mean'] for name, row in results['metrics']['HR@20'].items()
    }
    row = report['groups'][0]['HR@20']['blur']
    assert row['difference'] == pytest.approx(mean['blur'] - mean['nograph'])


def test_what_it_refuses(finished, tmp_path):
    with pytest.raises(SystemExit, match='no runs of i2i; choose from base'):
        report_of(finished, '--methods', 'i2i')
    results = json.loads((finished / 'results.json').read_text())
    results['settings']['raw_sha256'] = {'log.csv': 'of other data'}
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(results))
    with pytest.raises(SystemExit, match='point --root to the data'):
        breakdown.main([str(path), '--output', str(tmp_path / 'out')])
