import numpy as np
import pytest
import torch
from scipy import stats

from pyg_sessaug.comparison import (
    compare,
    compare_ranks,
    comparison_table,
    forest_plot,
    holm,
    paired_bootstrap,
)


def test_bootstrap_by_hand():
    # Two sessions are drawn twice: -1, 0 (twice as often) or 1.
    out = paired_bootstrap(torch.tensor([[1.0, -1.0]]), torch.tensor([0, 1]))
    assert out.difference.tolist() == [0.0]
    assert (out.low.tolist(), out.high.tolist()) == ([-1.0], [1.0])
    assert out.p.tolist() == [1.0]
    # No draw is below zero: the smallest p-value that 99 draws can give.
    out = paired_bootstrap(torch.ones(1, 6), torch.arange(6), num_draws=99)
    assert out.p.tolist() == pytest.approx([2 / 100])
    assert (out.low.tolist(), out.high.tolist()) == ([1.0], [1.0])


def test_probability_of_a_draw():
    # The mean is below 0 if and only if session 0 is drawn twice: 1 in 4;
    # sessions count by their samples, 1 + 0 + 0 and -1.
    difference = torch.tensor([[-1.0, 1.0, 1.0, 0.5]])
    out = paired_bootstrap(difference, torch.tensor([0, 1, 1, 1]))
    assert out.difference.tolist() == [0.375]
    assert float(out.p[0]) == pytest.approx(0.5, abs=0.03)


def test_bootstrap_resamples_sessions_as_scipy_does():
    generator = torch.Generator().manual_seed(0)
    length = torch.randint(1, 9, (300,), generator=generator)
    session = torch.repeat_interleave(length)
    shift = torch.randn(300, generator=generator)[session]  # Shared within
    noise = torch.randn(2, session.numel(), generator=generator)
    difference = 0.1 * noise + shift + torch.tensor([[0.1], [0.3]])
    out = paired_bootstrap(difference, session, num_draws=5000)
    for i in range(2):
        total = torch.zeros(300).index_add_(0, session, difference[i])
        expected = stats.bootstrap(
            (total.numpy(), length.numpy()),
            lambda x, n, axis: x.sum(axis=axis) / n.sum(axis=axis),
            paired=True,
            method='percentile',
            n_resamples=5000,
            rng=np.random.default_rng(0),
        )
        low, high = expected.confidence_interval
        assert float(out.low[i]) == pytest.approx(low, abs=0.01)
        assert float(out.high[i]) == pytest.approx(high, abs=0.01)
        means = expected.bootstrap_distribution
        p = 2 * min((means <= 0).mean(), (means >= 0).mean())
        assert float(out.p[i]) == pytest.approx(p, abs=0.02)
        # Samples as if independent would be far too sure.
        wide = paired_bootstrap(difference, torch.arange(session.numel()))
        assert out.high[i] - out.low[i] > 1.5 * (wide.high[i] - wide.low[i])


def test_bootstrap_is_seeded():
    difference = torch.randn(3, 50)
    session = torch.arange(50) // 2
    first = paired_bootstrap(difference, session)
    torch.rand(5)
    assert str(first) == str(paired_bootstrap(difference, session))
    # Methods do not disturb one another.
    alone = paired_bootstrap(difference[1:2], session)
    assert alone.p[0] == first.p[1]
    other = paired_bootstrap(difference, session, seed=1)
    assert str(first.low) != str(other.low)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]


def test_compare_averages_seeds_within_sessions():
    base = torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]])
    better = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]])
    rows = compare({'base': base, 'new': better}, torch.tensor([0, 0, 1, 1]))
    assert rows['base']['values'] == [50.0, 75.0]
    assert rows['base']['mean'] == 62.5
    assert rows['base']['std'] == pytest.approx(25 / 2**0.5)
    assert 'p' not in rows['base']
    new = rows['new']
    assert (new['mean'], new['difference']) == (87.5, 25.0)
    assert new['gain'] == pytest.approx(40.0)
    # Each session gains one hit in four trials: no draw differs.
    assert (new['low'], new['high']) == (25.0, 25.0)
    assert new['p'] == new['p_holm'] == pytest.approx(2 / 10_001)


