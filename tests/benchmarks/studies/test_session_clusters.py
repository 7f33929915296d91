from itertools import product

import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score

from benchmarks.studies import session_clusters


def best_agreement(cluster, label):
    """All ways to give each cluster one of the two labels, but all alike."""
    k, best = int(cluster.max()) + 1, 0.0
    for names in product([False, True], repeat=k):
        if len({names[c] for c in cluster.tolist()}) == 2:
            named = torch.tensor(names)[cluster]
            best = max(best, float((named == label).double().mean()))
    return best


@pytest.mark.parametrize('k', [2, 3, 5])
@pytest.mark.parametrize('share', [0.1, 0.5])
def test_agreement_is_the_best_of_all(k, share):
    label = torch.rand(200) < share
    for skill in (0.0, 0.5, 1.0):
        cluster = torch.randint(k, (200,))
        cluster[:k] = torch.arange(k)
        told = torch.rand(200) < skill
        cluster = torch.where(told, label.long(), cluster)
        result = session_clusters.compare(cluster, label)
        expected = best_agreement(cluster, label)
        assert result['agreement'] == pytest.approx(expected)
        assert result['information'] == pytest.approx(
            adjusted_mutual_info_score(label.numpy(), cluster.numpy())
        )
    assert result == {'agreement': 1.0, 'information': pytest.approx(1)}


def test_clusters_that_know_nothing_agree_less_than_one_cluster():
    label = torch.rand(20_000) < 0.2
    result = session_clusters.compare(torch.randint(2, (20_000,)), label)
    assert result['agreement'] == pytest.approx(0.5, abs=0.02)
    assert result['information'] == pytest.approx(0, abs=1e-3)


def test_study(run_study, tiny_run, tmp_path):
    options = '--num-clusters 2 3 --repeats 2 --samples 25'.split()
    results = run_study(session_clusters, '--run', tiny_run, *options)
    rank = torch.load(tiny_run / 'models' / 'seed0-base.pt')['rank']
    kinds = [(x['method'], x['num_clusters']) for x in results['clusters']]
    assert kinds == [('kmeans', 2), ('kmeans', 3), ('gmm', 2), ('gmm', 3)]
    for row in results['clusters']:
        assert [len(x) for x in row['sizes']] == [row['num_clusters']] * 2
        assert {sum(x) for x in row['sizes']} == {rank.numel()}
        for reading, alike in results['alike'].items():
            for sizes, x in zip(row['sizes'], row[reading]):
                # What giving the smallest cluster away would cost at most:
                smallest = min(sizes) / rank.numel()
                assert alike - smallest <= x['agreement'] <= 1
                assert -0.1 < x['information'] < 1
    assert results['table'][-1][2] == (
        f'{100 * results["alike"]["clicks seen"]:.1f}'
    )
    assert (tmp_path / 'session_clusters.png').stat().st_size > 10_000
