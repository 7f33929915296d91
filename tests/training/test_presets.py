"""What training does by itself, on logs small and large."""

import csv
import inspect
import random
import warnings

import pytest
import torch
from torch.utils.data import Subset

from pyg_sessaug import evaluate, fit
from pyg_sessaug.datasets import MultimodalSessions, SessionLog
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import preset

HOUR = 3600


def write(root, sessions, **options):
    """The three splits of a log of one session an hour."""
    (root / 'raw').mkdir()
    with open(root / 'raw' / 'clicks.csv', 'w', newline='') as f:
        writer = csv.writer(f)
        writer.writerow(['session_id', 'item_id', 'time'])
        for number, items in enumerate(sessions):
            for click, item in enumerate(items):
                writer.writerow([number, item, HOUR * number + 60 * click])
    return [
        SessionLog(str(root), split, **options)
        for split in ('train', 'val', 'test')
    ]


def walk(follow, num_items, num_sessions, shortest=1):
    """Sessions in which `follow` tells the next item."""
    for _ in range(num_sessions):
        items = [random.randrange(num_items)]
        for _ in range(random.randint(shortest, 6) - 1):
            items.append(follow(items[-1]))
        yield items


def train(splits, **options):
    torch.manual_seed(0)
    train, val, test = splits
    model = SRGNN(train.num_items)
    fit(model, train, val, seed=0, progress=False, **options)
    return model.eval(), test


def test_the_log_of_the_pages(tmp_path):
    """The next item is one of three, so all are among the first five."""
    random.seed(0)

    def follow(item):
        return (item + random.randint(0, 2)) % 30

    splits = write(tmp_path, walk(follow, 30, 400), test_days=2)
    model, test = train(splits, **preset('auto', splits[0]))
    assert evaluate(model, test, 5)['HR@5'] >= 0.95
    # And the first three, where no preference was learnt, are alike.
    assert evaluate(model, test, 3)['HR@3'] >= 0.9


@pytest.mark.parametrize('num_items', [60, 200])
def test_six_hundred_sessions(tmp_path, num_items):
    """The next item is certain: its place is 1 once it was seen."""
    random.seed(0)
    after = list(range(num_items))
    random.shuffle(after)
    sessions = walk(after.__getitem__, num_items, 600, shortest=2)
    splits = write(tmp_path, sessions)
    model, test = train(splits, **preset('auto', splits[0]))
    reachable = 1 - test.unseen_target_share
    assert evaluate(model, test, 1)['HR@1'] >= 0.95 * reachable


def sizes(n):
    """As much of a data set as a preset looks at."""
    return range(n)


def test_large_logs():
    """Diginetica: settings of accuracy by validation on all of it."""
    assert preset('auto', sizes(647_677)) == dict(
        epochs=5,
        batch_size=256,
        lr=2e-3,
        weight_decay=1e-5,
        patience=5,
        schedule='cosine',
        warmup=200,
    )


@pytest.mark.parametrize(
    'n', [1, 31, 1000, 16_000, 16_001, 50_000, 99_899, 99_901, 10**6]
)
def test_no_log_trains_for_fewer_steps(n):
    chosen = preset('auto', sizes(n))
    steps = -(-n // chosen['batch_size'])
    assert chosen['epochs'] * steps >= 2000
    # No more than one epoch beyond them, unless it is five.
    assert (chosen['epochs'] - 1) * steps < 2000 or chosen['epochs'] == 5
    assert chosen['warmup'] < chosen['epochs'] * steps / 2


def test_thesis_is_what_fit_does_by_itself():
    defaults = {
        name: x.default
        for name, x in inspect.signature(fit).parameters.items()
    }
    defaults['schedule'] = 'steps'
    for name, value in preset('thesis', sizes(1000)).items():
        assert defaults[name] == value


def test_given_arguments_stay():
    given = dict(epochs=3, batch_size=50, lr=0.1, patience=2)
    for name in ('auto', 'thesis'):
        chosen = preset(name, sizes(1000), **given)
        assert {k: chosen[k] for k in given} == given
    # Others suit them: twice the samples a step, twice the epochs.
    few, many = (
        preset('auto', sizes(10_000), batch_size=x)['epochs']
        for x in (50, 100)
    )
    assert many == 2 * few
    assert preset('auto', sizes(9), decay_steps=5)['schedule'] == 'steps'


def test_unknown_or_empty():
    with pytest.raises(ValueError, match=r"preset 'fast'.*'auto'"):
        preset('fast', sizes(9))
    with pytest.raises(ValueError, match='without samples'):
        preset('auto', sizes(0))


@pytest.fixture
def small(tmp_path):
    train, val = (
        MultimodalSessions(tmp_path, x, num_sessions=60, num_items=16)
        for x in ('train', 'val')
    )
    return Subset(train, range(100)), val


def told(small, **options):
    model = SRGNN(16, 4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        fit(model, *small, progress=False, **{**options, 'patience': 1})
    return [str(x.message) for x in caught if x.category is UserWarning]


def test_fit_warns_of_few_steps(small):
    (message,) = told(small, epochs=3, batch_size=10)
    assert 'falls after 20 steps' in message
    assert "**preset('auto', train)" in message
    # Nobody asked for other settings where the rate never falls.
    for options in (
        dict(epochs=2),
        dict(epochs=3, decay_every=3),
        dict(epochs=3, decay=1.0),
        dict(epochs=3, decay_steps=2),
        dict(epochs=3, schedule='steps'),
        dict(epochs=3, schedule='cosine'),
        preset('auto', small[0], epochs=3),
        preset('thesis', small[0], epochs=3),
    ):
        assert told(small, **options) == []


@pytest.mark.parametrize('epochs, warmup', [(1, 25), (2, 50), (4, 100)])
def test_the_rate_rises_for_half_of_the_steps_at_most(epochs, warmup):
    found = preset('auto', range(1600), epochs=epochs)  # 50 steps each.
    assert found['warmup'] == warmup
    assert preset('auto', range(1600))['warmup'] == 100
