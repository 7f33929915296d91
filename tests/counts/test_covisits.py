import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.experiments.datasets import YooChoose100k
from pyg_sessaug import Recommender
from pyg_sessaug.counts import CoVisits
from pyg_sessaug.metrics import ranking_metrics, target_rank
from tests.counts.logs import (
    LATER,
    NUM_ITEMS,
    TRAIN,
    batch,
    flat,
    parts,
    prefixes,
)

OTHER = dict(
    max_gap=3,
    gap_power=0.5,
    tau=0.3,
    backward=0.4,
    item_power=0.6,
    row_power=0.2,
    click_decay=0.9,
    num_clicks=4,
    repeat=2.0,
    folds=3,
)


def scores(model, train, sessions, left_out=-1):
    """The formulas, pair by pair."""
    n = model.num_items
    count = [[0.0] * n for _ in range(n)]
    clicks = [0] * n
    for s, session in enumerate(train):
        if s % model.folds == left_out:
            continue
        age = (len(train) - 1 - s) / len(train)
        for q, j in enumerate(session):
            clicks[j] += 1
            for p in range(max(0, q - model.max_gap), q):
                weight = (q - p) ** -model.gap_power
                weight *= math.exp(-age / model.tau)
                count[session[p]][j] += weight
                count[j][session[p]] += model.backward * weight
    table = [
        [c * (m + 3) ** -model.item_power for c, m in zip(row, clicks)]
        for row in count
    ]
    table = [
        [value * (sum(row) + 1) ** -model.row_power for value in row]
        for row in table
    ]
    out = []
    for session in sessions:
        score = [0.0] * n
        for ago, i in enumerate(session[::-1][: model.num_clicks]):
            for j in range(n):
                score[j] += model.click_decay**ago * table[i][j]
        for i in set(session):
            score[i] *= model.repeat
        out.append(score)
    return torch.tensor(out)


@pytest.mark.parametrize('options', [{}, OTHER])
def test_formula(options):
    model = CoVisits(NUM_ITEMS, **options).update(flat(TRAIN))
    out = model.score(batch(LATER))
    expected = scores(model, TRAIN, prefixes(LATER))
    torch.testing.assert_close(out, expected)
    assert out.count_nonzero() == expected.count_nonzero()


@settings(max_examples=50, deadline=None)
@given(
    sessions=st.lists(
        st.lists(st.integers(0, 5), min_size=2, max_size=20), min_size=1
    )
)
def test_formula_on_any_log(sessions):
    model = CoVisits(6).update(flat(sessions))
    expected = scores(model, sessions, prefixes(sessions))
    torch.testing.assert_close(model.score(batch(sessions)), expected)


def test_by_hand():
    # Session 0 has the age 1/2: pairs (0, 1), (1, 2) and, at a gap of 2,
    # (0, 2). Session 1 has the age 0 and the pair (2, 2).
    model = CoVisits(
        3, gap_power=1.0, item_power=0.0, row_power=0.0, backward=0.0
    ).update(flat([[0, 1, 2], [2, 2]]))
    old = math.exp(-0.5)
    out = model.score(batch([[0, 1, 2, 1]]))
    expected = [
        [0, old, old / 2],
        [0, 9 * 0.6 * old, old + 0.3 * old],
        [0, 9 * 0.36 * old, 9 * (1 + 0.6 * old + 0.18 * old)],
    ]
    torch.testing.assert_close(out, torch.tensor(expected))


@pytest.mark.parametrize('options', [{}, OTHER])
def test_parts_of_counted_sessions_are_scored_without_their_fold(options):
    model = CoVisits(NUM_ITEMS, **options).update(flat(TRAIN))
    data = parts(TRAIN)
    out = model.score(data)
    outside = model.score(batch(LATER))
    for fold in range(model.folds):
        member = data.session % model.folds == fold
        expected = scores(model, TRAIN, prefixes(TRAIN), fold)[member]
        torch.testing.assert_close(out[member], expected)
        assert out[member].count_nonzero() == expected.count_nonzero()
    # Others are scored by all folds, now as before.
    assert model.score(batch(LATER)).equal(outside)


