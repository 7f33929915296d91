import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'benchmarks'))
import render


@pytest.mark.parametrize('path', render.pages(), ids=lambda path: path.name)
def test_pages_quote_results_as_they_are(path):
    page = path.read_text()
    assert render.render(page) == page


def test_quotes_are_replaced_and_unknown_ones_refused(tmp_path, monkeypatch):
    page = 'a\n<!-- results: x -->\nold\n<!-- end of results -->\nb\n'
    with pytest.raises(ValueError, match=r'x\.json'):
        render.render(page)
    monkeypatch.setattr(render, 'RESULTS', tmp_path)
    monkeypatch.setattr(render, 'describe', lambda results: 'what')
    monkeypatch.setattr(render, 'tables', lambda results: results['y'] + '\n')
    (tmp_path / 'x.json').write_text('{"y": "new"}')
    assert render.render(page) == (
        'a\n<!-- results: x -->\n\nwhat\n\nnew\n\n<!-- end of results -->\nb\n'
    )


def test_studies_are_quoted_by_their_tables(tmp_path, monkeypatch):
    page = '<!-- results: studies/x -->\n\n<!-- end of results -->\n'
    results = {
        'study': 'x',
        'settings': {
            'dataset': 'otto',
            'fraction': 0.25,
            'seed': 7,
            'run_settings': {'model': 'tagnn', 'precision': 'bf16'},
        },
        'table': [['a', 'b'], ['1.5', '–']],
    }
    monkeypatch.setattr(render, 'ROOT', tmp_path)
    monkeypatch.setattr(render, 'RESULTS', tmp_path / 'results')
    path = tmp_path / 'results' / 'studies' / 'x.json'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(results))
    assert render.render(page) == (
        '<!-- results: studies/x -->\n\n'
        '| a   | b |\n|-----|---|\n| 1.5 | – |\n\n'
        '(TAGNN, bf16; otto, newest 0.25 of the sessions; seed 7; '
        '`results/studies/x.json`)\n\n<!-- end of results -->\n'
    )
