import math

import pytest
import torch
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
)

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.evaluation import evaluate
from pyg_sessaug.metrics import ranking_metrics, target_rank
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import fit

SMALL = dict(num_sessions=200, num_items=40, num_modes=4)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return tmp_path_factory.mktemp('multimodal')


@pytest.fixture(scope='module')
def splits(root):
    return [
        MultimodalSessions(root, split) for split in ('train', 'val', 'test')
    ]


def test_counts_and_lengths(splits):
    assert [x.sessions for x in splits] == [4050, 450, 500]
    train = splits[0]
    length = train.flat_sessions.length
    assert int(length.min()) == 2
    assert int(length.max()) == 20
    assert 4.5 < train.average_length < 5.5
    assert len(train) == train.clicks - train.sessions
    assert train.num_items == train.item_modes.numel() == 1000
    assert train.item_points.size() == (1000, 8)
    assert int(train.flat_sessions.item.max()) < 1000
    for other in splits[1:]:
        assert torch.equal(other.item_modes, train.item_modes)
        assert torch.equal(other.categories, train.categories)


def test_modes_are_balanced_and_apart(splits):
    train = splits[0]
    assert train.item_modes.bincount().tolist() == [125] * 8
    centers = torch.stack(
        [train.item_points[train.item_modes == i].mean(0) for i in range(8)]
    )
    nearest = torch.cdist(train.item_points, centers).argmin(dim=1)
    assert float((nearest == train.item_modes).double().mean()) > 0.99


def test_sessions_have_up_to_two_modes_and_switch(splits):
    sessions = splits[0].flat_sessions
    modes = splits[0].item_modes
    num_modes = torch.tensor(
        [
            len(modes[items].unique())
            for items in sessions.item.split(sessions.length.tolist())
        ]
    )
    # Rarely, a near item belongs to a third mode.
    assert float((num_modes <= 2).double().mean()) > 0.98
    assert 0.3 < float((num_modes == 2).double().mean()) < 0.6
    target = sessions.target
    switched = modes[sessions.item[target]] != modes[sessions.item[target - 1]]
    assert float(switched.double().mean()) == pytest.approx(0.15, abs=0.02)


def test_categories_are_noisy_modes(splits):
    train = splits[0]
    same = (train.categories == train.item_modes).double().mean()
    assert float(same) == pytest.approx(0.8 + 0.2 / 8, abs=0.03)
    assert train.num_categories == 8


def test_items_are_unequally_popular(splits):
    count = splits[0].flat_sessions.item.bincount(minlength=1000)
    top = count.sort(descending=True)[0][:100].sum() / count.sum()
    assert float(top) > 0.3


def test_same_arguments_same_sessions(root, tmp_path):
    first = MultimodalSessions(root, **SMALL)
    again = MultimodalSessions(tmp_path, **SMALL)
    assert torch.equal(first.flat_sessions.item, again.flat_sessions.item)
    assert torch.equal(first.item_modes, again.item_modes)
    other = MultimodalSessions(root, seed=1, **SMALL)
    assert not torch.equal(first.item_modes, other.item_modes)
    assert not torch.equal(first.item_points, other.item_points)


@pytest.mark.parametrize(
    'argument',
    [
        {'num_items': 41},
        {'num_modes': 5},
        {'channels': 3},
        {'switch_prob': 0.5},
        {'category_noise': 0.0},
        {'drift': 0.5},
        {'recency': 1.0},
    ],
)
def test_every_argument_has_files_of_its_own(root, argument):
    first = MultimodalSessions(root, **SMALL)
    other = MultimodalSessions(root, **{**SMALL, **argument})
    assert not set(first.processed_paths) & set(other.processed_paths)


def test_fraction_keeps_vocabulary_and_test_set(root):
    whole = MultimodalSessions(root, **SMALL)
    part = MultimodalSessions(root, fraction=0.25, **SMALL)
    assert (whole.sessions, part.sessions) == (162, 41)
    assert part.num_items == whole.num_items == 40
    tests = [
        MultimodalSessions(root, 'test', fraction=fraction, **SMALL)
        for fraction in (1.0, 0.25)
    ]
    assert tests[0].sessions == tests[1].sessions == 20


def test_one_mode_and_no_switches(root):
    one = MultimodalSessions(
        root, num_sessions=50, num_items=10, num_modes=1, switch_prob=0.0
    )
    assert one.item_modes.unique().tolist() == [0]
    assert one.sessions == 41


def test_sessions_are_walked_in_blocks(root, tmp_path, monkeypatch):
    monkeypatch.setattr('pyg_sessaug.datasets.multimodal.BLOCK_SIZE', 64)
    data = MultimodalSessions(tmp_path, **SMALL)
    assert data.sessions == 162
    assert 4 < data.average_length < 6