def test_steps_click_by_click():
    model = CoVisits(NUM_ITEMS).update(flat(TRAIN))
    for sessions in (TRAIN, [*TRAIN, *LATER]):
        item = [i for session in sessions for i in session]
        last, steps = -1, [[] for _ in range(NUM_ITEMS)]
        for session in sessions:
            for click in range(last + 1, last + len(session)):
                steps[item[click]].append(click)
            last += len(session)
        step, ptr = model.steps()
        assert [x.tolist() for x in step.tensor_split(ptr[1:-1])] == steps
        if sessions is TRAIN:
            model.update(flat(LATER))


def test_more_folds_than_sessions():
    model = CoVisits(3, folds=9).update(flat([[0, 1, 2]]))
    assert model.score(parts([[0, 1, 2]])).count_nonzero() == 0


@pytest.mark.parametrize(
    'options',
    [
        {'max_gap': 0},
        {'num_clicks': 0},
        {'folds': 1},
        {'tau': 0.0},
        {'max_gap': 10**9},
        {'num_clicks': 10_001},
        {'folds': 10**6},
        {'max_gap': math.nan},
    ],
)
def test_wrong_options(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f'CoVisits got {name}={value}; '):
        CoVisits(NUM_ITEMS, **options)


def test_a_gap_longer_than_any_session():
    longest = max(map(len, TRAIN)) - 1
    out, expected = (
        CoVisits(NUM_ITEMS, max_gap=gap)
        .update(flat(TRAIN))
        .score(batch(LATER))
        for gap in (10_000, longest)
    )
    assert out.equal(expected)


def test_a_file_asks_for_no_work_without_an_end(tmp_path):
    path = str(tmp_path / 'counts.pt')
    counts = CoVisits(NUM_ITEMS).update(flat(TRAIN))
    Recommender(counts, list(range(NUM_ITEMS))).save(path)
    state = torch.load(path, weights_only=True)
    state['settings']['max_gap'] = 10**12
    torch.save(state, path)
    with pytest.raises(ValueError, match='max_gap=1000000000000'):
        Recommender.load(path)


@pytest.mark.data
def test_real_sessions(shared_data, tmp_path):
    root = str(shared_data('yoochoose_100k'))
    options = dict(val_ratio=0.0, processed_root=str(tmp_path))
    train = YooChoose100k(root, 'train', **options)
    test = YooChoose100k(root, 'test', **options)
    model = CoVisits(train.num_items).fit(train)

    def metrics(dataset, index, own=True):
        ranks = []
        for part in index.split(64):
            data = dataset.get_batch(part)
            if not own:
                del data.session
            ranks.append(target_rank(model.score(data), data.y))
        return ranking_metrics(torch.cat(ranks))

    hits = metrics(test, torch.arange(len(test)))
    assert hits['HR@20'] > 0.6
    assert hits['MRR@20'] > 0.3
    # Counts that hold the session itself know its end; those of the other
    # folds are as good as on sessions to come.
    some = torch.randperm(len(train))[:2000]
    fitted, honest = metrics(train, some, own=False), metrics(train, some)
    assert fitted['HR@20'] > honest['HR@20'] + 0.1
    assert honest['HR@20'] < hits['HR@20'] + 0.1
    # A shop that adds day by day has what one that starts anew has.
    flat_sessions = train.flat_sessions
    half = flat_sessions.num_sessions // 2
    grown = CoVisits(train.num_items)
    for session in (
        torch.arange(half),
        torch.arange(half, flat_sessions.num_sessions),
    ):
        grown.update(flat_sessions.select(session))
    data = test.get_batch(torch.arange(64))
    assert grown.score(data).equal(model.score(data))
