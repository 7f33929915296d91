"""run.py with models of other names, and with one of somebody else."""

import json

import pytest

from benchmarks import run
from pyg_sessaug.registry import MODELS

TINY = '--hidden 8 --epochs 1 --num-clusters 4 --seeds 0 --lr 0.02'.split()
pytestmark = pytest.mark.usefixtures('tiny_sessions')


@pytest.mark.parametrize(
    'name', ['tests.strangers:Transformer', 'tests.strangers:GCSAN', 'last']
)
def test_any_model_is_compared(name, tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, 'last', 'tests.strangers:Last')
    out = tmp_path / 'out'
    command = [*TINY, '--model', name, '--methods', 'kmeans']
    run.main([*command, '--output', str(out)])
    results = json.loads((out / 'results.json').read_text())
    assert results['settings']['model'] == name
    assert set(results['metrics']['HR@20']) == {'base', 'kmeans'}


def test_help_and_errors_name_the_models(monkeypatch, capsys):
    monkeypatch.setitem(MODELS, 'last', 'tests.strangers:Last')
    with pytest.raises(SystemExit):
        run.main(['--help'])
    assert 'last' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run.main([*TINY, '--model', 'lost'])
    assert "no model 'lost'; choose from srgnn" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r'Last takes no num_layers'):
        run.main([*TINY, '--model', 'last', '--methods', 'nograph'])
