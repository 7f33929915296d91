import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, spearmanr

from benchmarks.experiments import study
from benchmarks.studies import (
    cluster_centers,
    item_clusters,
    measures,
    num_clusters,
)
from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.training.augmentations import derive
from pyg_sessaug.transforms import ClusterDistance


@pytest.fixture(scope='module')
def runs(tiny_run):
    args = study.start(study.arguments('x', ''), ['--run', str(tiny_run)])
    return study.experiment(args)


def by_name(found):
    return {(x['method'], x['num_clusters']): x for x in found['rows']}


def test_balance_is_relative_entropy():
    assert measures.balance([5, 5, 5]) == pytest.approx(1)
    assert measures.balance([7, 0]) == 0
    expected = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert measures.balance([3, 1]) == pytest.approx(expected)


def test_shares_of_sessions_by_hand():
    labels = torch.tensor([0, 0, 1, 1])
    item = torch.tensor([0, 1, 0, 2, 3, 1, 2, 2, 2])
    sessions = Sessions.from_lengths(item, torch.tensor([3, 2, 2, 2]))
    # Of one item alone is the last session; the first two are in a cluster.
    assert measures.within_share(labels, sessions) == pytest.approx(2 / 3)
    # Steps 0-1, 1-0, 2-3, 1-2; that from 2 to 2 is none.
    assert measures.between_share(labels, sessions) == pytest.approx(1 / 4)


def test_spacing_by_hand():
    centers = torch.tensor([[0.0, 0], [3, 4], [0, 1]])
    found = measures.spacing(centers)
    assert found['min'] == pytest.approx(1)
    assert found['max'] == pytest.approx(5)
    assert found['mean'] == pytest.approx((1 + 5 + math.sqrt(18)) / 3)


@pytest.mark.parametrize('method', ['gmm', 'kmeans'])
def test_clusters_are_those_of_run(runs, method):
    embedding = study.model(runs).item_embedding.detach()
    seen = runs.data['train'].seen_items.clone()
    seen[::7] = False
    runs.data['train'].seen_items, old = seen, runs.data['train'].seen_items
    found, _ = measures.fit(runs, embedding, method, 3)
    runs.data['train'].seen_items = old
    torch.manual_seed(derive(0, method, 'weights'))
    expected = ItemClusters.fit(embedding, method, 3, seen)
    assert torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.centers, expected.centers)


def test_item_clusters(run_study, tiny_run, runs):
    found = run_study(
        item_clusters,
        *('--run', tiny_run, '--num-clusters', 2, '--shown', 3),
    )
    rows = by_name(found)
    assert set(rows) == {(m, k) for m in ('gmm', 'kmeans') for k in (2, 3)}
    train, test = runs.data['train'], runs.data['test']
    embedding = study.model(runs).item_embedding.detach()
    for (method, k), row in rows.items():
        clusters, model = measures.fit(runs, embedding, method, k)
        size = clusters.labels[train.seen_items].bincount().tolist()
        assert row['sizes'] == sorted(size, reverse=True)
        gaps = torch.cdist(clusters.centers, clusters.centers)
        assert row['spacing']['max'] == pytest.approx(float(gaps.max()), 1e-4)
        within = []
        for session in test.flat_sessions.item.split(
            test.flat_sessions.length.tolist()
        ):
            if session.unique().numel() > 1:
                within.append(clusters.labels[session].unique().numel() == 1)
        assert row['within'] == pytest.approx(sum(within) / len(within))
        if method == 'gmm':
            points = embedding[train.seen_items].double().numpy()
            density = np.stack(
                [
                    math.log(w) + multivariate_normal(m, c).logpdf(points)
                    for w, m, c in zip(
                        model.weights_, model.means_, model.covariances_
                    )
                ]
            )
            total = np.logaddexp.reduce(density)
            certain = np.exp(density - total).max(axis=0) >= 0.9
            assert row['certain'] == pytest.approx(certain.mean())
            d = points.shape[1]
            free = k * d * (d + 1) / 2 + k * d + k - 1
            bic = -2 * total.sum() + free * math.log(len(points))
            assert row['bic'] == pytest.approx(bic)


