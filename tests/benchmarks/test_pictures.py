import json

import pytest

from benchmarks import pictures


def test_pictures_of_the_results(tmp_path):
    pictures.main(['--output', str(tmp_path)])
    for name in ('forest', 'shares'):
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
