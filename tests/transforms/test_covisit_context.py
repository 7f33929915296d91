import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GATv2Conv, global_mean_pool

from pyg_sessaug.counts import CoVisits
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.nn import GCSAN, NISER, SRGNN, TAGNN, SRGNNModes, SRGNNPlus
from pyg_sessaug.transforms import CovisitContext, NormalizeEdges
from tests.counts.logs import (
    LATER,
    NUM_ITEMS,
    TRAIN,
    Log,
    batch,
    flat,
    parts,
    prefixes,
)
from tests.nn.reference import with_categories


def fitted(sessions=TRAIN, num_items=NUM_ITEMS, **options):
    return CoVisits(num_items, **options).update(flat(sessions))


def assert_same(a, b):
    assert set(a.keys()) == set(b.keys())
    for key, value in a.to_dict().items():
        assert torch.equal(value, b[key]), key


@pytest.mark.parametrize('k', [1, 5, 100])
@pytest.mark.parametrize('make', [parts, batch])
def test_items_are_those_that_covisits_scores_highest(k, make):
    sessions = TRAIN if make is parts else LATER
    covisits, data = fitted(), make(sessions)
    score = covisits.score(data)
    # By all pairs, from the same folds:
    n = torch.arange(NUM_ITEMS)
    pairs = torch.cartesian_prod(n, n).unbind(1)
    out = CovisitContext(covisits, k)(make(sessions)).to_data_list()
    for clicks, graph, row, old in zip(
        prefixes(sessions), out, score, data.to_data_list()
    ):
        row[clicks] = 0
        size = min(k, int((row > 0).sum()))
        new = graph.context_index
        assert new.tolist() == list(range(old.num_nodes, graph.num_nodes))
        torch.testing.assert_close(
            graph.context_weight.sort()[0], row.sort()[0][row.numel() - size :]
        )
        torch.testing.assert_close(graph.context_weight, row[graph.x[new]])
        # The session's own part is as it was.
        assert torch.equal(graph.x[: old.num_nodes], old.x)
        assert torch.equal(graph.click_index, old.click_index)
        e = old.num_edges
        assert torch.equal(graph.edge_index[:, :e], old.edge_index)
        # All of its items that speak for one have an edge from it.
        number = old.get('session', torch.tensor([-1])).expand(pairs[0].size())
        table = covisits.strength(*pairs, number).view(NUM_ITEMS, -1)
        link = table[old.x][:, graph.x[new]]
        src, dst = graph.edge_index[:, e:]
        dense = torch.zeros_like(link)
        dense[dst, src - old.num_nodes] = graph.edge_weight[e:]
        if size > 0:
            torch.testing.assert_close(dense, link / link.max())


@pytest.mark.parametrize('shuffled', [False, True])
def test_one_graph_or_a_batch(tmp_path, shuffled):
    data = Log(str(tmp_path))
    transform = CovisitContext(fitted(), 3, shuffled)
    single = [transform(data.get(i)) for i in range(50)]
    loader = SessionLoader(data, 50, transform=transform)
    together = next(iter(loader))
    assert_same(Batch.from_data_list(single, ['click_index']), together)
    for new, back in zip(single, together.to_data_list()):
        assert_same(new, back)
    # The graph itself stays as it was, and with k = 0 there is no change.
    plain = data.get(7)
    before = plain.clone()
    transform(plain)
    assert_same(plain, before)
    assert_same(CovisitContext(fitted(), 0)(plain), before)


def circles(num_sessions, size=5, num_items=40):
    """Three items of one of several groups, in any order."""
    return [
        (torch.randperm(size)[:3] + size * group).tolist()
        for group in torch.randint(num_items // size, (num_sessions,)).tolist()
    ]


def test_it_finds_what_belongs_together_and_shuffled_does_not():
    torch.manual_seed(0)
    train, later = circles(400), circles(200)
    covisits = fitted(train, 40)
    share = {}
    for data in (parts(train), batch(later)):
        for shuffled in (False, True):
            transform = CovisitContext(covisits, 3, shuffled)
            out = transform(data.clone())
            group = out.x[out.context_index] // 5
            own = data.x[data.ptr[:-1]] // 5
            owner = out.batch[out.context_index]
            share[shuffled] = float((group == own[owner]).float().mean())
        assert share[False] > 0.99
        assert share[True] < 0.3


def test_a_stock_model_sees_it(tmp_path):
    """PyG's layers, pooling and loader."""
    data = Log(str(tmp_path))
    transform = CovisitContext(fitted(), 3)
    graphs = [transform(data.get(i)) for i in range(20)]
    both = next(iter(DataLoader(graphs, 20, follow_batch=['click_index'])))
    torch.manual_seed(0)
    table = torch.randn(NUM_ITEMS, 8)
    conv = GATv2Conv(8, 8, edge_dim=1)

    def vectors(graphs):
        x = conv(table[graphs.x], graphs.edge_index, graphs.edge_weight)
        click = graphs.click_index
        return global_mean_pool(x[click], graphs.batch[click])

    plain = vectors(Batch.from_data_list([data.get(i) for i in range(20)]))
    differs = (vectors(both) - plain).abs().amax(dim=1) > 1e-6
    assert bool(differs.all())


def test_repr_and_errors():
    transform = CovisitContext(fitted())
    assert repr(transform) == 'CovisitContext(k=5, shuffled=False)'
    shares = NormalizeEdges()(transform(batch(LATER)))
    assert shares.edge_attr.size() == (shares.num_edges, 2)
    with pytest.raises(ValueError, match='before NormalizeEdges'):
        transform(shares)
    with pytest.raises(ValueError, match='0 or more'):
        CovisitContext(fitted(), -1)
    with pytest.raises(ValueError, match='call fit'):
        CovisitContext(CoVisits(3))
    with pytest.raises(ValueError, match='covers items 0 to 29'):
        transform(batch([[40, 2, 1]]))


class EveryNode(torch.nn.Module):
    """A layer of one's own, which updates all nodes in every step."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x, edge_index, edge_attr):
        return self.conv(x, edge_index, edge_attr)


@pytest.mark.parametrize('num_layers', [1, 2])
@pytest.mark.parametrize(
    'cls', [SRGNN, TAGNN, NISER, SRGNNPlus, SRGNNModes, GCSAN]
)
def test_models_update_what_they_read(cls, num_layers):
    """Added nodes rest in the last step, and no score or gradient differs."""
    torch.manual_seed(0)
    model = cls(NUM_ITEMS, 8, num_layers=num_layers).double().eval()
    model = with_categories(model)
    context = CovisitContext(fitted(), 3)
    graphs = NormalizeEdges()(context(batch(LATER)))
    graphs.edge_attr = graphs.edge_attr.double()
    graphs.y = torch.arange(graphs.num_graphs) % NUM_ITEMS
    x = torch.randn(graphs.num_nodes, 8, dtype=torch.double)
    rests = model.propagate(x, graphs) == x
    added = torch.zeros(graphs.num_nodes, dtype=torch.bool)
    added[graphs.context_index] = True
    assert rests[added].all() == (num_layers == 1)
    assert not rests[~added].any()
    loss = model.loss(graphs)
    names, weights = zip(*model.named_parameters())
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    model.conv = EveryNode(model.conv)
    torch.testing.assert_close(model.loss(graphs), loss)
    expected = torch.autograd.grad(
        model.loss(graphs), weights, allow_unused=True
    )
    for name, a, b in zip(names, found, expected):
        assert (a is None) == (b is None), name
        if a is not None:
            torch.testing.assert_close(a, b)
