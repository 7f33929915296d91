import json

import pytest
import torch

from benchmarks.studies import mixture_density


def test_study(tmp_path):
    mixture_density.main(['--num-items', '400', '--output', str(tmp_path)])
    results = json.loads((tmp_path / 'mixture_density.json').read_text())
    assert results['peaks'] == 4
    assert results['mass_on_grid'] == pytest.approx(1, abs=0.01)
    # A user changes the mode with probability 0.15 before a click, but near
    # items may also belong to the next mode.
    assert 0.12 < results['changes_per_step'] < 0.3
    assert 0.3 < results['multimodal_sessions'] < 0.7
    assert (tmp_path / 'mixture_density.png').stat().st_size > 10_000


def test_density_against_the_formula():
    points, mode = torch.randn(90, 2), torch.arange(90) % 3 % 2
    place = torch.randn(7, 2)
    density = 0.0
    for i, share in ((0, 2 / 3), (1, 1 / 3)):
        square = (place - points[mode == i].mean(0)).square().sum(1)
        density = density + share * (-square / 2).exp() / (2 * torch.pi)
    found = mixture_density.fit(points, mode).log_prob(place).exp()
    torch.testing.assert_close(found, density)


def test_peaks():
    density = torch.zeros(5, 6)
    density[1, 1], density[3, 4], density[3, 3] = 1.0, 0.8, 0.5
    assert mixture_density.peaks(density).nonzero().tolist() == [
        [1, 1],
        [3, 4],
    ]
