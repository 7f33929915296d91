import json

import pytest
import torch

from benchmarks.experiments.results import write_ranks
from benchmarks.studies import context


def prefixes(data):
    """Clicks before each target, and the target."""
    sessions = data.flat_sessions
    for clicks in sessions.item.split(sessions.length.tolist()):
        session = clicks.tolist()
        for end in range(1, len(session)):
            yield session[:end], session[end]


@pytest.fixture
def found(tmp_path, tiny_data):
    """With context, targets that it holds are first and others as before."""
    train, test = (
        tiny_data(str(tmp_path / 'data'), x) for x in ('train', 'test')
    )
    place = torch.arange(len(test))
    held, base = place % 3 == 0, place % 40 + 1
    ranks = {
        'vsknn': torch.where(held, 7, 50),
        'srgnn-plus': base,
        'srgnn-plus-shuffled': base,
        'srgnn-plus-context': torch.where(held, 1, base),
        'blend refit': base,
        'blend-both refit': base,
    }
    known = {(0, name): rank for name, rank in ranks.items()}
    # Of two modes there is another seed.
    known[1, 'srgnn-plus'] = torch.full_like(base, 30)
    known[1, 'srgnn-modes'] = torch.where(held, 2, 30)
    write_ranks(str(tmp_path / 'leaderboard-multimodal.json'), known)
    words = ['--datasets', 'multimodal', '--results', str(tmp_path)]
    words += ['--data', str(tmp_path), '--output', str(tmp_path / 'out')]
    context.main(words)
    report = json.loads((tmp_path / 'out' / 'context.json').read_text())
    return train, test, held, base, report


def test_groups(found):
    train, test, held, base, report = found
    groups = report['groups']['multimodal']
    row = {(x['by'], x['group']): x for x in groups}
    every, hit = row['all', 'all'], base <= 20
    assert every['share'] == 1
    for name, mask in (
        ('hit', hit),
        ('held', held),
        ('alone', held & ~hit),
    ):
        assert every[name] == pytest.approx(float(mask.float().mean()))
    gain = every['over']['control']['HR@20']
    assert gain['difference'] == pytest.approx(100 * every['alone'])
    assert gain['low'] <= gain['difference'] <= gain['high']
    assert row['context', 'without the target']['held'] == 0
    without = row['context', 'without the target']['over']['base']['HR@20']
    assert without['difference'] == without['low'] == without['high'] == 0
    assert every['over']['blend']['MRR@20']['difference'] == 0
    gain = every['over']['one vector']['HR@20']['difference']
    assert gain == pytest.approx(100 * every['held'])
    assert 'chance modes' not in every['over']
    # Categories of the items seen, one by one:
    modes = torch.tensor(
        [len(set(train.categories[x].tolist())) for x, _ in prefixes(test)]
    )
    for name, mask in (('1', modes == 1), ('2', modes == 2)):
        share = row.get(('modes', name), {'share': 0.0})['share']
        assert share == pytest.approx(float(mask.float().mean()))
    for kind in context.GROUPS:
        share = sum(x['share'] for x in groups if x['by'] == kind)
        assert share == pytest.approx(1)
    assert len(report['table']['multimodal']) == len(groups) + 1


def test_ranks_are_missing(tmp_path):
    path = str(tmp_path / 'leaderboard-multimodal.json')
    write_ranks(path, {(0, 'srgnn-plus'): torch.ones(3)})
    words = ['--datasets', 'multimodal', '--results', str(tmp_path)]
    with pytest.raises(ValueError, match='of context, its control and vsknn'):
        context.main(words)
