import json
from pathlib import Path

import pytest

from benchmarks import summary
from benchmarks.experiments.methods import parse_method


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
    assert summary.control_of(method) == control
    parse_method(control)


def test_summary(tmp_path):
    """The best augmentation and its control; no base alone on a part."""
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
    summary.main(['--results', str(tmp_path), '--output', str(tmp_path)])
    table = json.loads((tmp_path / 'summary.json').read_text())['table']
    best = ['gmm-noblur', '+1.00 [-1.00, +2.00]', '0.2000']
    best += ['+0.70 [-1.00, +2.00]', '50.00 / 20.00']
    model = (
        'SRGNN, bf16, cosine scores × 16, dropout 0.2, layers 1, '
        '500 clusters, injection p 0.1, weight decay 1e-06, stretched schedule'
    )
    assert table == [
        summary.HEAD,
        ['diginetica', *best, 'SRGNN, bf16'],
        ['diginetica × 0.5', *best, model],
    ]


def test_committed_summary_is_of_the_committed_results(tmp_path):
    summary.main(['--output', str(tmp_path)])
    committed = Path(summary.RESULTS) / 'summary.json'
    assert (tmp_path / 'summary.json').read_text() == committed.read_text()
