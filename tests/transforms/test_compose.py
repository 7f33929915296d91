import copy
import pickle

import pytest
import torch
import torch_geometric.transforms as T
from torch_geometric.data import Batch
from torch_geometric.data.datapipes import DatasetAdapter
from torch_geometric.loader import DataLoader
from torch_geometric.testing import withCUDA

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.transforms import (
    ClusterDistance,
    GaussianBlur,
    ItemDistance,
    NormalizeEdges,
)

SESSIONS = [[0, 1, 0, 2, 3, 3, 4], [5], [6, 7, 6], [8, 8], [9, 1, 2]]
EMBEDDING = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
CLUSTERS = ItemClusters(torch.arange(10) % 3, EMBEDDING[:3])
WEIGHTS = [ItemDistance(EMBEDDING), ClusterDistance(CLUSTERS)]
ALWAYS = [ItemDistance(EMBEDDING, p=1.0), ClusterDistance(CLUSTERS, p=1.0)]


class Transformed(torch.utils.data.Dataset):
    def __init__(self, data_list, transform):
        self.data_list, self.transform = data_list, transform

    def __len__(self):
        return len(self.data_list)

    def __getitem__(self, index):
        return self.transform(self.data_list[index])


def compose(weigh):
    return T.Compose([weigh, NormalizeEdges(), GaussianBlur()])


def snapshot(data):
    records = {
        key: data.__dict__[key]
        for key in ('_slice_dict', '_inc_dict')
        if key in data.__dict__
    }
    return copy.deepcopy((data.to_dict(), records))


def assert_unchanged(data, before):
    values, records = before
    assert list(data.to_dict()) == list(values)
    for key, value in values.items():
        assert torch.equal(data[key], value)
    for name, record in records.items():
        assert list(data.__dict__[name]) == list(record)
        for key, value in record.items():
            assert torch.equal(data.__dict__[name][key], value)


@pytest.mark.parametrize('weigh', WEIGHTS)
@pytest.mark.parametrize('as_batch', [False, True])
def test_compose_leaves_its_input_alone(graph, weigh, as_batch):
    data = graph(SESSIONS[0])
    if as_batch:
        data = Batch.from_data_list([graph(clicks) for clicks in SESSIONS])
    for transform in (weigh, NormalizeEdges(), GaussianBlur()):
        before = snapshot(data)
        out = transform(data)
        assert_unchanged(data, before)
        assert out is not data
        data = out


@pytest.mark.parametrize('weigh', WEIGHTS)
def test_compose_separates(graph, same, weigh):
    data_list = [graph(clicks) for clicks in SESSIONS]
    batch = Batch.from_data_list(data_list, follow_batch=['click_index'])
    for transform in (weigh, NormalizeEdges(), GaussianBlur()):
        batch = transform(batch)
        again = Batch.from_data_list(
            batch.to_data_list(), follow_batch=['click_index']
        )
        same(again, batch)
        for data, separated in zip(data_list, batch.to_data_list()):
            assert set(separated.keys()) - {'edge_attr'} == set(data.keys())
            assert separated.validate()
            assert torch.equal(data.x, separated.x)
            assert torch.equal(data.click_index, separated.click_index)
            count = data.num_edges
            assert torch.equal(
                data.edge_index, separated.edge_index[:, :count]
            )


@pytest.mark.parametrize('weigh', ALWAYS)
def test_compose_on_batches_built_at_once(graph, same, weigh):
    clicks = [0, 1, 0, 2, 3, 3, 4, 5, 5]
    sessions = Sessions.from_lengths(
        torch.tensor(clicks), torch.tensor([6, 3])
    )
    graphs = SessionGraphs(sessions)
    index = torch.tensor([6, 4, 0, 2])
    prefixes = [clicks[6:8], clicks[:5], clicks[:1], clicks[:3]]
    transform = T.Compose(
        [weigh, NormalizeEdges(), GaussianBlur(p=1.0, mean=0.25, std=0.0)]
    )
    batch = transform(graphs.batch(index))
    for data, i, prefix in zip(batch.to_data_list(), index, prefixes):
        same(data, transform(graphs.data(int(i))))
        target = int(data.y)
        same(data, transform(graph(prefix, target)))


