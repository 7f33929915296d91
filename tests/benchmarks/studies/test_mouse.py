import json

import pytest
import torch
from matplotlib.image import imread

from benchmarks.studies import mouse


def test_points_fill_their_discs():
    points, disc = mouse.draw_mouse(5000)
    assert disc.bincount().tolist() == [3000, 1000, 1000]
    for i, (center, radius, _) in enumerate(mouse.DISCS.values()):
        distance = (points[disc == i] - torch.tensor(center)).norm(dim=1)
        assert distance.max() <= radius + 1e-5
        # Evenly: a disc of half the area holds half of the points.
        inner = (distance < radius / 2**0.5).double().mean()
        assert inner == pytest.approx(0.5, abs=0.05)
    others = torch.cdist(points[disc == 0], points[disc > 0])
    assert others.min() > 0  # Ears do not overlap the head.


def test_clusters_are_numbered_by_their_discs():
    truth = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    label = torch.tensor([2, 2, 2, 0, 0, 1, 2])
    matched = mouse.match(label, truth)
    assert matched.tolist() == [0, 0, 0, 1, 1, 2, 0]
    assert mouse.compare(matched, truth)['right'] == 6 / 7
    assert set(mouse.compare(truth, truth).values()) == {1}


def test_em_beats_kmeans(tmp_path):
    command = ['--points', '600', '--repeats', '5', '--output', str(tmp_path)]
    mouse.main(command)
    results = json.loads((tmp_path / 'mouse.json').read_text())
    for em, kmeans in zip(results['gmm'], results['kmeans']):
        # KMeans cuts the head, whose radius is more than twice an ear's.
        assert 0.6 < kmeans['right'] < 0.9
        assert em['right'] > kmeans['right']
    mean = sum(x['right'] for x in results['gmm']) / 5
    assert mean > 0.9
    assert results['table'][2][1] == f'{100 * mean:.1f}'
    assert imread(tmp_path / 'mouse.png').shape[1] == 1200
