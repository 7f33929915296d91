import json

import pytest
import torch

from benchmarks.studies import categories, samples
from benchmarks.studies.samples import several_categories
from pyg_sessaug.comparison import per_session
from pyg_sessaug.datasets import Diginetica


def reference(data):
    """The three labels of each sample by Python's sets."""
    sessions, rows = data.flat_sessions, []
    for target in sessions.target.tolist():
        session = int(sessions.session_of(torch.tensor(target)))
        start, end = sessions.ptr[session : session + 2].tolist()
        row = []
        for stop in (target, target + 1, end):
            seen = set(data.categories[sessions.item[start:stop]].tolist())
            row.append(len(seen - {-1}) > 1)
        rows.append(row)
    return torch.tensor(rows).t().tolist()


@pytest.mark.parametrize('unknown', [0.0, 0.4, 1.0])
def test_several_categories_against_sets(tiny_data, tmp_path, unknown):
    data = tiny_data(tmp_path, 'test')
    data.categories = data.categories.clone()
    data.categories[torch.rand(data.num_items) < unknown] = -1
    labels = several_categories(data)
    assert [x.tolist() for x in labels.values()] == reference(data)
    assert any(x.any() for x in labels.values()) == (unknown < 1)


def test_data_without_categories(tiny_data, tmp_path):
    data = tiny_data(tmp_path, 'test')
    data.categories = None
    with pytest.raises(ValueError, match='no item categories in'):
        several_categories(data)


def test_metrics_of_groups_against_a_loop():
    session = torch.arange(400).repeat_interleave(3)
    several = torch.rand(1200) < 0.3
    gain = {'HR@20': (torch.rand(1200) < 0.5 - 0.4 * several).double()}
    result = categories.compare_groups(gain, several, session, 500)
    one = [x for x, y in zip(gain['HR@20'].tolist(), several) if not y]
    more = [x for x, y in zip(gain['HR@20'].tolist(), several) if y]
    mean_one, mean_more = sum(one) / len(one), sum(more) / len(more)
    assert result['one_share'] == pytest.approx(len(one) / 1200)
    row = result['HR@20']
    assert row['one'] == pytest.approx(100 * mean_one)
    assert row['several'] == pytest.approx(100 * mean_more)
    assert row['difference'] == pytest.approx(100 * (mean_more - mean_one))
    # The normal approximation for samples that know nothing of each other:
    error = (mean_one * (1 - mean_one) / len(one)
             + mean_more * (1 - mean_more) / len(more)) ** 0.5  # fmt: skip
    width = row['high'] - row['low']
    assert width == pytest.approx(100 * 2 * 1.96 * error, rel=0.2)
    assert row['low'] < row['difference'] < row['high'] < 0


def test_study(run_study, tiny_run, tmp_path):
    results = run_study(categories, '--run', tiny_run, '--samples', 25)
    rank = torch.load(tiny_run / 'models' / 'seed0-base.pt')['rank']
    published = json.loads((tiny_run / 'results.json').read_text())
    for metric, rows in published['metrics'].items():
        assert results['overall'][metric] == rows['base']['mean']
    shares = []
    for group in results['groups'].values():
        share = group['one_share']
        shares.append(share)
        for metric, mean in results['overall'].items():
            parts = group[metric]
            total = share * parts['one'] + (1 - share) * parts['several']
            assert total == pytest.approx(mean)
    assert 1 > shares[0] > shares[1] > shares[2] > 0
    assert len(results['table']) == 5  # No thesis for these data.
    hits = (rank <= 20).double().mean()
    assert results['overall']['HR@20'] == pytest.approx(100 * float(hits))

    maps = json.loads((tmp_path / 'categories_maps.json').read_text())
    for values in maps['neighbors'].values():
        assert 0.3 < values['chance'] < 1
        assert 0 <= values['same'] <= 1
    assert (tmp_path / 'categories_maps.png').stat().st_size > 10_000


def test_thesis_stands_beside_the_whole_of_diginetica():
    groups = {'x': {'one_share': 0.5, **{
        metric: dict(one=2, several=1, difference=-1, low=-2, high=0)
        for metric in ('HR@20', 'MRR@20')
    }}}  # fmt: skip
    overall = {'HR@20': 1.5, 'MRR@20': 1.5}
    lines = categories.table(groups, overall, categories.THESIS['diginetica'])
    assert lines[1][2:5] == ['2.00', '1.00', '-1.00 [-2.00, +0.00]']
    assert lines[2][2:5] == ['52.87', '46.80', '-6.07']
    assert len({len(line) for line in lines}) == 1


@pytest.mark.data
def test_shares_on_diginetica(shared_data, tmp_path):
    root = shared_data('diginetica')
    test = Diginetica(root, 'test', processed_root=str(tmp_path))
    labels = samples.several_categories(test)
    # Whole sessions, each once: the statistic of Table 4.2 needs the same.
    session = per_session(test)
    whole = torch.zeros(test.sessions).index_put_(
        (session,), labels['whole session'].float()
    )
    items = test.flat_sessions.item.split(test.flat_sessions.length.tolist())
    expected = [test.categories[x].unique().numel() > 1 for x in items]
    assert whole.bool().tolist() == expected
