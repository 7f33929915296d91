import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.testing import withCUDA

from pyg_sessaug import Recommender, __version__
from pyg_sessaug.data.graphs import SessionGraphs, session_batch
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.files import load_state, save_atomically
from pyg_sessaug.metrics import top_items
from pyg_sessaug.nn import SRGNN, TAGNN, GatedSessionConv, SwitchCase
from pyg_sessaug.transforms import NormalizeEdges

INTS = [10 * i + 7 for i in range(12)]
STRINGS = [f'item {i}' for i in range(12)]
POPULARITY = torch.tensor([3, 9, 1, 9, 0, 2, 9, 5, 5, 0, 1, 8])


def make(item_ids=STRINGS, cls=SRGNN, popularity=POPULARITY, **kwargs):
    torch.manual_seed(0)
    model = cls(len(item_ids), hidden_channels=6, num_layers=1, **kwargs)
    return Recommender(model, item_ids, popularity)


def tie(recommender):
    """Makes the scores of items 2, 5 and 9, and of 3 and 4, equal."""
    table = recommender.model.item_embedding.data
    table[5] = table[9] = table[2]
    table[4] = table[3]
    return recommender


def reference(recommender, session, k=20, excluded=()):
    """Items by the scores of a graph with a target, and a full sort."""
    items = torch.tensor([*session, 0])
    sessions = Sessions(
        items, torch.tensor([0, len(items)]), torch.tensor([len(session)])
    )
    data = NormalizeEdges()(SessionGraphs(sessions).data(0))
    with torch.no_grad():
        score = recommender.model.score(data)[0].tolist()
    order = sorted(range(len(score)), key=lambda i: (-score[i], i))
    return [recommender.item_ids[i] for i in order if i not in excluded][:k]


def test_session_batch_has_the_graphs_of_whole_sessions():
    item = torch.tensor([3, 1, 3, 3, 2, 0, 0, 4])
    length = torch.tensor([4, 1, 3])
    batch = session_batch(item, length)
    graphs = SessionGraphs(
        Sessions(
            torch.tensor([3, 1, 3, 3, 9, 2, 9, 0, 0, 4, 9]),
            torch.tensor([0, 5, 7, 11]),
            torch.tensor([4, 6, 10]),
        )
    )
    expected = [graphs.data(i) for i in range(3)]
    for data in expected:
        del data.y
    expected_batch = Batch.from_data_list(
        expected, follow_batch=['click_index']
    )
    assert set(batch.keys()) == set(expected_batch.keys())
    for key in batch.keys():
        assert torch.equal(batch[key], expected_batch[key])
    for data, other in zip(batch.to_data_list(), expected):
        assert set(data.keys()) == set(other.keys())
        assert data.click_index.tolist() == other.click_index.tolist()


@pytest.mark.parametrize('num_items,k', [(5, 8), (20, 3), (3000, 7)])
def test_top_items_ranks_ties_by_index(num_items, k):
    torch.manual_seed(0)
    for high in (1, 2, 40, 10**6):
        score = torch.randint(high, (6, num_items)).float()
        score[0] = -torch.inf
        value, index = top_items(score, k)
        expected = score.sort(dim=1, descending=True, stable=True)
        assert torch.equal(value, expected[0][:, :k])
        assert torch.equal(index[1:], expected[1][1:, :k])


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_scores_that_are_not_finite(value):
    recommender = make()
    recommender.model.item_embedding.data[3] = value
    with pytest.raises(ValueError, match='diverged'):
        recommender.recommend([STRINGS[0]])


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
@pytest.mark.parametrize('item_ids', [INTS, STRINGS])
def test_equals_a_full_sort_with_ties(cls, item_ids):
    recommender = tie(make(item_ids, cls))
    for session in ([1], [3, 1, 3, 3], [2, 5, 9, 0, 2], [4, 4]):
        raw = [item_ids[i] for i in session]
        for k in (1, 3, 6, 12, 30):
            out = recommender.recommend(raw, k=k)
            assert out.items == reference(recommender, session, k)
            assert (out.scores, out.unknown) == (None, [])
            assert not out.fallback
        out = recommender.recommend(raw, 30, exclude_clicked=True)
        assert out.items == reference(recommender, session, 30, session)
        out = recommender.recommend(
            raw, 5, block=[item_ids[7], item_ids[9], 'other']
        )
        assert out.items == reference(recommender, session, 5, [7, 9])


