import json

import pytest

from benchmarks import pictures


def test_pictures_of_the_results(tmp_path):
    pictures.main(['--output', str(tmp_path)])
    for name in ('forest', 'shares', 'edges'):
        head = (tmp_path / f'{name}.png').read_bytes()[:8]
        assert head == b'\x89PNG\r\n\x1a\n'


def test_forest_has_a_line_for_each_pair(tmp_path):
    row = {'data': 'diginetica × 0.125', 'model': 'SRGNN, bf16, cosine × 16'}
    pairs = [
        {**row, 'method': x, 'HR@20': {'difference': d, 'low': -1, 'high': 3}}
        for x, d in (('blur', 2.0), ('kmeans', 1.0))
    ]
    (tmp_path / 'controls.json').write_text(json.dumps({'rows': pairs}))
    args = pictures.argparse.Namespace(results=str(tmp_path))
    axis = pictures.forest(args).axes[0]
    names = [x.get_text() for x in axis.get_yticklabels()]
    assert names[0] == 'kmeans: diginetica × 0.125, SRGNN, cosine scores'
    lines = [x for x in axis.lines if len(x.get_xdata()) == 1]
    assert [x.get_xdata()[0] for x in lines][:1] == [pytest.approx(1.0)]


def test_edges_beyond_base_and_control(tmp_path):
    gain = {'difference': 1.0, 'low': 0.5, 'high': 2.0}
    pair = {'HR@20': gain, 'MRR@20': gain}
    model = 'srgnn-plus-context'
    duels = [
        {'model': model, 'beside': 'srgnn-plus-shuffled', **pair},
        {'model': f'{model} refit', 'beside': 'srgnn-plus refit', **pair},
    ]
    report = {'about': 'diginetica', 'rows': duels}
    (tmp_path / 'duels-diginetica.json').write_text(json.dumps(report))
    row = {'data': 'yoochoose', 'older': True, 'fraction': 0.125}
    over = {f'{x} over base': [2.0, 1.0, 3.0] for x in ('HR@20', 'MRR@20')}
    rows = [
        {**row, 'model': 'x', 'method': 'base', 'HR@20 over base': None},
        {**row, 'model': 'x', 'method': 'covisit-weight', **over},
        {**row, 'model': 'x', 'method': 'covisit-weight-shuffled', **over},
    ]
    (tmp_path / 'edges.json').write_text(json.dumps({'gains': rows}))
    args = pictures.argparse.Namespace(results=str(tmp_path))
    axis = pictures.edges(args).axes[0]
    names = [x.get_text() for x in axis.get_yticklabels()]
    assert names == [
        'context=20, Diginetica',
        'covisit-weight, counted in all, YooChoose 1/64 × 0.125, x',
    ]
    base, control = axis.containers
    assert base[0].get_xdata().tolist() == [2.0]
    assert control[0].get_xdata().tolist() == [1.0]
