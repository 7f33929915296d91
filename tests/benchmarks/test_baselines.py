import json
import math
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch

from benchmarks import baselines
from benchmarks.experiments.knn import (
    VSKNN,
    Index,
    neighbours,
    rank_cooccurrence,
    rank_pop,
    rank_spop,
    rank_vsknn,
    sparse_rank,
)
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.metrics import ranking_metrics, target_rank

NUM_ITEMS = 30
UNKNOWN = (28, 29)


def make(sessions):
    length = torch.tensor([len(s) for s in sessions])
    return Sessions.from_lengths(torch.tensor([*chain(*sessions)]), length)


def draw(num_sessions, items, seed):
    generator = torch.Generator().manual_seed(seed)
    length = torch.randint(2, 9, (num_sessions,), generator=generator)
    # Squared: some items are far more popular than others.
    draws = torch.rand(int(length.sum()), generator=generator) ** 2
    return [x.tolist() for x in (draws * items).long().split(length.tolist())]


@pytest.fixture(scope='module')
def train():
    return draw(120, NUM_ITEMS - len(UNKNOWN), 0)


@pytest.fixture(scope='module')
def later():
    return [
        *draw(40, NUM_ITEMS, 1),
        [28, 29, 3, 29, 28],
        [29, 0],
        [5, 29],
        # Longer than any linear decay.
        [i % 7 for i in range(25)],
    ]


def samples(later):
    return [(s[:i], s[i]) for s in later for i in range(1, len(s))]


def ranks(later, score):
    """Ranks by dense scores, those of all items from each prefix."""
    dense = torch.tensor(
        [score(prefix) for prefix, _ in samples(later)], dtype=torch.double
    )
    target = torch.tensor([y for _, y in samples(later)])
    return target_rank(dense, target).tolist()


def test_popularity(train, later):
    clicks = Counter(chain(*train))
    index = Index(make(train), NUM_ITEMS)
    items = range(NUM_ITEMS)

    def popular(prefix):
        return [clicks[i] for i in items]

    def popular_in_session(prefix):
        return [10_000 * prefix.count(i) + clicks[i] for i in items]

    assert rank_pop(index, make(later)).tolist() == ranks(later, popular)
    out = rank_spop(index, make(later)).tolist()
    assert out == ranks(later, popular_in_session)


def test_cooccurrence(train, later):
    def score(prefix):
        last = prefix[-1]
        return [
            sum(last in s and i in s for s in train) if i != last else 0
            for i in range(NUM_ITEMS)
        ]

    index = Index(make(train), NUM_ITEMS)
    out = rank_cooccurrence(index, make(later)).tolist()
    assert out == ranks(later, score)


DECAY = {
    'same': lambda place, length: 1.0,
    'div': lambda place, length: place / length,
    'linear': lambda place, length: max(0.0, 1 - 0.1 * (length - place)),
    'quadratic': lambda place, length: (place / length) ** 2,
    'log': lambda place, length: 1 / math.log10(length - place + 1.7),
}
SCORE_DECAY = {
    'same': lambda step: 1.0,
    'div': lambda step: 1 / step,
    'linear': lambda step: max(0.0, 1 - 0.1 * step),
    'quadratic': lambda step: 1 / step**2,
    'log': lambda step: 1 / math.log10(step + 1.7),
}


def naive_neighbours(train, prefix, options):
    """Number, similarity and decay of the sessions that vote."""
    newest_first = range(len(train) - 1, -1, -1)
    shared = [n for n in newest_first if set(train[n]) & set(prefix)]
    found = []
    for n in shared[: options.sample_size]:
        similarity = 0.0
        for place, item in enumerate(prefix, start=1):
            if item in train[n] and item not in prefix[place:]:
                similarity += DECAY[options.weighting](place, len(prefix))
        steps = [
            step
            for step, item in enumerate(reversed(prefix), start=1)
            if item in train[n]
        ]
        if similarity > 0:
            decay = SCORE_DECAY[options.weighting_score](min(steps))
            found.append((n, similarity, decay))
    # Stable: of equally similar sessions the newer ones stay in front.
    return sorted(found, key=lambda x: -x[1])[: options.k]


@pytest.mark.parametrize(
    'options',
    [
        VSKNN(),
        VSKNN(k=1, sample_size=1),
        VSKNN(5, 20, 'same', 'same'),
        VSKNN(7, 30, 'linear', 'linear', 1.0),
        VSKNN(10, 50, 'quadratic', 'quadratic', 10.0),
        VSKNN(3, 10, 'log', 'log', 2.0),
        VSKNN(9, 40, 'log', 'quadratic', 5.0),
    ],
)
def test_vsknn(train, later, options):
    clicks = Counter(chain(*train))
    index = Index(make(train), NUM_ITEMS)
    for prefix, _ in samples(later):
        session, vote = neighbours(index, np.array(prefix), options)
        found = sorted(naive_neighbours(train, prefix, options))
        assert session.tolist() == [n for n, _, _ in found]
        assert vote.tolist() == pytest.approx([s * d for _, s, d in found])

    def score(prefix):
        out = [0.0] * NUM_ITEMS
        for n, similarity, decay in sorted(
            naive_neighbours(train, prefix, options)
        ):
            for item in set(train[n]):
                out[item] += similarity * decay
        for item, count in clicks.items():
            idf = np.log(len(train) / count)
            out[item] *= 1 + options.idf_weighting * idf
        return out

    out = rank_vsknn(index, make(later), options).tolist()
    assert out == ranks(later, score)


