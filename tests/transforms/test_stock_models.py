import pytest
import torch
import torch.nn.functional as F
import torch_geometric.transforms as T
from torch_geometric.loader import DataLoader
from torch_geometric.nn import (
    GatedGraphConv,
    GCNConv,
    GraphConv,
    NNConv,
    TransformerConv,
    global_mean_pool,
)

from pyg_sessaug.transforms import GaussianBlur, ItemDistance, NormalizeEdges

NUM_ITEMS, NUM_SESSIONS, CHANNELS = 20, 1000, 16

# The conv of a model, and whether it takes both columns or the first alone:
CONVS = {
    # Blurred weights may be negative, and their root NaN: no own norm.
    'GCNConv': (lambda: GCNConv(CHANNELS, CHANNELS, normalize=False), False),
    'GraphConv': (lambda: GraphConv(CHANNELS, CHANNELS), False),
    'GatedGraphConv': (lambda: GatedGraphConv(CHANNELS, 2), False),
    'TransformerConv': (
        lambda: TransformerConv(CHANNELS, CHANNELS, edge_dim=2),
        True,
    ),
    'NNConv': (
        lambda: NNConv(CHANNELS, CHANNELS, torch.nn.Linear(2, CHANNELS**2)),
        True,
    ),
}


class Model(torch.nn.Module):
    def __init__(self, name):
        super().__init__()
        make, self.both_columns = CONVS[name]
        self.embedding = torch.nn.Embedding(NUM_ITEMS, CHANNELS)
        self.conv = make()
        self.lin = torch.nn.Linear(2 * CHANNELS, CHANNELS)

    def forward(self, batch):
        edge = batch.edge_attr if self.both_columns else batch.edge_attr[:, 0]
        h = self.conv(self.embedding(batch.x), batch.edge_index, edge)
        last = h[batch.click_index[batch.click_index_ptr[1:] - 1]]
        mean = global_mean_pool(h, batch.batch, batch.num_graphs)
        session = self.lin(torch.cat([last, mean], dim=-1))
        return session @ self.embedding.weight.t()


class Sessions(torch.utils.data.Dataset):
    def __init__(self, data_list, transform):
        self.data_list, self.transform = data_list, transform

    def __len__(self):
        return len(self.data_list)

    def __getitem__(self, index):
        return self.transform(self.data_list[index])


@pytest.fixture(autouse=True)
def one_thread():
    # Such small products only wait for one another in threads.
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope='module')
def data_list(graph):
    # Walks round a circle of items, with repeats: the target is learnable.
    generator = torch.Generator().manual_seed(0)
    out = []
    for _ in range(NUM_SESSIONS):
        length = int(torch.randint(1, 8, (1,), generator=generator))
        step = torch.randint(0, 3, (length,), generator=generator)
        item = step.cumsum(0) + torch.randint(
            NUM_ITEMS, (1,), generator=generator
        )
        item = (item % NUM_ITEMS).tolist()
        out.append(graph(item, target=(item[-1] + 1) % NUM_ITEMS))
    return out


@pytest.mark.parametrize('name', list(CONVS))
def test_stock_models(data_list, name):
    torch.manual_seed(12)
    transform = T.Compose(
        [
            ItemDistance(torch.randn(NUM_ITEMS, 8)),
            NormalizeEdges(),
            GaussianBlur(),
        ]
    )
    loader = DataLoader(
        Sessions(data_list, transform),
        batch_size=50,
        shuffle=True,
        num_workers=2,
        follow_batch=['click_index'],
    )
    model = Model(name)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)

    losses = []
    for batch in loader:
        out = model(batch)
        assert out.shape == (50, NUM_ITEMS)
        assert bool(out.isfinite().all())
        loss = F.cross_entropy(out, batch.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert len(losses) == NUM_SESSIONS // 50
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
