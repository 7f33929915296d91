import json

import pytest

from benchmarks import evidence, run


@pytest.mark.parametrize('name', evidence.EXPERIMENTS)
def test_commands_are_those_of_run(name, capsys):
    evidence.main(['--list', '--names', name, '--data', 'my/data'])
    line = capsys.readouterr().out.split()
    args = run.parse_args(line[2:])
    assert args.root.startswith('my/data/')
    assert args.resume
    assert args.threads == 1
    assert args.output == f'runs/evidence/{name}'
    # The first is the base, which all are compared with.
    assert args.methods[0].name == 'base'
    assert len(set(args.methods)) == len(args.methods)


def test_results_of_another_precision_are_not_included(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, 'RESULTS', str(tmp_path))
    results = {'settings': {'precision': 'bf16'}, 'runs': [{'ranks': ''}]}
    (tmp_path / 'a.json').write_text(json.dumps(results))
    assert evidence.include('a', 'bf16')[0] == '--include'
    assert evidence.include('a', 'float32') == []


def test_results_of_what_ends_well_are_kept(tmp_path, monkeypatch, capfd):
    tiny = (
        '--dataset multimodal --methods base --hidden 4 --epochs 1 --seeds 3'
    )
    monkeypatch.setattr(
        evidence, 'EXPERIMENTS', {'good': tiny, 'bad': f'{tiny} --lr nan'}
    )
    monkeypatch.setattr(evidence, 'RESULTS', str(tmp_path))
    options = ['--data', str(tmp_path), '--output', str(tmp_path / 'out')]
    with pytest.raises(SystemExit) as error:
        evidence.main(options)
    assert error.value.code == 1
    assert 'good: done' in capfd.readouterr().out
    results = json.loads((tmp_path / 'good.json').read_text())
    assert [x['seed'] for x in results['runs']] == [3]
    assert not (tmp_path / 'bad.json').exists()
    text = (tmp_path / 'out' / 'bad.log').read_text()
    assert 'Invalid learning rate: nan' in text