def test_the_last_clicks_alone(tmp_path):
    whole = make()
    short = Recommender(whole.model, STRINGS, POPULARITY, max_length=2)
    short.save(tmp_path / 'a.pt')
    sessions = [STRINGS[:5], STRINGS[3:5], [STRINGS[4], 'x', 'y'], ['x']]
    expected = [STRINGS[3:5], STRINGS[3:5], [STRINGS[4]], []]
    for recommender in (short, Recommender.load(tmp_path / 'a.pt')):
        assert recommender.max_length == 2
        found = recommender.recommend(sessions, 12)
        assert [x.items for x in found] == [
            x.items for x in whole.recommend(expected, 12)
        ]
        assert found[2].unknown == ['x', 'y']
    assert found[0].items != whole.recommend(STRINGS[:5], 12).items
    with pytest.raises(ValueError, match='max_length=0'):
        Recommender(whole.model, STRINGS, max_length=0)


def test_scores_descend_and_belong_to_the_items():
    out = make().recommend(STRINGS[:3], k=12, return_scores=True)
    assert out.scores == sorted(out.scores, reverse=True)
    batch = session_batch(torch.arange(3), torch.tensor([3]))
    score = make().model.score(NormalizeEdges()(batch))[0].tolist()
    expected = [score[STRINGS.index(x)] for x in out.items]
    assert out.scores == pytest.approx(expected)


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_a_batch_equals_its_sessions(monkeypatch, cls):
    monkeypatch.setattr('pyg_sessaug.evaluation.MAX_SCORES', 4 * 12)
    recommender = make(INTS, cls)
    torch.manual_seed(1)
    sessions = [
        [INTS[i] for i in torch.randint(12, (n,))]
        for n in (1, 3, 0, 2, 7, 4, 1, 2, 30, 5)
    ]
    sessions[3] = ['x', INTS[2], None]
    out = recommender.recommend(sessions, 5, True)
    assert out == [recommender.recommend(x, 5, True) for x in sessions]
    assert out[3].unknown == ['x', None]
    assert [x.fallback for x in out].count(True) == 1


def test_most_popular_where_nothing_is_known():
    recommender = make()
    popular = [STRINGS[i] for i in (1, 3, 6, 11, 7)]
    for session in ([], ['x', 'y', 'x']):
        out = recommender.recommend(session, k=5)
        assert out == (popular, None, session, True)
    out = recommender.recommend([[], ['x']], 2, block=popular[1:2])
    assert [x.items for x in out] == [['item 1', 'item 6']] * 2
    out = recommender.recommend([], 30, block=[STRINGS[0], *STRINGS[:2]])
    assert len(out.items) == 10
    assert out.items[-2:] == ['item 4', 'item 9']
    out = recommender.recommend([], 2, return_scores=True)
    assert out.scores == [9, 9]
    out = make(popularity=None).recommend(['x'])
    assert (out.items, out.fallback) == ([], True)


def test_tensors_are_sessions():
    recommender = make(torch.tensor(INTS))
    expected = recommender.recommend(INTS[:3])
    assert type(expected.items[0]) is int
    assert recommender.recommend(torch.tensor(INTS[:3])) == expected
    rows = torch.tensor([INTS[:3], INTS[3:6]])
    assert recommender.recommend(rows)[0] == expected
    assert recommender.recommend(list(rows))[0] == expected
    assert recommender.recommend([list(rows[0])])[0] == expected
    out = recommender.recommend(rows[0], block=torch.tensor(INTS[1:]))
    assert out.items == INTS[:1]


@pytest.mark.parametrize(
    'item_ids, known, given',
    [(INTS, 17, '17'), ([str(x) for x in INTS], '17', 17), (STRINGS, 'x', 3)],
)
def test_ids_of_the_other_type(item_ids, known, given):
    recommender = make(item_ids)
    name = type(given).__name__
    match = f'got the {name} {given!r}, but .* such as {item_ids[0]!r}; pass'
    with pytest.warns(UserWarning, match=match):
        first, second = recommender.recommend([[known], [given]], 3)
    assert given in second.unknown
    assert second.fallback
    with pytest.warns(UserWarning, match=match):
        blocked = recommender.recommend([known], 3, block=[given])
    assert blocked == first


