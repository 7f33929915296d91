import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GATv2Conv, global_mean_pool

from pyg_sessaug.counts import NeighborItems
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.transforms import NeighborContext, NormalizeEdges


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    options = dict(num_sessions=200, num_items=30)
    return [MultimodalSessions(root, x, **options) for x in ('train', 'test')]


@pytest.fixture(scope='module')
def neighbors(data):
    return NeighborItems(30, 4).fit(data[0])


def assert_same(a, b):
    assert set(a.keys()) == set(b.keys())
    for key, value in a.to_dict().items():
        assert torch.equal(value, b[key]), key


@pytest.mark.parametrize('split', [0, 1])
def test_one_graph_or_a_batch(data, neighbors, split):
    transform = NeighborContext(neighbors)
    plain = [data[split].get(i) for i in range(40)]
    single = [transform(x) for x in plain]
    loader = SessionLoader(data[split], 40, transform=transform)
    batch = next(iter(loader))
    assert_same(Batch.from_data_list(single, ['click_index']), batch)
    for old, new, back in zip(plain, single, batch.to_data_list()):
        assert_same(new, back)
        n, k = old.num_nodes, new.context_index.numel()
        assert new.num_nodes == n + k
        assert new.context_index.tolist() == list(range(n, n + k))
        votes = neighbors(old)
        assert torch.equal(new.x[n:], votes.item)
        assert torch.equal(new.context_weight, votes.weight)
        # The session's own part is as it was.
        assert torch.equal(new.x[:n], old.x)
        assert torch.equal(new.click_index, old.click_index)
        size = old.num_edges
        assert torch.equal(new.edge_index[:, :size], old.edge_index)
        src, dst = new.edge_index[:, size:]
        assert torch.equal(src, new.context_index)
        assert bool((dst == old.click_index[-1]).all())
        assert new.num_edges == size + k
        if k > 0:
            share = votes.weight / votes.weight.max()
            assert torch.equal(new.edge_weight[size:], share)
    assert any(x.num_nodes > y.num_nodes for x, y in zip(single, plain))


def test_a_stock_model_sees_it(data, neighbors):
    """PyG's layers, pooling and loader."""
    _, test = data
    transform = NeighborContext(neighbors)
    graphs = [transform(test.get(i)) for i in range(20)]
    batch = next(iter(DataLoader(graphs, 20, follow_batch=['click_index'])))
    torch.manual_seed(0)
    table = torch.randn(30, 8)
    conv = GATv2Conv(8, 8, edge_dim=1)

    def vectors(batch):
        x = conv(table[batch.x], batch.edge_index, batch.edge_weight)
        click = batch.click_index
        return global_mean_pool(x[click], batch.batch[click])

    seen = vectors(batch)
    plain = vectors(Batch.from_data_list([test.get(i) for i in range(20)]))
    some = torch.tensor([x.context_index.numel() > 0 for x in graphs])
    differs = (seen - plain).abs().amax(dim=1) > 1e-6
    assert torch.equal(differs, some)


def test_comes_before_shares(data, neighbors):
    transform = NeighborContext(neighbors)
    assert repr(transform) == 'NeighborContext(k=4, shuffled=False)'
    batch = NormalizeEdges()(transform(data[0].get_batch(torch.arange(9))))
    assert batch.edge_attr.size() == (batch.num_edges, 2)
    with pytest.raises(ValueError, match='before NormalizeEdges'):
        transform(batch)
