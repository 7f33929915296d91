"""A day of sessions, counted without training."""

import csv
from types import SimpleNamespace

import pytest
import torch

from pyg_sessaug import Recommender, evaluate
from pyg_sessaug.counts import VSKNN, CoVisits
from pyg_sessaug.data.graphs import session_batch
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import SessionLog
from pyg_sessaug.datasets.arguments import check_same_split
from pyg_sessaug.nn import SRGNN, Blend
from pyg_sessaug.transforms import NormalizeEdges

IDS = ['a', 'b', 'c', 'd', 'e']
FIRST = ['abc', 'bcd', 'aab', 'dc']
#: x, y and z are unknown: two sessions are left with too few clicks.
SECOND = ['cxd', 'xa', 'eab', 'xy', 'zeeb']
KNOWN = ['cd', 'eab', 'eeb']
LATER_IDS = [*'yexbdcaz']


def log(sessions, ids):
    item = torch.tensor([ids.index(x) for s in sessions for x in s])
    length = torch.tensor([len(s) for s in sessions])
    flat = Sessions.from_lengths(item, length)
    return SimpleNamespace(
        item_ids=ids, flat_sessions=flat, __len__=lambda: flat.num_samples
    )


def counted(cls, sessions):
    flat = log(sessions, IDS).flat_sessions
    return cls(len(IDS)).update(flat)


def scores(model):
    item = torch.tensor([0, 1, 2, 2, 3, 4])
    batch = NormalizeEdges()(session_batch(item, torch.tensor([3, 1, 2])))
    with torch.no_grad():
        return model.score(batch)


def popularity(sessions):
    return torch.tensor([''.join(sessions).count(x) for x in IDS])


@pytest.mark.parametrize('cls', [CoVisits, VSKNN])
@pytest.mark.parametrize('blend', [0, 1, 2])
def test_counts_are_those_of_all_sessions(cls, blend, tmp_path):
    def make(sessions):
        model = counted(cls, sessions)
        for _ in range(blend):
            torch.manual_seed(0)
            model = Blend([SRGNN(5, 4).eval(), model], [0.3, 0.7])
        return Recommender(model, IDS, popularity(sessions))

    recommender, whole = make(FIRST), make(FIRST + KNOWN)
    recommender.recommend(['x'])  # What is popular is kept from now on.
    report = recommender.update(log(SECOND, LATER_IDS))
    assert report == {
        'sessions': 3,
        'clicks': 8,
        'unknown': 5,
        'short': 2,
    }
    assert torch.equal(recommender.popularity, whole.popularity)
    assert torch.equal(scores(recommender.model), scores(whole.model))
    asked = [[*'ab'], ['x'], [*'edc']]
    assert recommender.recommend(asked) == whole.recommend(asked)
    recommender.save(tmp_path / 'a.pt')
    again = Recommender.load(tmp_path / 'a.pt')
    assert again.recommend(asked) == whole.recommend(asked)
    assert again.about['updates'] == 1


def test_networks_stay_and_only_the_last_clicks_count():
    torch.manual_seed(0)
    model = SRGNN(5, 4).eval()
    before = scores(model)
    short = Recommender(
        Blend([model, counted(CoVisits, FIRST)]),
        IDS,
        popularity(FIRST),
        max_length=2,
    )
    short.update(log(SECOND, LATER_IDS))
    assert torch.equal(scores(model), before)
    cut = [x[-2:] for x in KNOWN]
    assert torch.equal(short.popularity, popularity(FIRST + cut))
    expected = scores(counted(CoVisits, FIRST + cut))
    assert torch.equal(scores(short.model.members[1]), expected)
    # Without a popularity there is none afterwards either.
    other = Recommender(model, IDS)
    other.update(log(SECOND, LATER_IDS))
    assert other.popularity is None


def test_ids_are_compared_as_texts():
    numbers = Recommender(SRGNN(3, 4), [7, 8, 9], torch.zeros(3))
    numbers.update(log(['787', '9x'], [*'78x9']))
    assert numbers.popularity.tolist() == [2, 1, 0]
    texts = Recommender(SRGNN(2, 4), ['7', '07'], torch.zeros(2))
    later = log(['77'], ['7'])
    later.item_ids = torch.tensor([7])
    texts.update(later)
    assert texts.popularity.tolist() == [2, 0]
    with pytest.raises(ValueError, match="none of the 1 items, such as 'x'"):
        texts.update(log(['xx'], ['x']))
    assert texts.about['updates'] == 1


def test_a_log_of_today_is_no_longer_for_testing(tmp_path):
    (tmp_path / 'raw').mkdir()
    with open(tmp_path / 'raw' / 'clicks.csv', 'w', newline='') as f:
        writer = csv.writer(f)
        writer.writerow(['session_id', 'item_id', 'time'])
        for number in range(200):
            for click in range(3):
                item = (number + click) % 7
                writer.writerow([number, item, 7200 * number + click])
    train, test = (
        SessionLog(str(tmp_path), x, test_days=2) for x in ('train', 'test')
    )
    recommender = Recommender.from_dataset(
        CoVisits(train.num_items).fit(train), train
    )
    before = evaluate(recommender, test)
    assert check_same_split('a.pt', recommender.about, test) is None
    recommender.update(test)
    assert recommender.model.num_sessions == train.sessions + test.sessions
    assert evaluate(recommender, test)['MRR@20'] >= before['MRR@20']
    with pytest.raises(ValueError, match='1 updates by newer sessions'):
        check_same_split('a.pt', recommender.about, test)
