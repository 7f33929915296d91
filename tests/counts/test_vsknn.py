import math
from collections import Counter
from itertools import chain

import pytest
import torch

from benchmarks.experiments.datasets import YooChoose100k
from pyg_sessaug.counts import VSKNN
from pyg_sessaug.data.graphs import list_batch
from pyg_sessaug.data.sessions import Sessions
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


def neighbors(model, train, session):
    """Number and vote of the sessions that vote."""
    newest_first = range(len(train) - 1, -1, -1)
    shared = [n for n in newest_first if set(train[n]) & set(session)]
    found = []
    for n in shared[: model.sample_size]:
        similarity = 0.0
        for place, item in enumerate(session, start=1):
            if item in train[n] and item not in session[place:]:
                similarity += DECAY[model.weighting](place, len(session))
        steps = [
            step
            for step, item in enumerate(reversed(session), start=1)
            if item in train[n]
        ]
        if similarity > 0:
            decay = SCORE_DECAY[model.weighting_score](min(steps))
            # Rounded, or the last bits would break ties.
            found.append((n, round(similarity, 9), decay))
    # Stable: of equally similar sessions the newer ones stay in front.
    found = sorted(found, key=lambda x: -x[1])[: model.k]
    return [(n, similarity * decay) for n, similarity, decay in found]


def scores(model, train, sessions, older=None):
    """The formulas, neighbour by neighbour, with sessions older than some."""
    out = []
    for i, session in enumerate(sessions):
        known = others = train
        if older is not None:
            known = train[: older[i]]
            others = known + train[older[i] + 1 :]
        clicks = Counter(chain(*others))
        score = [0.0] * model.num_items
        for n, vote in neighbors(model, known, session):
            for item in set(train[n]):
                score[item] += vote
        for item, count in clicks.items():
            idf = math.log(len(others) / count)
            score[item] *= 1 + model.idf_weighting * idf
        out.append(score)
    return torch.tensor(out)


@pytest.mark.parametrize(
    'options',
    [
        (),
        (1, 1),
        (5, 20, 'same', 'same', 0.0),
        (7, 30, 'linear', 'linear', 1.0),
        (10, 50, 'quadratic', 'quadratic', 10.0),
        (3, 10, 'log', 'log', 2.0),
        (9, 40, 'log', 'quadratic', 5.0),
    ],
)
def test_formula(options):
    model = VSKNN(NUM_ITEMS, *options).update(flat(TRAIN))
    out = model.score(batch(LATER))
    expected = scores(model, TRAIN, prefixes(LATER))
    torch.testing.assert_close(out, expected)
    assert out.count_nonzero() == expected.count_nonzero()
    # Parts of a training session know sessions older than their own.
    data = parts(TRAIN)
    out = model.score(data)
    expected = scores(
        model, TRAIN, prefixes(TRAIN), older=data.session.tolist()
    )
    torch.testing.assert_close(out, expected)
    assert out.count_nonzero() == expected.count_nonzero()


def test_a_session_does_not_count_for_its_own_parts():
    first, last = [[0, 1], [0, 2], [3, 1]], [0, 1, 1, 2]
    model = VSKNN(6).update(flat([*first, last]))
    data = parts([last])
    data.session[:] = 3
    # As if it had not been there, whatever its clicks are.
    expected = VSKNN(6).update(flat(first)).score(parts([last]).update(
        {'session': torch.full_like(data.session, -1)}
    ))  # fmt: skip
    torch.testing.assert_close(model.score(data), expected)


