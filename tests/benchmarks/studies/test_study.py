"""What the studies share."""

import importlib
import json
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch

from benchmarks import run, studies
from benchmarks.experiments import plots, study
from benchmarks.studies.samples import draw_samples, neighbor_share
from pyg_sessaug.comparison import per_session
from pyg_sessaug.evaluation import rank_samples, session_vectors
from pyg_sessaug.transforms import NormalizeEdges

STUDIES = [
    path
    for path in sorted(Path(studies.__file__).parent.glob('*.py'))
    if '\ndef main(' in path.read_text()
]


def start(*options):
    parser = study.arguments('x', 'What it shows.')
    return study.start(parser, list(map(str, options)))


def test_settings_of_the_run_hold(tiny_run, tmp_path):
    args = start('--run', tiny_run, '--output', tmp_path)
    assert (args.dataset, args.fraction) == ('diginetica', 0.0625)
    runs = study.experiment(args)
    assert (args.dataset, args.fraction) == ('multimodal', 1.0)
    assert args.run_settings['hidden'] == 16
    state = torch.load(tiny_run / 'models' / 'seed0-base.pt')
    model = study.model(runs)
    assert torch.equal(rank_samples(model, runs.data['test']), state['rank'])
    study.write(args, {'a': 1}, [['b'], ['2']])
    report = json.loads((tmp_path / 'x.json').read_text())
    assert (report['a'], report['table']) == (1, [['b'], ['2']])
    assert report['settings']['run_settings']['epochs'] == 2
    assert not any(str(tmp_path) in str(x) for x in report.items())
    assert (tmp_path / 'x.md').read_text() == '| b |\n|---|\n| 2 |\n'


def test_missing_models_are_trained_and_change_no_draw(tmp_path, monkeypatch):
    options = '--dataset multimodal --fraction 1 --output'.split()
    args = start(*options, tmp_path)
    parse = run.parse_args
    monkeypatch.setattr(
        run, 'parse_args', lambda x: parse([*x, '--hidden', '8'])
    )
    drawn = []
    for _ in range(2):
        study.experiment(args, ['base', 'kmeans'])
        drawn.append(torch.rand(3))
        monkeypatch.setattr(
            'pyg_sessaug.training.augmented.fit', None
        )  # Trained already.
    assert torch.equal(*drawn)
    names = {x.name for x in (tmp_path / 'run' / 'models').iterdir()}
    assert names >= {'seed0-base.pt', 'seed0-kmeans.pt'}


def test_bad_input_ends_in_a_line():
    def main():
        raise ValueError('what is wrong')

    with pytest.raises(SystemExit, match='error: what is wrong'):
        study.call(main)


def test_session_vectors(tiny_run, tmp_path):
    runs = study.experiment(start('--run', tiny_run))
    model, data = study.model(runs), runs.data['test']
    vectors = session_vectors(model, data, batch_size=7)
    graphs = [NormalizeEdges()(data[i]) for i in range(len(data))]
    with torch.no_grad():
        expected = model(Batch.from_data_list(graphs))
    torch.testing.assert_close(vectors, expected)


def test_drawn_samples_are_of_different_sessions(tiny_data, tmp_path):
    data = tiny_data(tmp_path, 'test')
    drawn = draw_samples(data, 20)
    session = per_session(data)
    assert drawn.numel() == session[drawn].unique().numel() == 20
    assert draw_samples(data, 10**6).numel() == data.sessions
    # Each sample of a session is as likely as any other.
    chosen = torch.cat([draw_samples(data, 10**6)
                        for _ in range(600)])  # fmt: skip
    count = chosen.bincount(minlength=len(data))
    expected = 600 / session.bincount()[session]
    assert (count / expected - 1).abs().max() < 0.5


def test_neighbor_share_against_a_loop():
    vectors, label = torch.randn(1100, 3), torch.randint(3, (1100,))
    share, chance = neighbor_share(vectors, label, k=4)
    total = 0
    for i in range(1100):
        distance = (vectors - vectors[i]).norm(dim=1)
        near = distance.argsort()[1:5]
        total += int((label[near] == label[i]).sum())
    assert share == pytest.approx(total / 4400, abs=1e-3)
    pairs = (label.unsqueeze(0) == label.unsqueeze(1)).sum() - 1100
    assert chance == pytest.approx(int(pairs) / (1100 * 1099))
    assert share == pytest.approx(chance, abs=0.03)  # Labels mean nothing.


def test_tsne_keeps_groups_apart_and_follows_the_seed(capsys):
    label = torch.arange(60) % 2
    vectors = torch.randn(60, 5) + 20 * label.unsqueeze(1)
    drawn = []
    for _ in range(2):
        torch.manual_seed(1)
        drawn.append(plots.tsne(vectors))
    assert torch.equal(*drawn)
    assert neighbor_share(drawn[0], label, k=5)[0] == 1
    assert capsys.readouterr().out == ''


def test_tsne_shows_its_progress(monkeypatch):
    seen = []
    monkeypatch.setattr(
        plots.tqdm, 'update', lambda bar, n: seen.append((bar.n, n))
    )
    plots.tsne(torch.randn(40, 3))
    assert len(seen) >= 2


@pytest.mark.parametrize('path', STUDIES, ids=lambda path: path.stem)
def test_help_says_what_of_the_thesis_it_is(path, capsys):
    module = importlib.import_module(f'benchmarks.studies.{path.stem}')
    with pytest.raises(SystemExit) as error:
        module.main(['--help'])
    assert error.value.code == 0
    text = capsys.readouterr().out.lower()
    assert '%%' not in text
    assert 'none' not in text
    assert any(word in text for word in ('figure', 'table', 'section'))
