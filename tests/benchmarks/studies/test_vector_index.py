"""Recall of vector indexes."""

import numpy as np
import pytest
import torch

from benchmarks.speed import vector_index

pytest.importorskip('faiss')


def test_recall_of_a_trained_model(tiny_run, run_study, tmp_path):
    results = run_study(vector_index, '--run', tiny_run, '--k', 5)
    rows = results['indexes']
    assert [row['index'] for row in rows] == [
        'exact',
        *['IVF'] * 3,
        *['HNSW'] * 3,
    ]
    assert rows[0]['recall'] == 1  # By the model's scores, not by products.
    assert rows[1]['recall'] < rows[3]['recall'] <= 1
    assert rows[6]['recall'] > 0.9
    assert results['table'][1][:3] == ['exact', '–', '100.00']
    items = np.load(tmp_path / 'item_vectors.npy')
    sessions = np.load(tmp_path / 'session_vectors.npy')
    assert items.shape == (results['num_items'], 16) == (60, 16)
    assert len(sessions) == results['sessions']


def test_recall_counts_what_is_found():
    best = torch.tensor([[0, 1], [5, 4]])
    found = torch.tensor([[1, 0], [4, -1]])
    assert vector_index.recall(found, best) == 0.75