def test_unknown_ids_of_the_right_type(recwarn):
    make(INTS).recommend([[99], [17]], block=[98])
    make(STRINGS).recommend([['x'], []], block=['y'])
    assert not recwarn.list


def test_all_blocked():
    out = make().recommend(STRINGS[:1], block=STRINGS, return_scores=True)
    assert (out.items, out.scores) == ([], [])


def test_the_mode_of_the_model_stays():
    recommender = make(dropout=0.5)
    recommender.model.train()
    out = recommender.recommend(STRINGS[:2])
    assert out == recommender.recommend(STRINGS[:2])
    assert recommender.model.training


@pytest.mark.parametrize(
    'cls,kwargs',
    [
        (SRGNN, {}),
        (SRGNN, {'scale': 12.0, 'dropout': 0.2, 'precision': 'bf16'}),
        (TAGNN, {'transform_target': False}),
    ],
)
@pytest.mark.parametrize('item_ids', [INTS, STRINGS])
def test_round_trip(tmp_path, cls, kwargs, item_ids):
    recommender = make(item_ids, cls, **kwargs)
    recommender.about = {'shop': 'mine'}
    recommender.save(tmp_path / 'a.pt')
    loaded = Recommender.load(tmp_path / 'a.pt')
    sessions = [item_ids[:3], item_ids[5:6], [], ['x']]
    kwargs = {'return_scores': True}
    out = loaded.recommend(sessions, **kwargs)
    assert out == recommender.recommend(sessions, **kwargs)
    assert repr(loaded.model) == repr(recommender.model)
    assert loaded.about == {'shop': 'mine'}
    assert repr(loaded) == repr(recommender)
    assert load_state(tmp_path / 'a.pt', '')['version'] == __version__
    assert [x.name for x in tmp_path.iterdir()] == ['a.pt']


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_round_trip_of_an_ensemble(tmp_path, cls):
    recommender = make(cls=cls)
    recommender.model = SwitchCase(recommender.model, 2)
    for model in recommender.model.models:
        torch.nn.init.normal_(model.item_embedding)
    sessions = [[x] for x in STRINGS]
    batch = session_batch(torch.arange(12), torch.ones(12).long())
    batch = NormalizeEdges()(batch)
    recommender.model.fit_clusters(recommender.model.model(batch))
    recommender.save(tmp_path / 'a.pt')
    loaded = Recommender.load(tmp_path / 'a.pt')
    assert repr(loaded) == repr(recommender)
    assert repr(loaded.model) == repr(recommender.model)
    label = loaded.model.label(batch).tolist()
    assert set(label) == {0, 1}
    out = loaded.recommend(sessions, 3, return_scores=True)
    assert out == recommender.recommend(sessions, 3, return_scores=True)
    for i, cluster in enumerate(label):
        own = Recommender(recommender.model.models[cluster], STRINGS)
        assert out[i].items == own.recommend(sessions[i], 3).items


def test_damaged_files(tmp_path):
    path = tmp_path / 'a.pt'
    make().save(path)
    whole = path.read_bytes()
    place = whole.index(POPULARITY.numpy().tobytes())
    for data in (
        whole[:-100],
        b'',
        whole[:place] + b'\7' + whole[place + 1 :],
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match='is damaged'):
            Recommender.load(path)
    with pytest.raises(FileNotFoundError):
        Recommender.load(tmp_path / 'b.pt')


@pytest.mark.parametrize(
    'change,message',
    [
        (lambda x: x.pop('item_ids'), 'holds no recommender'),
        (lambda x: x.update(extra=1), r"sessaug .* holds \['extra'\], which"),
        (lambda x: x.update(model='GRU'), 'holds a GRU'),
        (lambda x: x['settings'].update(heads=2), 'models were others'),
        (lambda x: x['weights'].popitem(), 'models were others'),
    ],
)
def test_files_of_another_kind(tmp_path, change, message):
    path = str(tmp_path / 'a.pt')
    make().save(path)
    state = load_state(path, '')
    change(state)
    save_atomically(state, path)
    with pytest.raises(ValueError, match=message):
        Recommender.load(path)


