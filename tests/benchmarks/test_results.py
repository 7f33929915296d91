"""Files of results, those in benchmarks/results/ among them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import render
from benchmarks.experiments import results

FILES = sorted(render.RESULTS.glob('**/*.json'))
COMMANDS = (render.RESULTS / 'COMMANDS.md').read_text().splitlines()


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_files_say_what_wrote_them(path):
    report = json.loads(path.read_text())
    assert report['command'] in COMMANDS
    script = report['command'].split()[1]
    assert (render.ROOT / script).is_file()
    table = report['table']
    for lines in table.values() if isinstance(table, dict) else [table]:
        assert len({len(line) for line in lines}) == 1
        assert all(isinstance(cell, str) for line in lines for cell in line)
    assert path.stat().st_size <= 100_000


def test_ranks_stand_beside_results():
    for path in render.RESULTS.glob('**/*.npz'):
        ranks = results.load_ranks(str(path.with_suffix('.json')))
        board, _, data = path.stem.partition('-')
        if board == 'leaderboard':
            report = json.loads((path.parent / 'leaderboard.json').read_text())
            runs = {
                (x['seed'], x['model'] + ' refit' * x['refit']): x
                for x in report['rows']
                # Rows of run.py have theirs, if any, beside its file.
                if x['data'] == data and x['low'] is not None
            }
        else:
            report = json.loads(path.with_suffix('.json').read_text())
            runs = {(x['seed'], x['method']): x for x in report['runs']}
        assert set(ranks) == set(runs)
        for key, rank in ranks.items():
            hits = 100 * float((rank <= 20).double().mean())
            assert hits == pytest.approx(runs[key]['HR@20'])


def test_ranks_survive(tmp_path):
    path = str(tmp_path / 'a.json')
    rank = torch.tensor([1, 19, 20, 21, 22, 43_097])
    results.write_ranks(path, {(0, 'base'): rank, (3, 'i2i'): rank.flip(0)})
    found = results.load_ranks(path)
    assert list(found) == [(0, 'base'), (3, 'i2i')]
    assert found[0, 'base'].tolist() == [1, 19, 20, 21, 21, 21]
    assert found[3, 'i2i'].tolist() == [21, 21, 21, 20, 19, 1]
    with np.load(tmp_path / 'a.npz') as file:
        assert file['rank'].dtype == np.uint8
    with pytest.raises(ValueError, match=r'no ranks in b\.npz beside it'):
        results.load_ranks(str(tmp_path / 'b.json'))


def test_json_has_a_line_for_each_entry():
    report = {
        'a': {'b': {'c': [1, 2], 'd': {'e': 1}}, 'f': {}},
        'table': [['x', 'y'], ['1', '–']],
        'runs': [{'seed': 0, 'z': [[1], [2]]}, {'seed': 1}],
        'none': [],
    }
    text = results.dumps(report)
    assert json.loads(text) == report
    lines = text.splitlines()
    assert '  ["1", "–"]' in lines
    assert '  {"seed": 1}' in lines
    assert '  "b": {"c": [1, 2], "d": {"e": 1}},' in lines
    with pytest.raises(ValueError, match='JSON compliant'):
        results.dumps({'a': float('nan')})


def test_rows_of_records():
    records = [
        {'name': 'a', 'x': {'y': 0.1234}, 'p': 1234.5},
        {'name': 'b', 'x': {'y': 0.5}, 'p': None},
    ]
    cells = [
        ('name', '{name}, {x[y]:+.2f}'),
        ('share (%)', '{x[y]:.1%}'),
        ('p', '{p:,.1f}'),
        ('length', lambda x: len(x)),
    ]
    assert results.rows(records, cells) == [
        ['name', 'share (%)', 'p', 'length'],
        ['a, +0.12', '12.3', '1,234.5', '3'],
        ['b, +0.50', '50.0', '–', '3'],
    ]
    with pytest.raises(KeyError):
        results.rows(records, [('typo', '{nam}')])


def test_commands_tell_no_folders_of_this_machine():
    argv = ['--root', '/home/me/logs/', '--output=/tmp/x', '--run', 'r/full']
    argv += ['--seeds', '0', '--resume', '--data', '/data', '/a/b.json']
    assert results.command('run.py', argv) == (
        'python benchmarks/run.py --root data/logs --run runs/full '
        '--seeds 0 b.json'
    )


def test_report_is_written_whole_with_its_tables(tmp_path, capsys):
    report = {
        'command': 'x',
        'table': {'one': [['a'], ['1']], 'two': [['b', 'c'], ['2', '3']]},
    }
    path = tmp_path / 'out' / 'r.json'
    results.write(str(path), report)
    assert json.loads(path.read_text()) == report
    text = '| a |\n|---|\n| 1 |\n\n| b | c |\n|---|---|\n| 2 | 3 |\n'
    assert (tmp_path / 'out' / 'r.md').read_text() == text
    assert capsys.readouterr().out.startswith(text)
    assert sorted(x.name for x in Path(path.parent).iterdir()) == [
        *('r.json', 'r.md')
    ]


def test_other_settings_are_told_apart():
    results.check_same('x', {}, {'blur_p': None, 'dropout': 0.0}, 'y')
    for old in ({'blur_p': None}, {}):
        with pytest.raises(ValueError, match=r'blur_p=None, not 0\.0; y'):
            results.check_same('x', old, {'blur_p': 0.0}, 'y')


def test_other_files_are_refused(tmp_path):
    path = tmp_path / 'x.json'
    path.write_text('{"runs": []}')
    with pytest.raises(ValueError, match=r'no results\.json of run\.py'):
        results.load(str(path))
