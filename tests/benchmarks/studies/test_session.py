from itertools import pairwise

import pytest
import torch
from scipy.stats import spearmanr

from benchmarks.experiments import study
from benchmarks.studies import (
    samples,
    session_lists,
    session_matrix,
    session_modes,
)
from benchmarks.studies.samples import draw_samples
from pyg_sessaug.transforms import NormalizeEdges


def start(tiny_run, *options):
    parser = study.arguments('x', '')
    samples.add_arguments(parser)
    args = study.start(parser, ['--run', str(tiny_run), *options])
    return args, study.experiment(args, ['base', 'i2i'])


@pytest.fixture(scope='module')
def runs(tiny_run):
    return start(tiny_run)[1]


@pytest.fixture
def sample(runs):
    """Options that choose a session with repeated items."""
    test = runs.data['test']
    for i in range(len(test)):
        item = clicks(test[i])
        if len(item) == 6 and len(set(item)) == 4:
            return ['--sample', i]
    raise AssertionError('no such session')


def clicks(data):
    return data.x[data.click_index].tolist()


def test_chosen_session_is_as_asked_for(tiny_run):
    args, runs = start(tiny_run, '--clicks', '2', '--items', '2')
    test = runs.data['test']
    fitting = []
    for i in range(len(test)):
        item = clicks(test[i])
        category = test.categories[[*item, int(test[i].y)]]
        ranks = [
            torch.load(tiny_run / 'models' / f'seed0-{name}.pt')['rank'][i]
            for name in ('base', 'i2i')
        ]
        if (
            (len(item), len(set(item))) == (2, 2)
            and category.unique().numel() == 1
            and max(ranks) <= 20
        ):
            fitting.append(i)
    index = samples.choose(args, runs)
    assert index in fitting
    assert samples.choose(args, runs) == index
    args.sample = 7
    assert samples.choose(args, runs) == 7


def test_session_that_is_not_there(tiny_run):
    args, runs = start(tiny_run, '--clicks', '3', '--items', '9')
    with pytest.raises(ValueError, match=r'3 clicks on 9 items.*--sample'):
        samples.choose(args, runs)
    args.sample = 10**6
    with pytest.raises(ValueError, match='--sample 1000000 is beyond'):
        samples.choose(args, runs)


def test_session_matrix(run_study, tiny_run, runs, sample):
    found = run_study(session_matrix, '--run', tiny_run, *sample)
    test, session = runs.data['test'], found['session']
    data = test[session['sample']]
    item = clicks(data)
    assert [session['items'][i - 1] for i in session['clicks']] == [
        int(test.item_ids[i]) for i in item
    ]
    assert session['target'] == int(test.item_ids[data.y])
    # Row by row, the share of each next item among the different ones:
    node = session['clicks']
    size = max(node)
    plain = torch.zeros(size, size)
    for a, b in pairwise(node):
        plain[a - 1, b - 1] = 1
    plain /= plain.sum(dim=1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(torch.tensor(found['base_matrix']), plain)
    drawn = torch.tensor(found['augmented_matrix'])
    noise = drawn[plain == 0]
    assert 0 < float((noise != 0).double().mean()) < 1
    assert float(noise.abs().max()) < 0.07  # Five deviations of the blur.
    base, augmented = (
        study.model(runs, x).item_embedding.detach() for x in ('base', 'i2i')
    )
    for edge in found['edges']:
        a, b = (data.x[edge[key] - 1] for key in ('from', 'to'))
        assert plain[edge['from'] - 1, edge['to'] - 1] > 0
        for key, e in (('base', base), ('augmented', augmented)):
            assert edge[key] == pytest.approx(float((e[a] - e[b]).norm()))
    seen = test.seen_items
    largest = float(torch.pdist(augmented[seen].double()).max())
    assert found['largest']['augmented'] == pytest.approx(largest)
    sessions = test.flat_sessions
    pairs = {
        (a, b)
        for x in sessions.item.split(sessions.length.tolist())
        for a, b in pairwise(x.tolist())
        if a != b
    }
    assert found['pairs'] == len(pairs)
    a, b = torch.tensor(sorted(pairs)).t()
    expected = spearmanr(
        *((e[a] - e[b]).norm(dim=1) for e in (base, augmented))
    ).statistic
    assert found['correlation'] == pytest.approx(expected, abs=1e-4)


def test_diameter_over_several_blocks(monkeypatch):
    monkeypatch.setattr(session_matrix, 'BLOCK', 7)
    points = torch.randn(30, 4)
    expected = float(torch.pdist(points.double()).max())
    assert session_matrix.diameter(points) == pytest.approx(expected)


def test_session_lists(run_study, tiny_run, runs, sample):
    found = run_study(
        session_lists,
        *('--run', tiny_run, '--methods', 'kmeans', '--sessions', 15, *sample),
    )
    test, index = runs.data['test'], found['session']['sample']
    embedding = study.model(runs).item_embedding.detach()
    torch.manual_seed(0)
    many = draw_samples(test, 15)
    assert found['sessions'] == 15
    mean = {}
    for name in ('base', 'i2i', 'kmeans'):
        model = study.model(runs, name)
        sums = []
        for i in [index, *many.tolist()]:
            data = NormalizeEdges()(test[i])
            order = model.score(data)[0].argsort(descending=True)[:20]
            y = int(data.y)
            gap = [
                float((embedding[j] - embedding[y]).norm())
                for j in order.tolist()
                if j != y
            ]
            sums.append(gap)
            if i == index and len(sums) == 1:
                place = [*order.tolist(), y].index(y) + 1
                place = place if place <= 20 else None
                assert found['lists'][name]['target_at'] == place
        total = torch.tensor(sums[0]).cumsum(0).tolist()
        assert found['lists'][name]['cumulative'] == pytest.approx(
            total, rel=1e-4
        )
        mean[name] = sum(sum(x) / len(x) for x in sums[1:]) / 15
        assert found['mean'][name]['mean'] == pytest.approx(mean[name], 1e-4)
    row = found['mean']['kmeans']
    expected = mean['kmeans'] - mean['base']
    assert row['difference'] == pytest.approx(expected, abs=1e-4)
    assert row['low'] < row['difference'] < row['high']


def test_target_outside_the_list_has_no_place():
    assert session_lists._place([4, 2], 2) == 2
    assert session_lists._place([4, 2], 3) is None
    row = {'target_at': None, 'cumulative': [1.0] * 20}
    results = {'lists': {'base': row}, 'mean': {'base': {'mean': 1.0}}}
    assert session_lists.table(results)[1][:2] == ['base', '–']


def test_session_modes(run_study, tiny_run, runs, sample):
    options = ('--clusters', 'kmeans', '--num-clusters', 3, *sample)
    found = run_study(session_modes, '--run', tiny_run, *options)
    test = runs.data['test']
    data = test[found['session']['sample']]
    embedding = study.model(runs).item_embedding.detach()
    clusters, _ = session_modes.fit(runs, embedding, 'kmeans', 3)
    distance = torch.cdist(embedding, clusters.centers)
    nearest = distance.argmin(dim=1) + 1
    assert found['modes'] == nearest[clicks(data)].tolist()
    assert found['target_mode'] == int(nearest[data.y])