def test_options_at_their_default_change_no_file(root):
    first = MultimodalSessions(root, **SMALL)
    again = MultimodalSessions(root, drift=0.0, recency=0.0, **SMALL)
    assert first.processed_paths == again.processed_paths
    assert 'drift' not in again.settings
    assert first.item_popularity.size() == (1, 40)
    assert first.item_release is None


@pytest.mark.parametrize('drift', [0.3, 1.0])
def test_popularity_drifts_and_stays_as_unequal(root, drift):
    data = MultimodalSessions(root, drift=drift)
    popularity = data.item_popularity
    assert popularity.size() == (20, 1000)
    # The middles of the first and the last period are 0.95 apart.
    both = torch.corrcoef(popularity)[0, 19]
    expected = math.cos(math.pi / 2 * drift * 0.95)
    assert float(both) == pytest.approx(expected, abs=0.1)
    assert popularity.std(dim=1).tolist() == pytest.approx([1] * 20, abs=0.1)
    assert len(data) > 0


def test_novelty_begins_with_the_release_and_fades(root):
    plain = MultimodalSessions(root, drift=0.5, **SMALL)
    data = MultimodalSessions(root, drift=0.5, recency=2.0, **SMALL)
    lift = data.item_popularity - plain.item_popularity
    for item, release in enumerate(data.item_release.tolist()):
        for period in range(20):
            age = (period + 0.5) / 20 - release
            expected = 2 * math.exp(-10 * age) if age >= 0 else 0
            assert float(lift[period, item]) == pytest.approx(
                expected, abs=1e-5
            )


@pytest.mark.parametrize(
    'options', [{}, {'drift': 1.0}, {'drift': 0.5, 'recency': 2.0}]
)
def test_first_clicks_are_drawn_by_popularity(root, options):
    data = MultimodalSessions(
        root, num_sessions=20_000, num_items=20, num_modes=2, val_ratio=0.0,
        **options,
    )  # fmt: skip
    sessions = data.flat_sessions
    first = sessions.item[sessions.ptr[:-1]]  # 18 of 20 periods
    popularity = data.item_popularity.expand(20, -1)[:18]
    chi_square = 0.0
    for items, logarithm in zip(first.chunk(18), popularity):
        weight = logarithm.exp()
        for mode in (0, 1):
            mine = data.item_modes == mode
            expected = 500 * weight[mine] / weight[mine].sum()
            count = items.bincount(minlength=20)[mine]
            chi_square += float(((count - expected) ** 2 / expected).sum())
    # As many degrees of freedom; the deviation is 26.
    assert 18 * 19 - 100 < chi_square < 18 * 19 + 100


@pytest.mark.parametrize(
    'argument,message',
    [
        ({'num_sessions': 19}, '`num_sessions` must be at least 20, got 19'),
        ({'num_items': 7}, '`num_items` must be at least 8, got 7'),
        ({'num_modes': 0}, '`num_modes` must be at least 1'),
        ({'switch_prob': 1.5}, r'`switch_prob` must be in \[0, 1\], got 1.5'),
        ({'category_noise': -1}, '`category_noise`'),
        ({'drift': 2.0}, r'`drift` must be in \[0, 1\], got 2.0'),
        ({'recency': -1.0}, '`recency` must be at least 0 and finite, got -1'),
        ({'split': 'dev'}, "unknown split 'dev'"),
    ],
)
def test_arguments_out_of_range(root, argument, message):
    with pytest.raises(ValueError, match=message):
        MultimodalSessions(root, **{**SMALL, **argument})


def test_clusters_of_latent_points_are_the_modes(splits):
    train = splits[0]
    torch.manual_seed(0)
    for method in ('gmm', 'kmeans'):
        clusters = ItemClusters.fit(train.item_points, method, 8)
        labels = clusters.labels
        assert adjusted_rand_score(train.item_modes, labels) > 0.6
        assert normalized_mutual_info_score(train.item_modes, labels) > 0.8


def test_trained_model_beats_popularity_and_finds_the_modes(splits):
    train, val, test = splits
    count = train.flat_sessions.item.bincount(minlength=1000).float()
    target = test.flat_sessions.item[test.flat_sessions.target]
    popular = ranking_metrics(
        target_rank(count.expand(target.numel(), -1), target)
    )
    torch.manual_seed(0)
    model = SRGNN(1000, hidden_channels=32, num_layers=1)
    fit(model, train, val, epochs=2, lr=0.02, seed=0, progress=False)
    trained = evaluate(model, test)
    assert trained['HR@20'] > 3 * popular['HR@20'] > 0.1
    assert trained['MRR@20'] > 3 * popular['MRR@20']

    seen = train.seen_items
    clusters = ItemClusters.fit(model.item_embedding, 'kmeans', 8, seen)
    score = normalized_mutual_info_score(
        train.item_modes[seen], clusters.labels[seen]
    )
    assert score > 0.5
