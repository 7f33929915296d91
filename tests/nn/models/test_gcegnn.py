import itertools
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from pyg_sessaug import Recommender
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import GCEGNN
from pyg_sessaug.nn.models.gcegnn import global_graph
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.reference import (
    assert_equals_reference,
    build,
    last_samples,
    sessions_of_clicks,
)

#: Item 0 has more neighbours than are kept, 4 has one, and 8 has none.
EDGES = [
    (0, 1, 5), (0, 2, 1), (0, 3, 2), (0, 0, 4), (1, 0, 5), (1, 5, 3),
    (2, 7, 1), (3, 6, 2), (3, 8, 2), (4, 1, 9), (5, 5, 1), (6, 3, 2),
    (7, 2, 6), (7, 4, 1),
]  # fmt: skip
GRAPH = (
    torch.tensor([edge[:2] for edge in EDGES]).t(),
    torch.tensor([edge[2] for edge in EDGES]),
)
KEPT = {
    i: sorted(
        ((j, count) for k, j, count in EDGES if k == i),
        key=lambda x: (-x[1], x[0]),
    )[:3]
    for i in range(9)
}


def make(**kwargs):
    kwargs = {'graph': GRAPH, 'num_neighbors': 3, 'max_length': 4, **kwargs}
    return build(GCEGNN, **kwargs).eval()


def softmax(scores, weights):
    """Attention with weights: signs stay, sizes count."""
    exp = torch.stack([w * s.exp() for s, w in zip(scores, weights)])
    return exp / exp.abs().sum()


def global_vector(model, item, mean, hop):
    """Of an item after so many hops of the global graph."""
    if hop == 0:
        return model.item_embedding[item]
    layer, pooled = model.hops[hop - 1], torch.zeros_like(mean)
    if KEPT[item]:
        vectors = [
            global_vector(model, j, mean, hop - 1) for j, _ in KEPT[item]
        ]
        scores = []
        for h, (_, count) in zip(vectors, KEPT[item]):
            pair = torch.cat([mean * h, mean.new_tensor([count])])
            hidden = F.leaky_relu(layer.lin_neighbor.weight @ pair, 0.2)
            scores.append(layer.lin_score.weight[0] @ hidden)
        pi = torch.softmax(torch.stack(scores), 0)
        pooled = sum(p * h for p, h in zip(pi, vectors))
    own = global_vector(model, item, mean, hop - 1)
    return torch.relu(layer.lin.weight @ torch.cat([own, pooled]))


def local_vector(model, nodes, i, weight):
    """Of a node by those before and behind it in the session."""
    h, a, scores, weights, near = (
        model.item_embedding,
        model.relation,
        [],
        [],
        [],
    )
    for j in nodes:
        before, behind = (weight.get(x, (0, 0)) for x in ((j, i), (i, j)))
        u, v = before[0], behind[1]
        shares = [u * (1 - v), v * (1 - u), u * v]
        for r, w in enumerate([1] if i == j else shares):
            if w != 0:
                row = a[0] if i == j else a[1 + r]
                scores.append(F.leaky_relu(row @ (h[i] * h[j]), 0.2))
                weights.append(w)
                near.append(h[j])
    alpha = softmax(scores, weights)
    return sum(w * x for w, x in zip(alpha, near))


def gcegnn_scores(model, clicks, weight=None):
    if weight is None:  # 1 in either direction of an edge.
        weight = dict.fromkeys(itertools.pairwise(clicks), (1, 1))
    e = model.item_embedding
    mean = torch.stack([e[i] for i in clicks]).mean(0)
    nodes = list(dict.fromkeys(clicks))
    node = {
        i: global_vector(model, i, mean, model.num_hops)
        + local_vector(model, nodes, i, weight)
        for i in nodes
    }
    h = [node[i] for i in clicks]
    mean, session = torch.stack(h).mean(0), 0
    for ago, x in enumerate(reversed(h)):
        position = model.position.weight[min(ago, model.max_length - 1)]
        z = model.lin_position.weight @ torch.cat([x, position])
        z = torch.tanh(z + model.lin_position.bias)
        gate = model.lin_click.weight @ z + model.lin_click.bias
        gate = torch.sigmoid(gate + model.lin_mean.weight @ mean)
        session = session + (model.lin_score.weight[0] @ gate) * x
    return e @ session


