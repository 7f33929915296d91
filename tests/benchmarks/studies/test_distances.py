import pytest
import torch

from benchmarks.experiments import study
from benchmarks.studies import distances
from pyg_sessaug.data.sessions import Sessions


def test_steps_by_hand():
    embedding = torch.tensor([[0.0, 0], [3, 4], [3, 5]])
    item = torch.tensor([0, 1, 2, 2, 0, 1, 1, 0])
    sessions = Sessions.from_lengths(item, torch.tensor([5, 3]))
    count, mean, largest = distances.step_lengths(embedding, sessions)
    assert count.tolist() == [0, 1, 2, 3, 0, 1]
    assert mean.tolist() == pytest.approx([0, 5, 3, 2, 0, 0])
    assert largest.tolist() == pytest.approx([0, 5, 5, 5, 0, 0])


def test_groups_against_a_loop(run_study, tiny_run):
    found = run_study(distances, '--run', tiny_run)
    args = study.start(study.arguments('x', ''), ['--run', str(tiny_run)])
    runs = study.experiment(args)
    test = runs.data['test']
    rank = torch.load(tiny_run / 'models' / 'seed0-base.pt')['rank']
    embedding = study.model(runs).item_embedding.detach()
    rows = []
    for i in range(len(test)):
        data = test[i]
        item = data.x[data.click_index]
        step = (embedding[item[1:]] - embedding[item[:-1]]).norm(dim=1)
        if step.numel() > 0:
            mean, largest = float(step.mean()), float(step.max())
            rows.append((bool(rank[i] <= 20), mean, largest, len(item)))
    assert found['samples'] == len(rows)
    groups = {'all': rows, '… and 2 clicks': [x for x in rows if x[3] == 2]}
    assert all(test.seen_items[test.flat_sessions.item])
    for name, group in groups.items():
        hits = [x for x in group if x[0]]
        misses = [x for x in group if not x[0]]
        row = found['groups'][name]
        assert (row['hits'], row['misses']) == (len(hits), len(misses))
        for place, kind in ((1, 'mean'), (2, 'largest')):
            expected = sum(x[place] for x in hits) / len(hits)
            assert row[kind]['hits'] == pytest.approx(expected, rel=1e-5)
            expected = sum(x[place] for x in misses) / len(misses)
            assert row[kind]['misses'] == pytest.approx(expected, rel=1e-5)
            closer = [
                (a[place] < b[place]) + (a[place] == b[place]) / 2
                for a in hits
                for b in misses
            ]
            expected = sum(closer) / len(closer)
            assert row[kind]['hit_closer'] == pytest.approx(expected, abs=2e-3)
    one_item = [x[2] == 0 for x in rows if x[0]]
    assert found['one_item_share']['hits'] == pytest.approx(
        sum(one_item) / len(one_item)
    )


def test_group_of_hits_alone_has_no_comparison():
    value = {'mean': torch.ones(2), 'largest': torch.ones(2)}
    hit = torch.ones(2, dtype=torch.bool)
    row = distances.compare(value, hit, hit)
    assert row == {'hits': 2, 'misses': 0}
    assert distances.table({'groups': {'all': row}})[1][3] == '–'
