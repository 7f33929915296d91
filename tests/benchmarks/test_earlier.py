import json

import pytest
import torch

from benchmarks import run
from benchmarks.experiments.earlier import differing, pack, read, unpack
from benchmarks.experiments.methods import parse_method

METHODS = ('base', 'nograph', 'blur', 'inject', 'base-patience')
OPTIONS = ['--hidden', '8', '--epochs', '1', '--num-clusters', '4']
pytestmark = pytest.mark.usefixtures('tiny_sessions')


def results_of(folder, *options):
    run.main([*OPTIONS, '--output', str(folder), *options])
    return json.loads((folder / 'results.json').read_text())


def test_ranks_survive_packing():
    rank = torch.tensor([1, 19, 20, 21, 22, 43_097])
    assert unpack(pack(rank)).tolist() == [1, 19, 20, 21, 21, 21]


def test_zero_is_not_unset():
    assert differing({'blur_p': None}, {'blur_p': 0.0}) == ['blur_p']
    assert differing({}, {'blur_p': 0.0}) == ['blur_p']
    assert differing({}, {'blur_p': None, 'dropout': 0.0}) == []


def test_included_runs_count_like_new_ones(tmp_path):
    whole = results_of(
        tmp_path / 'whole', '--seeds', '0', '1', '--methods', 'blur'
    )
    results_of(tmp_path / 'first', '--seeds', '0', '--methods', 'blur')
    first = str(tmp_path / 'first' / 'results.json')
    options = ['--seeds', '1', '--methods', 'blur', '--include', first]
    both = results_of(tmp_path / 'both', *options)
    assert both['metrics'] == whole['metrics']
    keys = [(x['seed'], x['method']) for x in both['runs']]
    assert keys == [(0, 'base'), (0, 'blur'), (1, 'base'), (1, 'blur')]
    for x, y in zip(both['runs'], whole['runs']):
        assert x['ranks'] == y['ranks']

    # A method of one seed alone, and the number of seeds of each.
    options[2:4] = ['--methods', 'nograph']
    more = results_of(tmp_path / 'more', *options)
    row = more['metrics']['MRR@20']
    assert len(row['base']['values']) == 2
    assert len(row['blur']['values']) == len(row['nograph']['values']) == 1
    expected = row['nograph']['mean'] - row['base']['values'][1]
    assert row['nograph']['difference'] == pytest.approx(expected)
    head, _, base, *_ = (
        (tmp_path / 'more' / 'table.md').read_text().split('\n')
    )
    seeds = [x.strip() for x in head.split('|')].index('seeds')
    assert base.split('|')[seeds].strip() == '2'

    # The thesis' methods come first, whatever was run first.
    options = ['--seeds', '0', '--methods', 'kmeans', '--include']
    last = results_of(
        tmp_path / 'last', *options, str(tmp_path / 'more' / 'results.json')
    )
    assert list(last['metrics']['HR@20']) == [
        *('base', 'blur', 'kmeans', 'nograph')
    ]


def test_what_is_included_is_not_run_again():
    methods = [parse_method(x) for x in ('base', 'blur', 'kmeans', 'i2i')]
    done = {(0, x.name) for x in methods} | {(1, 'base'), (1, 'kmeans')}
    names = [(s, x.name) for s, x in run.missing([0, 1, 2], methods, done)]
    # The base of seed 1 again, as i2i needs its embeddings.
    assert names == [(1, 'base'), (1, 'blur'), (1, 'i2i')] + [
        (2, x.name) for x in methods
    ]
    done |= {(1, 'i2i')}
    names = [(s, x.name) for s, x in run.missing([1], methods, done)]
    assert names == [(1, 'blur')]


def test_other_settings_and_files_without_ranks(tmp_path):
    results_of(tmp_path, '--seeds', '0', '--methods', 'base')
    path = tmp_path / 'results.json'
    results = json.loads(path.read_text())
    settings = results['settings']
    with pytest.raises(ValueError, match='hidden=8, not 16; include runs'):
        read(str(path), {**settings, 'hidden': 16})
    # Other augmentations do not change plain graphs.
    both = [{**x, 'method': y} for x in results['runs'] for y in METHODS]
    path.write_text(json.dumps({**results, 'runs': both}))
    assert list(read(str(path), settings)) == [(0, x) for x in METHODS]
    plain = [(0, 'base'), (0, 'nograph')]
    for name in ('inject_p', 'augmented_patience', 'num_clusters'):
        assert list(read(str(path), {**settings, name: 3})) == plain
    del results['runs'][0]['ranks']
    path.write_text(json.dumps(results))
    with pytest.raises(ValueError, match='no ranks for seed 0, base'):
        read(str(path), settings)