@pytest.mark.parametrize('weigh', WEIGHTS)
def test_compose_repeats_under_a_seed(graph, same, weigh):
    batch = Batch.from_data_list([graph(clicks) for clicks in SESSIONS])
    transform = compose(weigh)
    torch.manual_seed(7)
    first = transform(batch)
    second = transform(batch)
    assert first.edge_attr.tolist() != second.edge_attr.tolist()
    torch.manual_seed(7)
    same(transform(batch), first)


@pytest.mark.parametrize('weigh', WEIGHTS)
def test_compose_pickles(graph, same, weigh):
    transform = compose(weigh)
    again = pickle.loads(pickle.dumps(transform))
    assert str(again) == str(transform)
    torch.manual_seed(7)
    first = transform(graph(SESSIONS[0]))
    torch.manual_seed(7)
    same(again(graph(SESSIONS[0])), first)


def test_compose_in_worker_processes(graph):
    data_list = [graph(clicks) for clicks in SESSIONS * 4]
    loader = DataLoader(
        Transformed(data_list, compose(WEIGHTS[0])),
        batch_size=5,
        num_workers=2,
        follow_batch=['click_index'],
    )
    torch.manual_seed(7)
    first = list(loader)
    second = list(loader)
    noise = [batch.edge_attr.tolist() for batch in first + second]
    # Workers and epochs draw differently:
    assert all(a != b for i, a in enumerate(noise) for b in noise[:i])
    torch.manual_seed(7)
    again = list(loader)
    assert noise[:4] == [batch.edge_attr.tolist() for batch in again]
    for batch in first:
        for data, original in zip(batch.to_data_list(), data_list):
            assert torch.equal(data.x, original.x)
            count = original.num_edges
            assert torch.equal(data.edge_index[:, :count], original.edge_index)


@pytest.mark.parametrize(
    'name',
    [
        'item_distance',
        'cluster_distance',
        'time_decay',
        'normalize_edges',
        'gaussian_blur',
    ],
)
def test_functional_names(graph, name):
    arguments = {
        'item_distance': (EMBEDDING,),
        'cluster_distance': (CLUSTERS,),
    }.get(name, ())
    data_list = [NormalizeEdges()(graph(clicks)) for clicks in SESSIONS]
    for data in data_list:
        data.click_time = torch.arange(data.click_index.numel()).double()
    pipe = getattr(DatasetAdapter(data_list), name)(*arguments)
    assert len(list(pipe)) == len(SESSIONS)


@withCUDA
def test_compose_on_the_device_of_the_data(graph, device):
    batch = Batch.from_data_list([graph(clicks) for clicks in SESSIONS])
    for weigh in WEIGHTS:
        out = compose(copy.copy(weigh))(batch.to(device))
        assert out.edge_attr.device == device
        assert len(out.to_data_list()) == len(SESSIONS)


@pytest.mark.parametrize('batched', [False, True])
def test_new_weights_remove_old_shares(batched):
    item = torch.tensor([0, 1, 2, 0, 3])
    graphs = SessionGraphs(Sessions.from_lengths(item, torch.tensor([5])))
    index = torch.tensor([1, 3])
    data = graphs.batch(index) if batched else graphs.data(3)
    plain = NormalizeEdges()(data)
    weights = ItemDistance(torch.randn(4, 2), p=1.0)
    out = weights(plain)
    assert 'edge_attr' not in out
    assert 'edge_attr' in plain  # Of a copy only.
    parts = out.to_data_list() if batched else [out]
    assert all('edge_attr' not in part for part in parts)
    again = NormalizeEdges()(out)
    expected = NormalizeEdges()(weights(data))
    assert torch.equal(again.edge_attr, expected.edge_attr)
    if batched:
        for a, b in zip(again.to_data_list(), expected.to_data_list()):
            assert torch.equal(a.edge_attr, b.edge_attr)
