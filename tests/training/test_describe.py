import functools
import subprocess
import sys
import threading

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.transforms import Compose

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training.describe import describe
from pyg_sessaug.transforms import (
    ClusterDistance,
    GaussianBlur,
    ItemDistance,
    NormalizeEdges,
    VertexInjection,
    WeightChannels,
)

EMBEDDING = torch.arange(12.0).view(4, 3)
LABELS = torch.tensor([0, 1, 0, 1])


class Bare:
    """Without a repr; a cycle, a set, and a subclass of a list within."""

    def __init__(self, p=0.5):
        self.p, self.names, self.me = p, {'a', 'b', 'c'}, self

    def __call__(self, data):
        return data


def clusters(labels=LABELS, centers=EMBEDDING[:2]):
    return ClusterDistance(ItemClusters(labels, centers))


def scale(factor):
    return lambda data: data * factor


SAME = [
    lambda: ItemDistance(EMBEDDING.clone()),
    lambda: Compose([clusters(), NormalizeEdges(), GaussianBlur()]),
    lambda: WeightChannels([ItemDistance(EMBEDDING), clusters()]),
    lambda: Bare(),
    lambda: scale(2.0),
    lambda: functools.partial(F.dropout, p=0.1),
    lambda: Bare(0.1).__call__,
    lambda: [EMBEDDING[:, 1], 1e-7, None, torch.float, (True, b'\0')],
    lambda: torch.relu,
    lambda: EMBEDDING.to_sparse(),
    lambda: EMBEDDING[0].numpy(),
]


@pytest.mark.parametrize('make', SAME)
def test_what_is_the_same(make):
    text = describe(make())
    assert text == describe(make())
    assert ' at 0x' not in text


OTHERS = {
    'distances': (ItemDistance(EMBEDDING), ItemDistance(EMBEDDING + 1)),
    'type': (EMBEDDING, EMBEDDING.double()),
    'shape': (EMBEDDING, EMBEDDING.view(3, 4)),
    'probability': (ItemDistance(EMBEDDING, 0.1), ItemDistance(EMBEDDING)),
    'centers': (clusters(), clusters(centers=EMBEDDING[1:3])),
    'labels': (clusters(), clusters(1 - LABELS)),
    'injected items': (
        VertexInjection(LABELS),
        VertexInjection(LABELS, mask=torch.arange(4) < 3),
    ),
    'depth': (
        Compose([WeightChannels([Compose([ItemDistance(EMBEDDING)])])]),
        Compose([WeightChannels([Compose([ItemDistance(-EMBEDDING)])])]),
    ),
    'order': (
        Compose([NormalizeEdges(), GaussianBlur()]),
        Compose([GaussianBlur(), NormalizeEdges()]),
    ),
    'foreign object': (Bare(0.1), Bare(0.2)),
    'what a function closes over': (scale(1.0), scale(2.0)),
    'code': (lambda x: x + 1, lambda x: x + 2),
    'default': (lambda x, p=1: x, lambda x, p=2: x),
    'partial': (functools.partial(Bare, p=1), functools.partial(Bare, p=2)),
    'method': (Bare(0.1).__call__, Bare(0.2).__call__),
    'long list': ([*range(5000)], [*range(4999), 0]),
    'weights of a module': (torch.nn.ReLU(), torch.nn.GELU()),
    'model': (SRGNN(9, 8, num_layers=1), SRGNN(9, 8, num_layers=2)),
    'heads': (
        torch.nn.TransformerEncoderLayer(8, 2),
        torch.nn.TransformerEncoderLayer(8, 4),
    ),
    'activation': (
        torch.nn.TransformerEncoderLayer(8, 2, activation=F.relu),
        torch.nn.TransformerEncoderLayer(8, 2, activation=F.gelu),
    ),
}


@pytest.mark.parametrize('name', OTHERS)
def test_what_is_another(name):
    one, other = OTHERS[name]
    if isinstance(one, torch.nn.Module):  # Architectures, whatever weights.
        assert describe(one, one) != describe(other, other)
    else:
        assert describe(one) != describe(other)


def test_weights_count_but_of_the_model_in_training():
    one, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    assert describe(one) != describe(other)
    assert describe(one, one) == describe(other, other)


def test_the_text_tells_a_reader():
    text = describe(Compose([ItemDistance(EMBEDDING, 0.1), NormalizeEdges()]))
    assert 'ItemDistance(' in text
    assert 'embedding=torch.float32[4, 3]#' in text
    assert 'p=0.1' in text
    assert text.index('ItemDistance') < text.index('NormalizeEdges')


def test_another_process_says_the_same():
    code = (
        'junk = [object() for _ in range(9999)]; '
        'from tests.training.test_describe import *; '
        'print([describe(SAME[i]()) for i in range(7)])'
    )
    out = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out == f'{[describe(make()) for make in SAME[:7]]}\n'


@pytest.mark.parametrize('value', [threading.Lock(), (x for x in ())])
def test_what_cannot_be_told(value):
    with pytest.raises(ValueError, match='__getstate__ of the transform'):
        describe(Compose([functools.partial(Bare, value)]))