def test_vsknn_by_hand():
    train = [[0, 1], [1, 2, 2], [0, 3], [4, 5]]
    index = Index(make(train), 6)
    # Session 2 shares the last click, and 0 and 1 the one before it.
    out = neighbours(index, np.array([1, 0]), VSKNN(k=2))
    assert out[0].tolist() == [0, 2]
    assert out[1].tolist() == [1.5, 1.0]
    out = neighbours(index, np.array([1, 0]), VSKNN(sample_size=2))
    assert out[0].tolist() == [1, 2]
    assert out[1].tolist() == [0.25, 1.0]
    # 0 and 3 have the vote 1, 1 and 2 a quarter; the others none.
    ranks = [
        int(rank_vsknn(index, make([[1, 0, y]]), VSKNN(sample_size=2))[-1])
        for y in range(6)
    ]
    assert ranks == [1, 3, 4, 2, 5, 6]


@pytest.mark.parametrize('seed', range(5))
def test_sparse_ranks_are_dense_ones(seed):
    rng = np.random.default_rng(seed)
    item = rng.permutation(12)[:5]
    for score in (
        rng.integers(1, 3, 5).astype(float),
        rng.integers(-2, 3, 5).astype(float),
        np.full(5, -1.0),
    ):
        dense = torch.zeros(12, 12, dtype=torch.double)
        dense[:, torch.from_numpy(item)] = torch.from_numpy(score)
        out = [sparse_rank(y, item, score, 12) for y in range(12)]
        assert out == target_rank(dense, torch.arange(12)).tolist()
        assert sorted(out) == list(range(1, 13))
    assert sparse_rank(3, item[:0], score[:0], 12) == 4


@pytest.mark.usefixtures('tiny_sessions')
def test_results_follow_from_ranks(tmp_path):
    baselines.main(
        ['--root', str(tmp_path / 'data'), '--output', str(tmp_path / 'out')]
        + '--add-validation --k 5 50 --weighting div log'.split()
    )
    text = (tmp_path / 'out' / 'results.json').read_text()
    assert str(tmp_path) not in text
    results = json.loads(text)
    rows = {
        row['baseline'] + '-all' * row['add_validation']: row
        for row in results['test']
    }
    assert len(rows) == 8
    for name, row in rows.items():
        state = torch.load(
            tmp_path / 'out' / 'ranks' / f'{name}.pt', weights_only=True
        )
        assert state['rank'].numel() == results['data']['test']['samples']
        for metric, value in ranking_metrics(state['rank'].long()).items():
            assert row[metric] == pytest.approx(100 * value)
    assert rows['pop']['MRR@20'] != rows['pop-all']['MRR@20']
    # Validation chose, and of equally good parameters the first.
    assert len(results['validation']) == 4
    best = max(results['validation'], key=lambda row: row['MRR@20'])
    chosen = results['settings']['vsknn']
    assert chosen == {key: best[key] for key in VSKNN._fields}
    assert chosen['sample_size'] == 1000
    table = (tmp_path / 'out' / 'table.md').read_text()
    assert f'| {rows["vsknn"]["HR@20"]:.2f} ' in table


@pytest.mark.usefixtures('tiny_sessions')
def test_one_setting_needs_no_validation(tmp_path):
    baselines.main(
        ['--root', str(tmp_path / 'data'), '--output', str(tmp_path / 'out')]
        + '--baselines vsknn --k 5 --fraction 0.5'.split()
    )
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert results['validation'] == []
    assert results['settings']['vsknn']['k'] == 5
    assert [row['baseline'] for row in results['test']] == ['vsknn']
    assert results['settings']['fraction'] == 0.5


def test_published_parameters_are_the_default():
    assert baselines.parse_args([]).grid == list(baselines.PUBLISHED)
    grid = baselines.parse_args('--idf-weighting 0 2'.split()).grid
    assert grid == [VSKNN(), VSKNN(idf_weighting=2.0)]


@pytest.mark.parametrize(
    'line, message',
    [
        ('--k 0', 'must be at least 1'),
        ('--idf-weighting -1', 'must be 0 or more'),
        ('--weighting cubic', 'invalid choice'),
        ('--fraction 2', 'must be in (0, 1]'),
        ('--baselines knn', 'invalid choice'),
    ],
)
def test_wrong_options(line, message, capsys):
    with pytest.raises(SystemExit):
        baselines.parse_args(line.split())
    assert message in capsys.readouterr().err


def test_missing_files_end_with_a_message(tmp_path):
    line = ['--dataset', 'otto', '--root', str(tmp_path), '--output']
    with pytest.raises(SystemExit, match=r'^error: '):
        baselines.main([*line, str(tmp_path / 'out')])
