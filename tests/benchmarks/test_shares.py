import json
from pathlib import Path

import pytest

from benchmarks import shares


def results(fraction, difference, dataset='diginetica'):
    row = {'difference': difference, 'low': difference - 1, 'high': 5}
    return {
        'settings': {
            'dataset': dataset,
            'model': 'srgnn',
            'fraction': fraction,
        },
        'data': {'name': 'Diginetica'},
        'runs': [],
        'metrics': {x: {'base': {}, 'blur': row} for x in shares.METRICS},
    }


def test_points_are_the_differences(tmp_path):
    # The larger share first: the axis is sorted all the same.
    figure = shares.plot([results(1.0, 2.0), results(0.25, 3.0)])
    for axis in figure.axes:
        (bars,) = axis.containers
        line, _, (interval,) = bars
        assert line.get_ydata().tolist() == [3, 2]
        x = line.get_xdata()
        assert x[1] / x[0] == pytest.approx(4)
        ends = [segment[:, 1].tolist() for segment in interval.get_segments()]
        assert ends == [[2, 5], [1, 5]]
        assert [t.get_text() for t in axis.get_xticklabels()] == ['0.25', '1']
    files = []
    for i, share in enumerate((1.0, 0.25)):
        files.append(str(tmp_path / f'{i}.json'))
        Path(files[-1]).write_text(json.dumps(results(share, 1.0)))
    path = tmp_path / 'shares.png'
    shares.main([*files, '--output', str(path)])
    assert path.stat().st_size > 10_000


def test_two_data_sets_share_no_axis():
    both = [results(1.0, 1.0), results(1.0, 1.0, 'yoochoose')]
    with pytest.raises(ValueError, match='files of one data set'):
        shares.plot(both)


def test_methods_that_no_file_has():
    with pytest.raises(ValueError, match='method nope; choose from blur'):
        shares.plot([results(1.0, 1.0)], ['blur', 'nope'])


def test_files_of_another_kind(tmp_path):
    path = tmp_path / 'settings.json'
    with pytest.raises(SystemExit, match='No such file'):
        shares.main([str(path)])
    path.write_text('{"lr": 0.1}')
    with pytest.raises(SystemExit, match=r'is no results\.json of run\.py'):
        shares.main([str(path)])
