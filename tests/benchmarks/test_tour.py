import json

import pytest

from benchmarks import tour
from pyg_sessaug.counts import VSKNN
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.evaluation import evaluate


def test_one_of_each_kind_beside_its_control(tmp_path, capsys):
    command = ['--sessions', '120', '--epochs', '1', '--hidden', '8']
    tour.main([*command, '--output', str(tmp_path)])
    out = capsys.readouterr().out
    report = json.loads((tmp_path / 'results.json').read_text())
    assert report['command'].endswith('--hidden 8')
    found = {row['name']: row for row in report['rows']}
    assert [*found] == [method.name for method in tour.METHODS]
    assert [line[0] for line in report['table'][1:]] == [*found]
    best = max(found.values(), key=lambda row: row['HR@20'])
    assert report['sentence'].startswith(f'{best["name"]} won with HR@20 of ')
    assert out.endswith(f'{report["sentence"]}\n')
    assert (tmp_path / 'results.png').stat().st_size > 10_000

    train, test = (
        MultimodalSessions(
            tmp_path / 'data', split, num_sessions=120, **tour.DATA
        )
        for split in ('train', 'test')
    )
    expected = evaluate(VSKNN(1000).fit(train), test)
    for name, value in expected.items():
        assert found['VSKNN'][name] == pytest.approx(value)
    # Of the most clicked, the first, as every list has them:
    top = train.popularity.sort(descending=True, stable=True)[1][:20]
    target = test.flat_sessions.item[test.flat_sessions.target]
    hits = [int(item) in top.tolist() for item in target]
    popular = 100 * sum(hits) / len(hits)
    assert found['VSKNN']['control_hits'] == pytest.approx(popular)
    for row in found.values():
        assert row['difference'] == pytest.approx(
            100 * row['HR@20'] - row['control_hits']
        )
        assert row['low'] <= row['difference'] <= row['high']
        assert row['p'] <= row['p_holm'] <= 1


@pytest.mark.parametrize(
    'difference, p, text',
    [
        (2.04, 0.01, '2.0 above its control, SRGNN (95 %: +1.0 to +3.0; more'),
        (-1.0, 0.2, '1.0 below its control, SRGNN (95 %: -2.0 to -0.0; maybe'),
    ],
)
def test_what_won_and_by_how_much(difference, p, text):
    row = {'name': 'blend', 'HR@20': 0.655, 'control': 'SRGNN', 'p_holm': p}
    row.update(difference=difference, low=difference - 1)
    row['high'] = difference + 0.96
    sentence = tour.sentence(row)
    assert sentence.startswith(f'blend won with HR@20 of 65.5 %, {text}')
    assert f'p = {p:.4f} by Holm).' in sentence
