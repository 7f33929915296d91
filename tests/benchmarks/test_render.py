import json

import pytest

from benchmarks import render

TABLE = [['a', 'b'], ['1.5', '–']]
QUOTED = '| a   | b |\n|-----|---|\n| 1.5 | – |\n'


@pytest.mark.parametrize('path', render.pages(), ids=lambda path: path.name)
def test_pages_quote_results_as_they_are(path):
    page = path.read_text()
    assert render.render(page) == page


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(render, 'ROOT', tmp_path)
    monkeypatch.setattr(render, 'RESULTS', tmp_path / 'results')
    (tmp_path / 'results' / 'studies').mkdir(parents=True)
    return tmp_path / 'results'


def page(name, text='old\n'):
    return f'x\n<!-- results: {name} -->\n{text}<!-- end of results -->\ny\n'


def test_quotes_are_replaced_and_unknown_ones_refused(folder):
    with pytest.raises(ValueError, match=r'quotes x\.json, which is not in'):
        render.render(page('studies/x'))
    path = folder / 'studies' / 'x.json'
    path.write_text(json.dumps({'about': 'What', 'table': TABLE}))
    new = f'\n{QUOTED}\n(What; `results/studies/x.json`)\n\n'
    assert render.render(page('studies/x')) == page('studies/x', new)
    assert render.render(page('studies/x', new)) == page('studies/x', new)


def test_one_table_of_several(folder):
    tables = {'one': [['x'], ['y']], 'two': TABLE}
    (folder / 'x.json').write_text(json.dumps({'table': tables}))
    end = '\n(`results/x.json`)\n\n'
    assert render.render(page('x#two')) == page('x#two', f'\n{QUOTED}{end}')
    both = f'\n| x |\n|---|\n| y |\n\n{QUOTED}{end}'
    assert render.render(page('x')) == page('x', both)
    with pytest.raises(KeyError, match='three'):
        render.render(page('x#three'))


def test_a_number_in_a_sentence(folder):
    (folder / 'x.json').write_text(json.dumps({'rows': [{'ms': 2.3456}]}))
    text = 'takes <!-- value: x#rows.0.ms .2f -->{}<!-- end --> ms, '
    twice = text.format('old') * 2
    assert render.render(twice) == text.format('2.35') * 2
    rows = [{'model': 'a', 'k': 1, 'ms': 7}, {'model': 'b', 'k': 1.0, 'ms': 8}]
    (folder / 'x.json').write_text(json.dumps({'rows': rows}))
    text = '<!-- value: x#rows.model=b&k=1.ms .0f -->{}<!-- end -->'
    assert render.render(text.format('old')) == text.format('8')
    with pytest.raises(KeyError, match='model=b&k=2'):
        render.render(text.replace('k=1', 'k=2'))
    with pytest.raises(KeyError, match='none'):
        render.render('<!-- value: x#none .2f -->1<!-- end -->')
