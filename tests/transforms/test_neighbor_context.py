import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GATv2Conv, global_mean_pool

from pyg_sessaug.counts import VSKNN, NeighborItems
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.nn import NISER
from pyg_sessaug.serving.model_file import model_state, restore_model
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


@pytest.mark.parametrize('split', [0, 1])
def test_votes_may_be_asked_for_at_once(data, neighbors, split):
    """What was found before is what the sessions themselves vote for."""
    train = data[0]
    batch = data[split].get_batch(torch.arange(60))
    transform = NeighborContext(VSKNN(30).fit(train), k=4)
    assert_same(transform(batch), NeighborContext(neighbors)(batch))
    assert NeighborContext(VSKNN(30).fit(train)).k == 20


def test_as_many_votes_as_asked_for(data):
    batch = data[1].get_batch(torch.arange(20))
    vsknn = VSKNN(30, k=9, weighting='same').fit(data[0])
    assert_same(NeighborContext(vsknn, k=0)(batch), batch)
    out = NeighborContext(vsknn, k=1)(batch)
    # The item of most votes, but the last that was clicked.
    score = vsknn.score(batch)
    last = batch.x[batch.click_index[batch.click_index_ptr[1:] - 1]]
    score[torch.arange(20), last] = 0
    has = score.amax(dim=1) > 0
    found = score[has].gather(1, out.x[out.context_index].unsqueeze(1))
    torch.testing.assert_close(found, score[has].amax(dim=1, keepdim=True))


def test_control_of_votes(data):
    torch.manual_seed(0)
    vsknn = VSKNN(30).fit(data[0])
    transform = NeighborContext(vsknn, 3, shuffled=True)
    batch = data[1].get_batch(torch.arange(20))
    plain = NeighborContext(vsknn, 3)(batch)
    out = transform(batch)
    assert not torch.equal(out.x, plain.x)
    # The votes that a session of the other items would get.
    other = batch.clone()
    other.x = transform.order[batch.x]
    other = NeighborContext(vsknn, 3)(other)
    assert torch.equal(out.x[out.context_index], other.x[other.context_index])
    assert transform.order.sort()[0].tolist() == list(range(30))


@pytest.mark.parametrize('shuffled', [False, True])
def test_in_the_file_of_a_model(data, shuffled):
    vsknn = VSKNN(30, k=5, weighting='log').fit(data[0])
    model = NISER(30, 4)
    model.test_transform = NeighborContext(vsknn, 3, shuffled)
    back = restore_model(model_state(model)).test_transform
    assert (back.k, back.shuffled) == (3, shuffled)
    assert back.neighbors.weighting == 'log'
    batch = data[1].get_batch(torch.arange(20))
    assert_same(back(batch), model.test_transform(batch))


def test_what_cannot_be_asked(data, neighbors):
    with pytest.raises(ValueError, match='counted no session'):
        NeighborContext(VSKNN(30))
    with pytest.raises(ValueError, match='k=-1'):
        NeighborContext(VSKNN(30).fit(data[0]), k=-1)
    for given in ({'k': 3}, {'shuffled': True}):
        with pytest.raises(ValueError, match='make these with them'):
            NeighborContext(neighbors, **given)
