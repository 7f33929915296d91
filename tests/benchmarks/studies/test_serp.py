import gzip
import json
import random
from collections import Counter

import pytest
import torch

from benchmarks import run
from benchmarks.studies import queries, serp
from tests.datasets.log_files import DAY, START, diginetica_text, write

HEADER = (
    'queryId;sessionId;userId;timeframe;duration;eventdate;'
    'searchstring.tokens;categoryId;items;is.test'
)


def queries_text(rows):
    """Rows (session, timeframe, items) in the official format."""
    lines = [
        f'{i};{session};NA;{time};311;2016-05-09;16655,244087;0;{items};FALSE'
        for i, (session, time, items) in enumerate(rows)
    ]
    return '\n'.join([HEADER, *lines]) + '\n'


def read(tmp_path, text, name='train-queries.csv'):
    data = text.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith('gz') else data)
    return queries.read_queries(str(path))


@pytest.mark.parametrize('name', ['train-queries.csv', 'train-queries.csv.gz'])
def test_first_query_of_each_session(tmp_path, name):
    rows = [(7, 900, '5,6'), (3, 50, '1'), (7, 20, '8,9,4'), (5, 1, '')]
    found = read(tmp_path, queries_text(rows), name)
    assert found.session.tolist() == [3, 5, 7]
    assert found.item.tolist() == [1, 8, 9, 4]
    assert found.ptr.tolist() == [0, 1, 1, 4]


@pytest.mark.parametrize(
    'text, message',
    [
        (
            queries_text([(1, 2, '3,4'), (1, 2, '3,x')]),
            "row 3 has items '3,x'",
        ),
        (queries_text([(1, 2, '3,,4')]), "row 2 has items '3,,4'"),
        (queries_text([(1, 2, '3,')]), "row 2 has items '3,'"),
        (queries_text([('', 2, '3')]), "row 2 has sessionId ''"),
        (queries_text([('a', 2, '3')]), "row 2 has sessionId 'a'"),
        (queries_text([]), 'has no queries'),
        (queries_text([]).replace(';items', ';goods'), "column 'items'"),
    ],
)
def test_bad_queries(tmp_path, text, message):
    with pytest.raises(ValueError, match=r'train-queries\.csv') as error:
        read(tmp_path, text)
    assert message in str(error.value)


def test_share_in_the_most_common_modes():
    count = torch.tensor([[2.0, 1, 1], [0, 3, 0], [1, 1, 2]])
    by = torch.tensor([[0.0, 5, 1], [4, 0, 0], [1, 1, 0]])
    # Modes 1; 0; the lower of 0 and 1.
    assert serp.share(count, by, 1).tolist() == [0.25, 0, 0.25]
    # Modes 1 and 2; 0 alone, as no other has an item; 0 and 1.
    assert serp.share(count, by, 2).tolist() == [0.5, 0, 0.5]


