import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
import torch

from pyg_sessaug import Recommender
from pyg_sessaug.__main__ import main
from pyg_sessaug.counts import VSKNN
from pyg_sessaug.data.graphs import list_batch
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.serving.page import model_page
from pyg_sessaug.transforms import NormalizeEdges

BROWSER = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None
)
EVIL = '</script><script>alert(1)</script>'
IDS = [EVIL, *(f'item & {i}' for i in range(1, 30))]


@pytest.fixture
def recommender():
    torch.manual_seed(0)
    epochs = [{'train_loss': 3.0 - i, 'val_loss': 3.5 - i} for i in range(3)]
    about = {'history': {'base': epochs}}
    popularity = torch.arange(30).flip(0)
    return Recommender(SRGNN(30, 8), IDS, popularity, about)


class Reader(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.titles = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != 'meta':
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.open and self.open[-1] == 'title':
            self.titles.append(data)


def test_page_is_whole_and_loads_nothing(recommender):
    page = model_page(recommender)
    reader = Reader(page)
    assert not reader.open
    assert EVIL not in page
    assert [tag for tag, _ in reader.tags].count('script') == 2
    assert 'http' not in page
    for _, attrs in reader.tags:
        assert not {'src', 'href'} & attrs.keys()
    circles = [x for _, x in reader.tags if x.get('class') == 'item']
    assert len(circles) == 30
    assert [x.rpartition(', ')[0] for x in reader.titles[1:31]] == IDS
    lines = [x for tag, x in reader.tags if tag == 'polyline']
    assert [len(x['points'].split()) for x in lines] == [3, 3]


def test_nearest_items_are_those_of_the_recommender(recommender):
    page = model_page(recommender)
    text = re.search(r'id="data">(.*?)</script>', page)[1]
    data = json.loads(text)
    assert data['names'] == IDS
    for i in (0, 17):
        expected = recommender.similar_items(IDS[i], k=10)
        assert [IDS[j] for j, _ in data['near'][i]] == expected.items
        cosines = [x for _, x in data['near'][i]]
        assert cosines == pytest.approx(expected.scores, abs=1e-4)


def test_graph_of_a_session_and_its_recommendations(recommender):
    session = [IDS[i] for i in (3, 5, 3, 5, 5, 7)]
    page = model_page(recommender, [*session, 'unknown'])
    graph = NormalizeEdges()(list_batch([[3, 5, 3, 5, 5, 7]]))
    rows = zip(graph.edge_index.t().tolist(), graph.edge_attr.tolist())
    for (i, j), (share, back) in rows:
        ends = [IDS[int(graph.x[node])] for node in (i, j)]
        title = f'{ends[0]} → {ends[1]}: {share:.2f} of the weight in, '
        title += f'{back:.2f} of that out'
        assert title in Reader(page).titles
    items = recommender.recommend(session, 10).items
    cells = re.findall(r'<tr><td>\d+</td><td>(.*?)</td>', page)
    assert [html.unescape(x) for x in cells] == items


def test_only_the_most_popular_items_are_shown(recommender):
    recommender.popularity = torch.arange(30)
    page = model_page(recommender, max_items=5)
    titles = Reader(page).titles[1:6]
    assert [x.rpartition(', ')[0] for x in titles] == IDS[:-6:-1]
    with pytest.raises(ValueError, match='max_items=0; pass at least 1'):
        model_page(recommender, max_items=0)
    with pytest.raises(ValueError, match='no item of the session'):
        model_page(recommender, ['other'])


def test_counts_have_no_map(tmp_path):
    train = MultimodalSessions(tmp_path, num_sessions=60, num_items=20)
    model = VSKNN(train.num_items).fit(train)
    page = model_page(Recommender.from_dataset(model, train))
    assert '<h2>Items' not in page
    assert 'Graph of a session' in page
    assert not Reader(page).open


def test_command(recommender, tmp_path, capsys):
    path = tmp_path / 'shop.pt'
    recommender.save(path)
    main(['plot', str(path), '--session', IDS[4], IDS[2]])
    assert f'Written to {tmp_path}/shop.html' in capsys.readouterr().out
    page = (tmp_path / 'shop.html').read_text('utf-8')
    assert f'<p>{html.escape(IDS[4])} → {html.escape(IDS[2])}</p>' in page
    other = tmp_path / 'other.html'
    main(
        [
            'plot',
            str(path),
            '--session',
            IDS[4],
            IDS[2],
            '--output',
            str(other),
        ]
    )
    assert other.read_text('utf-8') == page


@pytest.mark.skipif(BROWSER is None, reason='no Chromium is installed')
def test_page_in_a_browser(recommender, tmp_path):
    path = tmp_path / 'shop.html'
    path.write_text(model_page(recommender), 'utf-8')
    command = [
        BROWSER, '--headless', '--no-sandbox', '--disable-gpu',
        '--disable-quic', '--no-first-run', '--disable-sync',
        '--disable-background-networking', '--disable-component-update',
        f'--user-data-dir={tmp_path / "profile"}', '--dump-dom',
        path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    near = re.search(r'<ol id="near">(.*?)</ol>', done.stdout)[1]
    expected = recommender.similar_items(IDS[0], k=10)
    lines = re.findall(r'<li>(.*?) \((.*?)\)</li>', near)
    assert [html.unescape(name) for name, _ in lines] == expected.items
    shown = [float(cosine) for _, cosine in lines]
    assert shown == pytest.approx(expected.scores, abs=0.006)
    assert done.stdout.count('item chosen') == 1
