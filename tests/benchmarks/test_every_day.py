"""Days of a log that drifts, trained on anew and from the day before."""

import csv
import json

from benchmarks import every_day


def items(folder, day):
    with open(folder / f'{day}.csv') as f:
        return {row['item_id'] for row in csv.DictReader(f)}


def test_the_log_drifts_by_the_seed_alone(tmp_path):
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        every_day.write_days(str(tmp_path / name), 9, 60, seed)
    texts = [
        [(tmp_path / name / f'{day}.csv').read_text() for day in range(9)]
        for name in 'abc'
    ]
    assert texts[0] == texts[1] != texts[2]
    days = [items(tmp_path / 'a', day) for day in range(9)]
    assert days[0] <= {f'i{i}' for i in range(every_day.ITEMS)}
    newest = [max(int(x[1:]) for x in day) for day in days]
    assert newest == sorted(newest)
    # About 3 % of them change every day.
    born = newest[-1] + 1 - every_day.ITEMS
    assert 40 < born < 160


def test_rows_and_their_table(tmp_path, monkeypatch):
    monkeypatch.setattr(every_day, 'EPOCHS', 1)
    monkeypatch.setitem(every_day.MODEL, 'hidden_channels', 4)
    options = '--days 2 --window 2 --sessions 30'.split()
    every_day.main([*options, '--output', str(tmp_path)])
    report = json.loads((tmp_path / 'every_day.json').read_text())
    first, second = report['rows']
    assert 'warm' not in first
    known = items(tmp_path / 'log-0' / 'raw', 1)
    now = known | items(tmp_path / 'log-0' / 'raw', 2)
    before = known | items(tmp_path / 'log-0' / 'raw', 0)
    # Items of validation sessions alone are among them.
    warm = second['warm']
    assert warm['kept'] + warm['new'] == len(now)
    assert warm['kept'] + warm['gone'] == len(before)
    assert warm['new'] == len(now - before)
    assert warm['minutes'] > 0
    assert second['anew']['minutes'] > 0
    line = report['table'][2]
    assert line[:2] == ['1', f'{warm["new"]:.1f}']
    assert line[-2] == f'{warm["HR@20"]:.1f}'
    assert line[2] == f'{second["anew"]["HR@20"]:.1f}'
    assert report['table'][1][1] == '–'


def test_means_of_logs():
    rows = [
        {'day': 1, 'anew': {'HR@20': hits, 'minutes': 0.5}, 'seed': seed}
        for seed, hits in enumerate((40.0, 50.0))
    ]
    rows[0]['warm'] = {'HR@20': 1.0, 'minutes': 1, 'new': 4, 'untrained': 2}
    of_day, mean = every_day.table(rows)[1:]
    assert of_day == ['1', '4.0', '45.0', '0.50', '2.0', '1.0', '1.00']
    assert mean[1:] == ['4.0', '40.0', '0.50', '2.0', '1.0', '1.00']