def test_respaced_centers():
    clusters = ItemClusters(torch.tensor([0, 2, 1]), torch.randn(3, 5))
    moved = cluster_centers.respace(clusters, 2.5)
    assert measures.spacing(moved.centers)['mean'] == pytest.approx(2.5)
    assert torch.equal(moved.labels, clusters.labels)
    torch.testing.assert_close(
        moved.centers.mean(dim=0), clusters.centers.mean(dim=0)
    )


def test_cluster_centers(run_study, tiny_run, runs):
    found = run_study(cluster_centers, '--run', tiny_run)
    variants = found['variants']
    assert list(variants) == list(cluster_centers.VARIANTS)
    for a, b in (('gmm-spread', 'kmeans'), ('kmeans-squeezed', 'gmm')):
        for x, y in ((a, b), (b, a)):
            assert variants[x]['spacing']['mean'] == pytest.approx(
                variants[y]['spacing']['mean']
            )
    assert variants['kmeans']['nearest'] == 1
    train = runs.data['train']
    embedding = study.model(runs).item_embedding.detach()
    for name in ('gmm', 'kmeans'):
        clusters = ItemClusters.load(
            tiny_run / 'models' / f'seed0-{name}.clusters.pt'
        )
        # All edges of all training samples, one by one:
        crossing, length = [], []
        for i in range(len(train)):
            data = train[i]
            for a, b in data.x[data.edge_index].t().tolist():
                if a != b:
                    gap = clusters.centers[clusters.labels[[a, b]]].diff(dim=0)
                    crossing.append(float(gap.norm()))
                    gap = embedding[[a, b]].diff(dim=0)
                    length.append(float(gap.norm()))
        crossing, length = torch.tensor(crossing), torch.tensor(length)
        out = crossing > 0
        row = variants[name]
        assert row['between'] == pytest.approx(float(out.double().mean()))
        assert row['weight_between'] == pytest.approx(
            float((1 / crossing[out]).mean()), rel=1e-4
        )
        assert row['length_between'] == pytest.approx(
            float(length[out].mean()), rel=1e-4
        )
        assert row['length_within'] == pytest.approx(
            float(length[~out].mean()), rel=1e-4
        )
        assert row['correlation'] == pytest.approx(
            spearmanr(crossing[out], length[out]).statistic, abs=0.02
        )
        # Half of the edges are drawn; within a cluster some weigh 1 anyhow.
        every = ClusterDistance(clusters, 1.0)(
            train.get_batch(torch.arange(len(train)))
        )
        half = 0.5 * float((every.edge_weight != 1).double().mean())
        assert row['changed']['weights'] == pytest.approx(half, abs=0.1)
    gain = {}
    for name in ('base', *cluster_centers.VARIANTS):
        rank = torch.load(tiny_run / 'models' / f'seed0-{name}.pt')['rank']
        gain[name] = 100 * float((1 / rank.double() * (rank <= 20)).mean())
        row = found['metrics']['MRR@20'][name]
        assert row['mean'] == pytest.approx(gain[name])
    row = found['kmeans_minus_gmm']['MRR@20']
    assert row['difference'] == pytest.approx(gain['kmeans'] - gain['gmm'])
    # All start alike, so a tiny set gives some the same hits.
    assert len(set(gain.values())) > 1


def test_num_clusters(run_study, tiny_run, runs):
    found = run_study(
        num_clusters,
        *('--run', tiny_run, '--num-clusters', 3, 2),
        *('--methods', 'gmm', 'kmeans'),
    )
    rows = by_name(found)
    assert [*rows] == [(m, k) for m in ('gmm', 'kmeans') for k in (2, 3)]
    base = torch.load(tiny_run / 'models' / 'seed0-base.pt')['rank']
    embedding = study.model(runs).item_embedding.detach()
    for (method, k), row in rows.items():
        record = torch.load(tiny_run / 'models' / f'seed0-{method}-{k}.pt')
        gain = [(1 / x * (x <= 20)).mean() for x in (record['rank'], base)]
        metric = found['metrics']['MRR@20'][row['name']]
        expected = 100 * float(gain[0] - gain[1])
        assert metric['difference'] == pytest.approx(expected, abs=1e-4)
        loss = min(x['val_loss'] for x in record['history'])
        assert row['val_loss'] == pytest.approx(loss, abs=1e-4)
        clusters, _ = measures.fit(runs, embedding, method, k)
        size = clusters.labels[runs.data['train'].seen_items].bincount()
        assert row['balance'] == measures.balance(size.tolist())