def test_by_hand():
    train = flat([[0, 1], [1, 2, 2], [0, 3], [4, 5]])
    data = batch([[1, 0, 5]], torch.tensor([1]))
    # Session 2 shares the last click, and 0 and 1 the one before it, with
    # session 0 sharing both: similarity and vote 1.5.
    model = VSKNN(6, k=2, idf_weighting=0.0).update(train)
    assert model.score(data).tolist() == [[2.5, 1.5, 0.0, 1.0, 0.0, 0.0]]
    # Of the newest two, session 1 shares the click before the last.
    model = VSKNN(6, sample_size=2, idf_weighting=0.0).update(train)
    assert model.score(data).tolist() == [[1.0, 0.25, 0.25, 1.0, 0.0, 0.0]]
    # 4 sessions, and 2 clicks on all but 3 to 5, which have one.
    model = VSKNN(6, sample_size=2, idf_weighting=3.0).update(train)
    rare, common = 1 + 3 * math.log(4), 1 + 3 * math.log(2)
    expected = [common, common / 4, common / 4, rare, 0.0, 0.0]
    torch.testing.assert_close(model.score(data), torch.tensor([expected]))


def test_of_equally_similar_sessions_the_newest_vote():
    train = flat([[0, 1], [0, 2], [0, 3], [0, 4]])
    model = VSKNN(5, k=2, idf_weighting=0.0).update(train)
    data = batch([[0, 1]])
    assert model.score(data).tolist() == [[2.0, 0.0, 0.0, 1.0, 1.0]]
    # 1/3 + 2/3 is 3/3, in whatever order it is added.
    train = flat([[0, 1], [3, 2], [1, 0]])
    model = VSKNN(4, k=1, idf_weighting=0.0).update(train)
    data = batch([[0, 1, 2, 0]], torch.tensor([2]))
    assert model.score(data).tolist() == [[0.5, 0.5, 0.0, 0.0]]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'k': 0}, 'VSKNN got k=0; pass at least 1'),
        ({'sample_size': 0}, 'VSKNN got sample_size=0; pass at least 1'),
        ({'idf_weighting': -1.0}, 'idf_weighting=-1.0; pass at least 0'),
        ({'weighting': 'cubic'}, "weighting='cubic'; choose one of"),
        ({'weighting_score': ''}, "weighting_score=''; choose one of"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        VSKNN(NUM_ITEMS, **options)


@pytest.mark.data
def test_real_sessions(shared_data, tmp_path):
    root = str(shared_data('yoochoose_100k'))
    options = dict(val_ratio=0.0, processed_root=str(tmp_path))
    train = YooChoose100k(root, 'train', **options)
    test = YooChoose100k(root, 'test', **options)
    model = VSKNN(train.num_items).fit(train)
    # Some samples against the formulas, in the midst of real sessions ...
    flat_sessions = train.flat_sessions
    known = [
        x.tolist()
        for x in flat_sessions.item.split(flat_sessions.length.tolist())
    ]
    some = torch.randperm(len(test))[:10]
    data = test.get_batch(some)
    clicks = [one.x[one.click_index].tolist() for one in data.to_data_list()]
    torch.testing.assert_close(
        model.score(data), scores(model, known, clicks), atol=1e-4, rtol=1e-5
    )
    # ... and all of them by what is known to be reached.
    ranks = [
        target_rank(model.score(data), data.y)
        for data in map(test.get_batch, torch.arange(len(test)).split(64))
    ]
    hits = ranking_metrics(torch.cat(ranks))
    assert hits['HR@20'] > 0.6
    assert hits['MRR@20'] > 0.3


def test_probabilities_where_items_come_often_in_a_session():
    sessions = [[0, 0, 0, 0, 1], [0, 0, 0, 0, 2], [0, 0, 0, 1]] * 5
    length = torch.tensor([len(x) for x in sessions])
    item = torch.tensor([x for session in sessions for x in session])
    model = VSKNN(4)
    ptr = torch.cat([torch.zeros(1, dtype=torch.long), length.cumsum(0)])
    model.update(Sessions(item, ptr))
    batch = list_batch([[1], [0], [2, 0]])
    share = model.log_probability(batch).exp()
    torch.testing.assert_close(share.sum(1), torch.ones(3))
