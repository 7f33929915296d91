import json
from collections import Counter
from itertools import chain

import pytest
import torch

from benchmarks import baselines
from pyg_sessaug.counts import VSKNN, CoVisits
from tests.counts.logs import LATER, NUM_ITEMS, TRAIN, batch, flat, prefixes

ITEMS = range(NUM_ITEMS)
CLICKS = Counter(chain(*TRAIN))


def popular(prefix):
    return [CLICKS[i] for i in ITEMS]


def popular_in_session(prefix):
    more = max(CLICKS.values()) + 1
    return [more * prefix.count(i) + CLICKS[i] for i in ITEMS]


def cooccurrence(prefix):
    last = prefix[-1]
    return [
        sum(last in s and i in s for s in TRAIN) if i != last else 0
        for i in ITEMS
    ]


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('pop', popular),
        ('spop', popular_in_session),
        ('cooccurrence', cooccurrence),
    ],
)
def test_simple_counts(name, expected):
    model = baselines.MODELS[name](NUM_ITEMS).update(flat(TRAIN))
    out = model.score(batch(LATER))
    assert out.tolist() == [expected(prefix) for prefix in prefixes(LATER)]


@pytest.mark.usefixtures('tiny_sessions')
def test_report(tmp_path, capsys):
    path = tmp_path / 'out' / 'counts.json'
    line = ['--root', str(tmp_path / 'data'), '--output', str(path)]
    threads = torch.get_num_threads()
    baselines.main(line)
    report = json.loads(path.read_text())
    assert [row['model'] for row in report['rows']] == list(baselines.MODELS)
    best = report['rows'][-1]
    assert best['settings'] == VSKNN(40).extra_repr()
    assert report['rows'][-2]['settings'] == CoVisits(40).extra_repr()
    assert report['table'][-1][1] == f'{best["HR@20"]:.2f}'
    assert best['HR@20'] >= best['MRR@20'] > 0
    assert report['command'].startswith('python benchmarks/baselines.py --')
    assert str(tmp_path) not in json.dumps(report['settings'])
    assert f'| {best["HR@20"]:.2f} ' in capsys.readouterr().out
    # Less to count from, and fewer models.
    baselines.main([*line, *'--val-ratio 0.5 --models pop'.split()])
    half = json.loads(path.read_text())
    assert half['train_sessions'] == pytest.approx(
        report['train_sessions'] / 2, abs=1
    )
    assert [row['model'] for row in half['rows']] == ['pop']
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('--threads 0', 'must be at least 1'),
        ('--fraction 2', 'must be in (0, 1]'),
        ('--models knn', 'invalid choice'),
    ],
)
def test_wrong_options(line, message, capsys):
    with pytest.raises(SystemExit):
        baselines.parse_args(line.split())
    assert message in capsys.readouterr().err


def test_missing_files_end_with_a_message(tmp_path):
    line = ['--dataset', 'otto', '--root', str(tmp_path), '--output']
    with pytest.raises(SystemExit, match=r'^error: '):
        baselines.main([*line, str(tmp_path / 'out.json')])