def test_spread_of_pages_by_hand():
    embedding = torch.tensor([[0.0, 0], [2, 0], [0, 6], [5, 5]])
    page, ptr = torch.tensor([0, 1, 0, 2, 3]), torch.tensor([0, 2, 4, 5])
    # Distances to the centres: 1, 1, 3, 3, 0.
    expected = ((1 + 1 + 9 + 9 + 0) / 5) ** 0.5
    assert serp.page_spread(embedding, page, ptr) == pytest.approx(expected)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Sessions that keep to even or to odd items, and pages that do, too."""
    folder = tmp_path_factory.mktemp('diginetica')
    rng = random.Random(0)
    clicks, queries = [], []
    for session in range(1, 261):
        start = START + rng.randrange(12 * DAY)
        parity = session % 2
        for step in range(rng.randint(2, 5)):
            item = 1000 + 2 * rng.randrange(12) + parity
            clicks.append((session, item, 1000 * start + 1000 * step))
        if session % 3:
            page = [1000 + 2 * i + parity for i in range(12)]
            rng.shuffle(page)
            ids = ','.join(map(str, [*page, 99]))  # 99 is unknown.
            queries.append((session, 5, ids))
            queries.append((session, 9, '1000,1001'))
    write(folder, 'train-item-views.csv', diginetica_text(clicks))
    write(folder, 'train-queries.csv', queries_text(queries))
    return folder


@pytest.fixture(scope='module')
def trained(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    options = '--hidden 8 --epochs 3 --lr 0.02 --seeds 0 --methods base'
    run.main(
        ['--dataset', 'diginetica', '--root', str(root), *options.split()]
        + ['--output', str(folder)]
    )
    return folder


def test_pages_of_related_items_are_recognised(
    root, trained, tmp_path, monkeypatch
):
    # Clusters that a trained model should find: the parity of the items.
    def parity(runs, *args):
        ids = runs.data['train'].item_ids
        labels = ids % 2
        return serp_clusters(labels), None

    class serp_clusters:
        def __init__(self, labels):
            self.labels = labels

    monkeypatch.setattr(serp, 'fit', parity)
    serp.main(
        ['--root', str(root), '--run', str(trained), '--num-clusters', '2']
        + ['--output', str(tmp_path)]
    )
    found = json.loads((tmp_path / 'serp.json').read_text())
    assert found['page_items'] == 12  # The first query, known items alone.
    shares = found['shares']
    assert shares['first mode']['own'] == 1
    # About half of the other sessions have the same parity.
    assert shares['first mode']['other'] == pytest.approx(0.5, abs=0.2)
    assert shares['first mode']['low'] > 0
    assert shares['first 2 modes']['own'] == 1


def test_serp_against_a_loop(root, trained, tmp_path):
    serp.main(
        ['--root', str(root), '--run', str(trained), '--num-clusters', '3']
        + ['--clusters', 'kmeans', '--output', str(tmp_path)]
    )
    found = json.loads((tmp_path / 'serp.json').read_text())
    runs = serp.study.experiment(
        serp.study.start(
            serp.study.arguments('x', ''),
            ['--root', str(root), '--run', str(trained)],
        )
    )
    test = runs.data['test']
    embedding = serp.study.model(runs).item_embedding.detach()
    labels = serp.fit(runs, embedding, 'kmeans', 3)[0].labels
    mode = dict(zip(test.item_ids.tolist(), labels.tolist()))

    def rows(name):
        lines = (root / 'raw' / name).read_text().splitlines()[1:]
        return [x.split(';') for x in lines]

    page = {}
    for row in rows('train-queries.csv'):
        page.setdefault(row[1], [int(x) for x in row[8].split(',')])
    clicks = rows('train-item-views.csv')
    last = max(x[4] for x in clicks)
    day = int(last[-2:])
    sessions = {}
    for session, _, item, _, date in clicks:
        if int(date[-2:]) > day - 7 and session in page:
            sessions.setdefault(session, []).append(int(item))
    assert last[:7] == min(x[4] for x in clicks)[:7]  # Of one month.
    assert found['sessions'] == len(sessions)
    first, two = [], []
    for session, items in sessions.items():
        count = Counter(mode[x] for x in items)
        order = sorted(count, key=lambda m: (-count[m], m))
        known = [mode[x] for x in page[session] if x in mode]
        first.append(sum(m == order[0] for m in known) / len(known))
        two.append(sum(m in order[:2] for m in known) / len(known))
    for key, values in (('first mode', first), ('first 2 modes', two)):
        expected = sum(values) / len(values)
        assert found['shares'][key]['own'] == pytest.approx(expected)


def test_files_that_are_not_there(root, trained, tiny_run, tmp_path):
    with pytest.raises(ValueError, match='official log'):
        serp.main(['--run', str(tiny_run), '--output', str(tmp_path)])
    options = ['--root', str(root), '--run', str(trained)]
    with pytest.raises(FileNotFoundError, match='nowhere'):
        serp.main([*options, '--queries', str(tmp_path / 'nowhere.csv')])
    other = tmp_path / 'other.csv'
    other.write_text(queries_text([(9999, 1, '1000')]))
    with pytest.raises(ValueError, match='no session of the test period'):
        serp.main([*options, '--queries', str(other)])
