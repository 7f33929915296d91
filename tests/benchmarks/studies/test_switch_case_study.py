"""Switch case, Table 5.2."""

import json

import pytest
import torch

from benchmarks.experiments.report import METRICS
from benchmarks.studies import switch_case
from pyg_sessaug.metrics import ranking_metrics


@pytest.fixture(scope='module')
def finished(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp('switch')
    switch_case.main(
        ['--num-clusters', '2', '--lr', '0.01', '--run', str(tiny_run)]
        + ['--output', str(folder)]
    )
    return folder


@pytest.fixture(scope='module')
def results(finished):
    return json.loads((finished / 'switch_case.json').read_text())


def test_rows_add_up_to_the_whole(tiny_run, results):
    rank = torch.load(tiny_run / 'models' / 'seed0-base.pt')['rank']
    whole = results['all']
    assert whole['test'] == rank.numel()
    assert sum(x['test'] for x in results['clusters']) == rank.numel()
    assert [x['cluster'] for x in results['clusters']] == [0, 1]
    whole_metrics = ranking_metrics(rank.long())
    for metric in METRICS:
        value = whole_metrics[metric]
        assert whole[metric] == pytest.approx(100 * value)
        comparison = results['comparison'][metric]
        for name in switch_case.TUNED:
            mean = (
                sum(
                    x['test'] * x[f'{name} {metric}']
                    for x in results['clusters']
                )
                / rank.numel()
            )
            assert whole[f'{name} {metric}'] == pytest.approx(mean, abs=1e-9)
            difference = comparison[name]['difference']
            assert difference == pytest.approx(mean, abs=1e-9)
    low = results['below average']
    below = [x for x in results['clusters'] if x['HR@20'] < whole['HR@20']]
    assert low['test'] == sum(x['test'] for x in below) > 0
    assert low['train'] == sum(x['train'] for x in below)


def test_fine_tuning_changes_what_it_may(results):
    assert any(x['improved'] for x in results['clusters'])
    for row in results['clusters']:
        if not row['improved']:
            assert row['switch case HR@20'] == row['switch case MRR@20'] == 0
    assert any(x['switch case MRR@20'] != 0 for x in results['clusters'])
    assert results['all']['control MRR@20'] != 0


def test_what_table_5_2_adds_up_to(results):
    thesis = results['thesis']
    assert thesis['test'] == 6839
    # The table's bottom row has these two, exchanged:
    assert thesis['sum HR@20'] == pytest.approx(1.65)
    assert thesis['sum MRR@20'] == pytest.approx(2.05)
    assert thesis['mean HR@20'] == pytest.approx(2054.43 / 6839)


def test_table_and_figure(finished, results):
    lines = (finished / 'switch_case.md').read_text().splitlines()
    names = [x.strip('|').split('|')[0].strip() for x in lines[2:]]
    assert names == ['0', '1', 'below average', 'all']
    cells = [x.strip() for x in lines[-1].strip('|').split('|')]
    whole = results['all']
    assert cells[3:5] == [f'{whole["HR@20"]:.2f}', f'{whole["MRR@20"]:.2f}']
    assert cells[5] == f'{whole["switch case HR@20"]:+.2f}'
    assert (finished / 'switch_case.png').stat().st_size > 10_000
    assert str(finished) not in (finished / 'switch_case.json').read_text()
