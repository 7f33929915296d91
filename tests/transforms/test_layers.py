"""What the page "Drop it into your own PyG model" says of layers and traps."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_geometric.transforms as T
from torch_geometric import nn
from torch_geometric.data import HeteroData
from torch_geometric.loader import DataLoader

from pyg_sessaug.data.graphs import list_batch
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.transforms import GaussianBlur, ItemDistance, NormalizeEdges

PAGE = Path(__file__).parents[2] / 'docs' / 'source' / 'your_model.md'
C = 8
# How each layer of the table is made.
LAYERS = {
    'GraphConv': lambda: nn.GraphConv(C, C),
    'GatedGraphConv': lambda: nn.GatedGraphConv(C, 2),
    'GCNConv': lambda: nn.GCNConv(C, C, normalize=False, bias=False),
    'LEConv': lambda: nn.LEConv(C, C),
    'TAGConv': lambda: nn.TAGConv(C, C, normalize=False),
    'GATv2Conv': lambda: nn.GATv2Conv(C, C, edge_dim=2),
    'TransformerConv': lambda: nn.TransformerConv(C, C, edge_dim=2),
    'GINEConv': lambda: nn.GINEConv(torch.nn.Linear(C, C), edge_dim=2),
    'NNConv': lambda: nn.NNConv(C, C, torch.nn.Linear(2, C * C)),
    'ResGatedGraphConv': lambda: nn.ResGatedGraphConv(C, C, edge_dim=2),
    'SAGEConv': lambda: nn.SAGEConv(C, C),
    'GINConv': lambda: nn.GINConv(torch.nn.Linear(C, C)),
}
ROWS = {
    name: cells
    for name, *cells in re.findall(
        r'^\| `(\w+Conv)\b[^|]*\| ([^|]*) \| ([^|]*) \|$',
        PAGE.read_text('utf-8'),
        re.MULTILINE,
    )
}


def test_the_table_has_all_layers():
    assert [*ROWS] == [*LAYERS]


@pytest.mark.parametrize('name', LAYERS)
def test_layer(name):
    takes, alone = ROWS[name]
    layer = LAYERS[name]()
    graph = NormalizeEdges()(list_batch([[0, 1, 2, 0, 2, 2, 1], [4]]))
    x = torch.randn(graph.num_nodes, C)

    def run(x, edge_attr):
        weights = {
            '`edge_attr[:, 0]`': (edge_attr[:, 0],),
            '`edge_attr`': (edge_attr,),
        }.get(takes, ())
        return layer(x, graph.edge_index, *weights).detach()

    plain = run(x, graph.edge_attr)
    assert plain.size() == (graph.num_nodes, C)
    for column in (0, 1):
        other = graph.edge_attr.clone()
        other[:, column] *= torch.rand(graph.num_edges) + 0.1
        moved = not torch.allclose(run(x, other), plain, atol=1e-6)
        assert moved == (
            takes == '`edge_attr`' or (column == 0 and ',' in takes)
        )
    # Blurred weights may be negative.
    noisy = run(x, graph.edge_attr - 0.4)
    assert bool(noisy.isfinite().all())
    # The session of one click, as its item says something or not:
    x[-1] += 1
    seen = not torch.allclose(run(x, graph.edge_attr)[-1], plain[-1])
    assert seen == (alone == 'is seen')
    assert seen or not plain[-1].any()


def graph():
    return list_batch([[3, 5, 3, 4]]).get_example(0)


@pytest.mark.parametrize('attr', [None, 'edge_attr'])
def test_edges_that_their_weights_do_not_know_of(attr):
    data = T.AddSelfLoops(attr)(NormalizeEdges()(graph()))
    match = '`edge_weight` has 3 values for 6 edges; a transform that adds'
    for transform in (NormalizeEdges(), ItemDistance(torch.randn(9, 2))):
        with pytest.raises(ValueError, match=match):
            transform(data)
    if attr is None:
        with pytest.raises(ValueError, match='has 3 rows for 6 edges; apply'):
            SRGNN(9, 8).score(data)


def test_self_loops_before_normalising():
    data = NormalizeEdges()(T.AddSelfLoops('edge_weight')(graph()))
    assert data.edge_attr.size() == (6, 2)
    assert SRGNN(9, 8).score(data).isfinite().all()


@pytest.mark.parametrize('add', [T.Constant(), T.OneHotDegree(3)], ids=str)
def test_features_behind_items(add):
    data = add(NormalizeEdges()(graph()))
    with pytest.raises(ValueError, match='the item of each node in `x`'):
        ItemDistance(torch.randn(9, 2))(data)
    for single in (True, False):
        batch = data if single else next(iter(DataLoader([data] * 2, 2)))
        with pytest.raises(ValueError, match='holds the item of each node'):
            SRGNN(9, 8).score(batch)
    data = T.AddRandomWalkPE(2, attr_name='pe')(NormalizeEdges()(graph()))
    assert data.pe.size() == (3, 2)
    assert SRGNN(9, 8).score(data).size() == (1, 9)


def test_several_kinds_of_nodes():
    data, hetero = graph(), HeteroData()
    hetero['item'].x = data.x
    hetero['item', 'then', 'item'].edge_index = data.edge_index
    with pytest.raises(ValueError, match='a HeteroData has not; pass session'):
        NormalizeEdges()(hetero)
    with pytest.raises(ValueError, match='HeteroData without `click_index`'):
        SRGNN(9, 8).score(hetero)


def test_loader_without_follow_batch():
    data = [NormalizeEdges()(graph()) for _ in range(3)]
    batch = next(iter(DataLoader(data, 3)))
    assert 'click_index_ptr' not in batch
    model = SRGNN(9, 8)
    expected = model.score(data[0]).expand(3, -1)
    torch.testing.assert_close(model.score(batch), expected)


def test_undirected_edges_double_the_target():
    data = list_batch([[3, 5]]).get_example(0)
    data.y = torch.tensor([4])
    data = T.ToUndirected()(data)
    assert data.y.tolist() == [4, 4]
    with pytest.raises(ValueError, match='one item for each session'):
        SRGNN(9, 8).loss(NormalizeEdges()(data))


def test_distances_of_whatever_holds_the_embedding():
    embedding = torch.nn.Embedding(9, 2)
    batch = list_batch([[3, 5, 4]])
    plain = ItemDistance(embedding.weight.detach(), p=1.0)(batch).edge_weight
    for source in (
        embedding,
        embedding.weight,
        embedding.weight.detach().numpy(),
        embedding.weight.tolist(),
    ):
        transform = ItemDistance(source, p=1.0)
        assert torch.equal(transform(batch).edge_weight, plain)
        assert not transform.embedding.requires_grad
    double = np.random.default_rng(0).random((9, 2))
    assert ItemDistance(double).embedding.dtype == torch.double


def test_blur_behind_all():
    data = GaussianBlur()(NormalizeEdges()(graph()))
    assert SRGNN(9, 8).score(data).isfinite().all()