@pytest.mark.parametrize('num_hops', [1, 2])
@settings(max_examples=15, deadline=None)
@given(clicks=sessions_of_clicks)
def test_equals_dense_reference(num_hops, clicks):
    model = make(num_hops=num_hops)
    assert_equals_reference(model, gcegnn_scores, clicks)


def test_weighted_edges_equal_dense_reference():
    model, clicks = make(), [0, 1, 0, 2, 2, 3, 0, 1, 4, 1]
    batch = last_samples([[*clicks, 5]])
    torch.manual_seed(2)
    share = torch.randn(batch.num_edges, 2).double()
    batch.edge_attr = share
    pairs = [tuple(x) for x in batch.x[batch.edge_index].t().tolist()]
    weight = {}
    for n, (u, v) in enumerate(pairs):
        into = max(abs(share[m, 0]) for m, p in enumerate(pairs) if p[1] == v)
        out = max(abs(share[m, 1]) for m, p in enumerate(pairs) if p[0] == u)
        weight[u, v] = (share[n, 0] / into, share[n, 1] / out)
    torch.testing.assert_close(
        model.score(batch)[0], gcegnn_scores(model, clicks, weight)
    )


@settings(max_examples=25, deadline=None)
@given(clicks=sessions_of_clicks)
def test_global_graph_counts_clicks_nearby(clicks):
    counts = Counter()
    for session in clicks:
        for p, q in itertools.combinations(range(len(session)), 2):
            if q - p <= 3:
                counts[session[p], session[q]] += 1
                counts[session[q], session[p]] += 1
    sessions = Sessions.from_lengths(
        torch.tensor(list(itertools.chain(*clicks))),
        torch.tensor([len(session) for session in clicks]),
    )
    edge_index, count = global_graph(sessions)
    found = zip(map(tuple, edge_index.t().tolist()), count.tolist())
    assert dict(found) == counts
    assert edge_index.size(1) == len(counts)


def test_from_dataset_takes_training_sessions_alone(tmp_path):
    data = {
        split: MultimodalSessions(
            tmp_path, split, NormalizeEdges(), num_sessions=200, num_items=20
        )
        for split in ('train', 'test')
    }
    with pytest.raises(ValueError, match='got the test split; pass the train'):
        GCEGNN.from_dataset(data['test'], 8)
    model = GCEGNN.from_dataset(data['train'], 8, num_neighbors=4).eval()
    edge_index, count = global_graph(data['train'].flat_sessions)
    for i in range(20):
        own = edge_index[0] == i
        best = count[own].sort(descending=True, stable=True)
        wanted = edge_index[1, own][best.indices[:4]]
        k = wanted.numel()
        assert torch.equal(model.neighbor[i, :k], wanted)
        assert model.count[i, :k].tolist() == best.values[:4].tolist()
        assert not model.count[i, k:].any()
    # Neighbours travel with the weights.
    batch = NormalizeEdges()(last_samples([[1, 2, 3], [4, 5]]))
    Recommender.from_dataset(model, data['train']).save(tmp_path / 'a.pt')
    loaded = Recommender.load(tmp_path / 'a.pt').model
    assert torch.equal(loaded.neighbor, model.neighbor)
    assert torch.equal(loaded.score(batch), model.score(batch))
    other = GCEGNN(20, 8, num_neighbors=4).eval()
    other.load_state_dict(
        {**other.state_dict(), **dict(model.named_parameters())}
    )
    assert not torch.equal(other.score(batch), model.score(batch))


def test_dropout_of_global_vectors_only_in_training():
    model, batch = make(), NormalizeEdges()(last_samples([[1, 2, 3]]))
    batch.edge_attr = batch.edge_attr.double()
    assert torch.equal(model.score(batch), model.score(batch))
    model.train()
    assert not torch.equal(model.score(batch), model.score(batch))


@pytest.mark.parametrize(
    ('kwargs', 'word'),
    [
        (dict(num_neighbors=0), 'num_neighbors'),
        (dict(num_hops=0), 'num_hops'),
        (dict(max_length=0), 'max_length'),
        (dict(global_dropout=1.0), 'global_dropout'),
    ],
)
def test_bad_arguments(kwargs, word):
    with pytest.raises(ValueError, match=f'{word}'):
        GCEGNN(9, 6, **kwargs)
