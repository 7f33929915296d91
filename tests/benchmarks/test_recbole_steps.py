import json

import pytest
import torch

from benchmarks.speed import recbole_steps
from pyg_sessaug.data.graphs import list_batch


def test_sessions_are_padded_to_their_newest_clicks():
    long = [*range(60)]
    batch = list_batch([[3, 1, 3], long])
    batch.y = torch.tensor([7, 2])
    padded = recbole_steps.padded(batch)
    first, second = padded['item_list']
    assert first.tolist() == [4, 2, 4] + 47 * [0]
    assert second.tolist() == [x + 1 for x in long[-50:]]
    assert padded['length'].tolist() == [3, 50]
    assert padded['item'].tolist() == [8, 3]


def test_each_beside_ours(tmp_path, tiny_sessions):
    pytest.importorskip('recbole', reason='needs RecBole')
    options = ['--dataset', 'multimodal', '--root', str(tmp_path)]
    options += ['--output', str(tmp_path), '--rounds', '2', '--batch', '8']
    recbole_steps.main(options)
    report = json.loads((tmp_path / 'recbole_steps.json').read_text())
    assert [x['model'] for x in report['records']] == [*recbole_steps.THEIRS]
    assert all(x['ratio'] > 0 for x in report['records'])
