import json

import pytest

from benchmarks import render
from benchmarks.experiments.methods import parse_method


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


def result(**settings):
    base = {'mean': 50.0, 'std': None}
    rest = {'low': -1.0, 'high': 2.0, 'p': 0.1, 'p_holm': 0.2, 'gain': 1.0}
    methods = {
        'base': base,
        'nograph': {'mean': 60.0, 'difference': 10.0, **rest},
        'gmm-shuffled': {'mean': 59.0, 'difference': 9.0, **rest},
        'blur': {'mean': 50.5, 'difference': 0.5, **rest},
        'gmm-noblur': {'mean': 51.0, 'difference': 1.0, **rest},
        'gmm-shuffled-noblur': {'mean': 50.7, 'difference': 0.7, **rest},
    }
    return {
        'settings': {
            'dataset': 'diginetica',
            'model': 'srgnn',
            'precision': 'bf16',
            'fraction': 1.0,
            'schedule': 'epochs',
            'num_layers': 2,
            'num_clusters': 8,
            'weight_decay': 1e-5,
            **settings,
        },
        'metrics': {'HR@20': methods, 'MRR@20': {'base': {'mean': 20.0}}},
        'thesis': {},
        'runs': [],
    }


@pytest.mark.parametrize(
    ('method', 'control'),
    [
        ('kmeans', 'kmeans-shuffled'),
        ('i2i-noblur', 'i2i-shuffled-noblur'),
        ('time-linear', 'time-linear-shuffled'),
        ('inject-same', 'inject'),
        ('blur', 'base-wd-patience'),
    ],
)
def test_controls(method, control):
    assert render.control_of(method) == control
    parse_method(control)


def cells_of(table):
    _, _, *rows = table.splitlines()
    return [[x.strip() for x in row.split('|')[1:-1]] for row in rows]


def test_summary(tmp_path, monkeypatch):
    """The best augmentation and its control; published for full data."""
    monkeypatch.setattr(render, 'RESULTS', tmp_path)
    more = {'fraction': 0.5, 'schedule': 'steps', 'scale': 16, 'dropout': 0.2}
    more |= {'num_layers': 1, 'num_clusters': 500, 'weight_decay': 1e-6}
    more |= {'inject_p': 0.1}
    (tmp_path / 'a.json').write_text(json.dumps(result()))
    (tmp_path / 'b.json').write_text(json.dumps(result(**more)))
    (tmp_path / 'other.json').write_text('{"runs": []}')
    alone = result(fraction=0.25)  # Nothing to compare its base with.
    for metric in alone['metrics'].values():
        for name in [x for x in metric if x != 'base']:
            del metric[name]
    (tmp_path / 'alone.json').write_text(json.dumps(alone))
    cells = cells_of(render.summary())
    best = ['gmm-noblur', '+1.00 [-1.00, +2.00]', '0.2000']
    best.append('+0.70 [-1.00, +2.00]')
    base, paper = '50.00 / 20.00', '50.73 / 17.59'
    model = (
        'SRGNN, bf16, cosine scores × 16, dropout 0.2, layers 1, '
        '500 clusters, injection p 0.1, weight decay 1e-06, stretched schedule'
    )
    assert cells == [
        ['diginetica', 'SRGNN, bf16', base, '–', paper, *best],
        ['diginetica × 0.5', model, base, '–', '–', *best],
    ]
    assert cells_of(render.summary(whole=True)) == cells[:1]
