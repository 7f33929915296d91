import pytest

from pyg_sessaug.nn.loss import catalogue, target_attention


@pytest.fixture(params=[0, 2**20])
def small_chunks(monkeypatch, request):
    """Many chunks of 64 items, with and without any kept for the backward
    pass.
    """
    monkeypatch.setattr(catalogue, 'CHUNK_SIZE', 64)
    monkeypatch.setattr(catalogue, 'CACHE_BYTES', request.param)
    monkeypatch.setattr(target_attention, 'CACHE_BYTES', request.param)
    monkeypatch.setattr(target_attention, 'MIN_CHUNK', 64)
    monkeypatch.setattr(target_attention, 'CHUNK_BYTES', 0)