def test_from_dataset(tmp_path):
    train, test = (
        MultimodalSessions(tmp_path, x, num_sessions=50, num_items=16)
        for x in ('train', 'test')
    )
    model = SRGNN(16, hidden_channels=6)
    recommender = Recommender.from_dataset(model, train)
    assert recommender.item_ids == train.item_ids.tolist()
    assert int(recommender.popularity.sum()) == train.clicks
    assert recommender.about['dataset'] == 'MultimodalSessions'
    recommender.save(tmp_path / 'a.pt')
    assert Recommender.load(tmp_path / 'a.pt').about == recommender.about
    with pytest.raises(ValueError, match='got the test split'):
        Recommender.from_dataset(model, test)


def test_bad_arguments(tmp_path):
    recommender = make()
    with pytest.raises(ValueError, match='k=0'):
        recommender.recommend(STRINGS, k=0)
    with pytest.raises(TypeError, match="got 'item 1'; pass a list of ids"):
        recommender.recommend('item 1')
    with pytest.raises(TypeError, match="got 'item 1'; pass a list of ids"):
        recommender.recommend(['item 2'], block='item 1')
    with pytest.raises(TypeError, match='one session, or lists only'):
        recommender.recommend([['item 2'], 'item 1'])
    for value in (5, None, b'item 1', 2.5):
        with pytest.raises(TypeError, match=f'got {value!r}; pass a list'):
            recommender.recommend(value)
        with pytest.raises(TypeError, match=f'got {value!r}; pass a list'):
            recommender.recommend(['item 2'], block=value)
    with pytest.raises(TypeError, match=r'got \[1\] where an id should be'):
        recommender.recommend([[[1]]])
    with pytest.raises(TypeError, match=r'got \{\} where an id should be'):
        recommender.recommend(['item 2'], block=[{}])
    with pytest.raises(ValueError, match='11 item_ids for a model of 12'):
        Recommender(recommender.model, STRINGS[1:])
    with pytest.raises(ValueError, match="id 'item 0' twice"):
        Recommender(recommender.model, [*STRINGS[:11], 'item 0'])
    with pytest.raises(ValueError, match=r'popularity of shape \[3\]'):
        Recommender(recommender.model, STRINGS, torch.ones(3))


@pytest.mark.parametrize('cls', [SRGNN, TAGNN])
def test_a_replaced_module_is_not_saved(tmp_path, cls):
    """Its file would be of no use, or of another model."""

    class Conv(GatedSessionConv):
        def forward(self, *args):
            return 2 * super().forward(*args)

    model = cls(12, hidden_channels=8)
    state = torch.get_rng_state()
    Recommender(model, STRINGS).save(tmp_path / 'a.pt')
    assert torch.equal(torch.get_rng_state(), state)
    for name, module in {'conv': Conv(8), 'lin': torch.nn.Identity()}.items():
        model = cls(12, hidden_channels=8)
        setattr(model, name, module)
        path = tmp_path / f'{name}.pt'
        with pytest.raises(ValueError, match=f'whose `{name}` was replaced'):
            Recommender(model, STRINGS).save(path)
        assert not path.exists()


@withCUDA
def test_devices(tmp_path, device):
    recommender = make()
    expected = recommender.recommend([STRINGS[:3], STRINGS[2:3]], k=4)
    recommender.save(tmp_path / 'a.pt')
    loaded = Recommender.load(tmp_path / 'a.pt', device)
    out = loaded.recommend([STRINGS[:3], STRINGS[2:3]], k=4)
    assert [x.items for x in out] == [x.items for x in expected]


def test_all_clicked_items_of_a_cut_session_are_left_out():
    recommender = make()
    recommender.max_length = 2
    session = STRINGS[:5]
    found = recommender.recommend(session, 12, exclude_clicked=True)
    assert set(found.items) == set(STRINGS[5:])
    # The scores are those of the last clicks.
    found = recommender.recommend(session, 12)
    assert found.items == make().recommend(session[-2:], 12).items
