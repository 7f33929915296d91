import json

import pytest
import torch

from benchmarks.studies import further_work


@pytest.fixture(autouse=True)
def few_clusters(monkeypatch):
    parse = further_work.study.run.parse_args
    small = ['--hidden', '6', '--num-clusters', '3']
    monkeypatch.setattr(
        further_work.study.run, 'parse_args', lambda x: parse([*x, *small])
    )


def test_each_idea_against_the_plain_model(timed_log, tmp_path, capsys):
    output = tmp_path / 'out'
    further_work.main(
        ['--root', str(timed_log), '--output', str(output), '--epochs', '1']
        + ['--seeds', '3']
    )
    results = json.loads((output / 'further_work.json').read_text())
    names = list(further_work.METHODS)
    assert results['settings']['run_settings']['epochs'] == 1
    for metric, cut in (('HR@20', False), ('MRR@20', True)):
        rows = results['metrics'][metric]
        assert list(rows) == names
        for name in names:
            path = output / 'run' / 'models' / f'seed3-{name}.pt'
            rank = torch.load(path)['rank'].double()
            gain = (rank <= 20) / (rank if cut else 1)
            value = 100 * float(gain.mean())
            assert rows[name]['values'] == pytest.approx([value])
            if name != 'base':
                assert rows[name]['difference'] == pytest.approx(
                    value - rows['base']['mean']
                )
    # Three channels, which began as their mean.
    for kernel in results['channel_weights']:
        assert len(kernel) == 3
        assert kernel != pytest.approx([1 / 3] * 3, abs=1e-6)
    lines = results['table']
    assert [line[0] for line in lines[1:]] == names
    assert lines[1][2] == f'{results["metrics"]["HR@20"]["base"]["mean"]:.2f}'
    assert (output / 'further_work.png').stat().st_size > 10_000
    mixture = torch.load(output / 'run/models/seed3-soft-noblur.mixture.pt')
    hard = torch.load(output / 'run/models/seed3-gmm-noblur.clusters.pt')
    assert torch.equal(mixture['posterior'].argmax(1), hard['labels'])


def test_without_times(run_study):
    results = run_study(further_work, '--epochs', 1, '--seeds', 1)
    names = [x for x in further_work.METHODS if not x.startswith('time')]
    assert list(results['metrics']['HR@20']) == names
    assert [len(kernel) for kernel in results['channel_weights']] == [2]
