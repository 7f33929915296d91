import pytest
import torch

from benchmarks.studies import vertex_injection
from benchmarks.studies.samples import several_categories


def test_both_models_by_categories(run_study, tiny_data, tiny_run, tmp_path):
    results = run_study(vertex_injection, '--run', tiny_run)
    several = several_categories(tiny_data(tmp_path, 'test'))['clicks seen']
    assert 0 < int(several.sum()) < several.numel()
    rank = {
        name: torch.load(tiny_run / 'models' / f'seed0-{name}.pt')['rank']
        for name in ('base', 'inject')
    }
    for group, keep in (
        ('all', torch.ones_like(several)),
        ('one category', ~several),
        ('several categories', several),
    ):
        hit = {
            name: 100 * float((x[keep] <= 20).double().mean())
            for name, x in rank.items()
        }
        rows = results['groups'][group]['HR@20']
        assert rows['base']['mean'] == pytest.approx(hit['base'])
        assert rows['inject']['difference'] == pytest.approx(
            hit['inject'] - hit['base']
        )
    share = results['one_category_share']
    assert share['test'] == pytest.approx(1 - float(several.double().mean()))
    train = several_categories(tiny_data(tmp_path, 'train'))['clicks seen']
    assert share['injected'] == pytest.approx(
        0.5 * (1 - float(train.double().mean()))
    )
    losses = results['training']['inject']['losses']
    assert losses[-1][0] < losses[0][0]
    assert losses != results['training']['base']['losses']
    row = results['table'][1]
    assert row[:2] == ['all', 'HR@20']
    assert row[3] == (
        f'{results["groups"]["all"]["HR@20"]["inject"]["mean"]:.2f}'
    )
    assert (tmp_path / 'vertex_injection.png').stat().st_size > 10_000


def test_categories_are_needed(run_study, tmp_path, srgnn_root):
    root = srgnn_root([[1, 2, 3]] * 30, ([[1], [2, 1]], [2, 3]))
    with pytest.raises(ValueError, match='no item categories'):
        vertex_injection.main(
            ['--dataset', 'diginetica', '--fraction', '1', '--root']
            + [str(root), '--output', str(tmp_path / 'out')]
        )
