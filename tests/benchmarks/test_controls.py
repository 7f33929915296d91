import json
from pathlib import Path

import pytest

from benchmarks import controls, render, run
from benchmarks.experiments.report import METRICS

pytestmark = pytest.mark.usefixtures('tiny_sessions')
OPTIONS = '--hidden 8 --epochs 1 --lr 0.02 --seeds'.split()
PAIRS = [
    ('i2i', 'i2i-shuffled'),
    ('blur', 'base-wd-patience'),
    ('inject-same', 'inject'),
]


@pytest.fixture(scope='module')
def finished(tiny_sessions, tmp_path_factory):
    """Three pairs with two seeds, the second of which lacks a control."""
    folder = tmp_path_factory.mktemp('finished')
    names = [name for pair in PAIRS for name in pair]
    for seed in '01':
        methods = names[: len(names) - int(seed)]
        output = ['--output', str(folder / seed)]
        if seed == '1':
            output += ['--include', str(folder / '0' / 'results.json')]
        run.main([*OPTIONS, seed, '--methods', 'base', *methods, *output])
    (folder / 'results').mkdir()
    results = (folder / '1' / 'results.json').read_text()
    (folder / 'results' / 'multimodal.json').write_text(results)
    (folder / 'results' / 'other.json').write_text('{"runs": []}')
    return folder


def report_of(folder, output):
    controls.main(
        ['--results', str(folder), '--data', str(output)]
        + ['--output', str(output)]
    )
    return json.loads((output / 'controls.json').read_text())


def test_augmentations_beside_their_controls(finished, tmp_path):
    report = report_of(finished / 'results', tmp_path)
    results = json.loads(
        (finished / 'results' / 'multimodal.json').read_text()
    )
    value = {(x['seed'], x['method']): x for x in results['runs']}
    rows = report['rows']
    assert [(x['method'], x['control']) for x in rows] == PAIRS
    assert [x['seeds'] for x in rows] == [[0, 1], [0, 1], [0]]
    for row in rows:
        for metric in METRICS:
            each = [
                value[seed, row['method']][metric]
                - value[seed, row['control']][metric]
                for seed in row['seeds']
            ]
            got = row[metric]
            assert got['difference'] == pytest.approx(sum(each) / len(each))
            assert got['low'] <= got['difference'] <= got['high']
            assert got['p'] <= got['p_holm'] <= 1
    head, *lines = report['table']
    assert [line[2:5] for line in lines] == [
        [*pair, str(len(row['seeds']))] for pair, row in zip(PAIRS, rows)
    ]
    assert all(len(line) == len(head) for line in lines)


def test_what_it_refuses(finished, tmp_path):
    with pytest.raises(SystemExit, match='no file with ranks'):
        report_of(tmp_path, tmp_path)
    results = json.loads(
        (finished / 'results' / 'multimodal.json').read_text()
    )
    results['settings']['raw_sha256'] = {'log.csv': 'of other data'}
    (tmp_path / 'a.json').write_text(json.dumps(results))
    with pytest.raises(SystemExit, match='point --data to the folder'):
        report_of(tmp_path, tmp_path)


def test_committed_file_is_of_the_committed_results():
    """Its differences are those of the runs beside it."""
    folder = Path(controls.RESULTS)
    rows = json.loads((folder / 'controls.json').read_text())['rows']
    pairs = set()
    for path in folder.glob('*.json'):
        runs = json.loads(path.read_text()).get('runs', [])
        names = {x['method'] for x in runs if 'ranks' in x}
        for name in filter(render.is_augmentation, names):
            if render.control_of(name) in names:
                pairs.add((path.name, name))
    assert {(row['file'], row['method']) for row in rows} == pairs
    for row in rows:
        runs = json.loads((folder / row['file']).read_text())['runs']
        value = {(x['seed'], x['method']): x for x in runs}
        pair = row['method'], row['control']
        both = sorted(s for s, x in value if x == pair[0])
        assert row['seeds'] == [s for s in both if (s, pair[1]) in value]
        for metric in METRICS:
            ours, theirs = (
                sum(value[seed, x][metric] for seed in row['seeds'])
                for x in pair
            )
            mean = (ours - theirs) / len(row['seeds'])
            assert row[metric]['difference'] == pytest.approx(mean, abs=1e-9)