def test_compare_with_a_base_that_never_hits():
    hit = torch.ones(1, 2)
    rows = compare({'base': 0 * hit, 'new': hit}, torch.tensor([0, 1]))
    assert rows['new']['gain'] is None
    assert rows['new']['std'] is None
    assert rows['new']['difference'] == 100.0


def test_seeds_that_a_method_lacks():
    generator = torch.Generator().manual_seed(0)
    base, other = torch.rand(2, 3, 40, generator=generator)
    session = torch.arange(40) // 2
    other[1] = torch.nan
    rows = compare({'base': base, 'other': other}, session)
    some = compare({'base': base[[0, 2]], 'other': other[[0, 2]]}, session)
    values = [rows['other'].pop('values'), some['other'].pop('values')]
    assert values[0] == values[1]
    assert len(values[0]) == 2
    assert rows['other'] == pytest.approx(some['other'])
    assert rows['base'] == compare({'base': base}, session)['base']


def test_ranks_are_compared_by_both_metrics():
    ranks = {
        'base': [torch.tensor([1, 21, 5, 40]), torch.tensor([2, 3, 21, 21])],
        'better': [torch.tensor([1, 2, 5, 40]), torch.tensor([1, 3, 20, 21])],
    }
    session = torch.tensor([0, 0, 1, 2])
    out = compare_ranks(ranks, session)
    assert out['HR@20']['base']['values'] == [50.0, 50.0]
    assert out['HR@20']['better']['values'] == [75.0, 75.0]
    assert out['HR@20']['better']['difference'] == 25
    expected = 100 * (1 + 1 / 2 + 1 / 5) / 4, 100 * (1 + 1 / 3 + 1 / 20) / 4
    assert out['MRR@20']['better']['values'] == pytest.approx(expected)
    beside = compare_ranks(ranks, session, base='better')
    assert beside['HR@20']['base']['difference'] == -25


def test_what_cannot_be_compared():
    rank, session = torch.tensor([1, 21, 5]), torch.tensor([0, 1, 2])
    ranks = {'base': [rank, rank], 'mine': [rank]}
    with pytest.raises(ValueError, match=r"\[3\] ranks of 'mine' and \[3, 3"):
        compare_ranks(ranks, session)
    with pytest.raises(ValueError, match=r"\[2, 3\] ranks of 'mine'"):
        compare_ranks({**ranks, 'mine': [rank[1:], rank]}, session)
    with pytest.raises(ValueError, match=r"base='bas' .* \['base', 'mine'"):
        compare_ranks(ranks, session, base='bas')


@pytest.fixture
def found():
    rank = {'base': [[30, 2, 30, 4]], 'mine': [[1, 2, 1, 30]]}
    ranks = {k: [torch.tensor(x) for x in v] for k, v in rank.items()}
    return compare_ranks(ranks, torch.tensor([0, 0, 1, 1]))


def test_table_of_a_comparison(found):
    lines = comparison_table(found).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[x.strip() for x in line.split('|')[1:-1]] for line in lines]
    assert cells[2] == ['HR@20', 'base', '50.00', '–', '–']
    row = found['HR@20']['mine']
    # Sessions gain 50 and 0 percent, so that draws are 0, 25 or 50.
    assert cells[3][:3] == ['HR@20', 'mine', '75.00']
    assert cells[3][3] == '+25.00 [+0.00, +50.00]'
    assert cells[3][4] == f'{row["p"]:.4f}'
    assert [line[0] for line in cells[4:]] == ['MRR@20', 'MRR@20']


def test_plot_of_a_comparison(found):
    figure = forest_plot(found)
    assert len(figure.axes) == 2
    for axis, (metric, rows) in zip(figure.axes, found.items()):
        assert axis.get_xlabel().startswith(metric)
        point, _, (bars,) = axis.containers[0]
        row = rows['mine']
        assert point.get_xdata()[0] == row['difference']
        ends = [x for x, _ in bars.get_segments()[0]]
        assert ends == pytest.approx([row['low'], row['high']])
    labels = [x.get_text() for x in figure.axes[0].get_yticklabels()]
    assert labels == ['mine']
