import functools
import warnings

import pytest
import torch
import torch_geometric.transforms as T
from torch.utils.data import Subset
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

import pyg_sessaug.transforms
from pyg_sessaug.data.graphs import graph_by_graph
from pyg_sessaug.datasets import Diginetica
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.transforms import NormalizeEdges, WeightChannels


def double(data):
    data = data.clone()
    data.edge_weight = 2 * data.edge_weight
    return data


@pytest.fixture
def dataset(srgnn_root):
    generator = torch.Generator().manual_seed(0)
    train = [
        torch.randint(1, 9, (2 + i % 7,), generator=generator).tolist()
        for i in range(30)
    ]
    root = srgnn_root(train, ([[1]], [2]))
    return Diginetica(root, val_ratio=0)


def assert_equal_batches(ours, theirs):
    ours, theirs = list(ours), list(theirs)
    assert len(ours) == len(theirs) > 0
    for out, expected in zip(ours, theirs):
        assert sorted(out.keys()) == sorted(expected.keys())
        for key, value in expected.items():
            assert out[key].dtype == value.dtype
            assert torch.equal(out[key], value), key
        for a, b in zip(out.to_data_list(), expected.to_data_list()):
            assert all(torch.equal(a[key], b[key]) for key in b.keys())


def stock(dataset, **kwargs):
    return DataLoader(dataset, follow_batch=['click_index'], **kwargs)


@pytest.mark.parametrize(
    'part',
    [
        lambda x: x,
        lambda x: x[10:50:3],
        lambda x: x[torch.tensor([5, 5, 0])],
        lambda x: x[[7, 3]],
        lambda x: x[::2][3:9],
        lambda x: x[:0.5],
        lambda x: Subset(x, [9, 1, 4]),
        lambda x: Subset(Subset(x[20:40], range(3, 19)), [2, 0, 2]),
    ],
    ids=[
        'all',
        'slice',
        'tensor',
        'list',
        'twice',
        'half',
        'subset',
        'nested',
    ],
)
def test_equals_stock_loader(dataset, part):
    data = part(dataset)
    ours = SessionLoader(data, batch_size=8)
    assert_equal_batches(ours, stock(data, batch_size=8))
    assert len(ours.dataset) == len(data)


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('drop_last', [False, True])
def test_equals_stock_loader_shuffled(dataset, num_workers, drop_last):
    loaders = [
        cls(
            dataset,
            batch_size=10,
            shuffle=True,
            drop_last=drop_last,
            num_workers=num_workers,
            generator=torch.Generator().manual_seed(3),
        )
        for cls in [SessionLoader, stock_loader]
    ]
    for _ in range(2):  # Every epoch in another order.
        assert_equal_batches(*loaders)


def test_workers_that_are_not_forked(dataset):
    """Tensors then move to shared memory, in the parent as well."""
    expected = list(SessionLoader(dataset, batch_size=10))
    loader = SessionLoader(
        dataset, 10, num_workers=1, multiprocessing_context='spawn'
    )
    assert_equal_batches(loader, expected)
    assert_equal_batches(SessionLoader(dataset, batch_size=10), expected)


def test_graphs_are_made_before_the_workers(dataset):
    assert dataset._graphs is None
    loader = SessionLoader(dataset, num_workers=1)
    assert loader._batches.dataset._graphs is not None


def stock_loader(dataset, **kwargs):
    return stock(dataset, **kwargs)


def test_transforms(dataset):
    assert SessionLoader(dataset).transform is None
    dataset.transform = double
    ours = SessionLoader(dataset[:20], batch_size=8)
    assert_equal_batches(ours, stock(dataset[:20], batch_size=8))
    assert next(iter(ours)).edge_weight.unique().tolist() == [2]
    other = SessionLoader(dataset, 8, transform=lambda batch: batch)
    assert next(iter(other)).edge_weight.unique().tolist() == [1]


def test_a_transform_that_is_false_counts(dataset):
    dataset.transform = double
    nothing = torch.nn.Sequential()  # Has length zero.
    ours = SessionLoader(dataset, batch_size=8, transform=nothing)
    assert ours.transform is nothing
    dataset.transform = None
    assert_equal_batches(ours, stock(dataset, batch_size=8))


def test_transform_may_be_set_later(dataset):
    ours = SessionLoader(dataset, batch_size=8)
    theirs = stock(dataset, batch_size=8)
    dataset.transform = double
    assert ours.transform is double
    assert_equal_batches(ours, theirs)


def test_pre_transform(srgnn_root):
    root = srgnn_root([[1, 2, 3, 1]] * 4, ([[1]], [2]))
    dataset = Diginetica(root, pre_transform=double, transform=double)
    ours = SessionLoader(dataset, batch_size=3)
    assert_equal_batches(ours, stock(dataset, batch_size=3))
    assert next(iter(ours)).edge_weight.unique().tolist() == [4]


def test_samples_know_their_session(dataset):
    sessions = dataset.flat_sessions
    for loader in [SessionLoader(dataset, 8), stock(dataset, batch_size=8)]:
        session = torch.cat([batch.session for batch in loader])
        expected = [
            number
            for number, length in enumerate(sessions.length.tolist())
            for _ in range(length - 1)
        ]
        assert session.dtype == torch.int64
        assert session.tolist() == expected
    part = dataset[10:50:3]
    session = next(iter(SessionLoader(part, 99))).session
    assert session.tolist() == [expected[i] for i in range(10, 50, 3)]
    test = Diginetica(dataset.root, 'test', val_ratio=0)
    assert next(iter(SessionLoader(test))).session.tolist() == [-1]
    assert test[0].session.tolist() == [-1]


class Sometimes(T.BaseTransform):
    """One draw for a graph, a new object, and a node more."""

    def forward(self, data):
        new = Data(**data.to_dict())
        if torch.rand(()) < 0.5:
            new.x = torch.cat([new.x, torch.randint(9, (1,))])
        new.edge_weight = new.edge_weight / (1 + new.x.numel())
        new.length = new.click_index.numel()
        return new


class Normalise(NormalizeEdges):
    """A subclass, which takes batches too."""


class Drop(T.Compose):
    """Composes in its own way: graph by graph it must be."""

    def forward(self, data):
        return super().forward(data) if torch.rand(()) < 0.5 else data


def last_only(data, count=1):
    assert not isinstance(data, Batch)
    data.click_index = data.click_index[-count:]
    return data


ONE_GRAPH = {
    'function': last_only,
    'lambda': lambda data: last_only(data, 2),
    'partial': functools.partial(last_only, count=3),
    'method': Sometimes().forward,
    'new objects': Sometimes(),
    'virtual node': T.VirtualNode(),
    'components': T.LargestConnectedComponents(),
    'self-loops': T.AddSelfLoops(attr='edge_weight'),
    'module': torch.nn.Sequential(),
    'composed': T.Compose([Normalise(), Sometimes(), NormalizeEdges()]),
    'own compose': Drop([double]),
    'channels': T.Compose([WeightChannels([T.Compose([]), double])]),
    'workers': Sometimes(),
}


@pytest.mark.parametrize('name', ONE_GRAPH)
def test_transforms_for_one_graph(dataset, name):
    """Their draws too are those of PyG's loader."""
    num_workers = 2 * (name == 'workers')
    dataset.transform = ONE_GRAPH[name]
    batches = []
    for cls in [stock_loader, SessionLoader]:
        torch.manual_seed(0)
        loader = cls(dataset[5:], batch_size=16, num_workers=num_workers)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            batches.append([batch for _ in range(2) for batch in loader])
        told = [x for x in caught if 'batchwise' in str(x.message)]
        assert len(told) == (cls is SessionLoader)
    assert_equal_batches(*batches[::-1])


def test_what_is_said_of_a_transform_for_one_graph(dataset):
    transform = T.Compose([NormalizeEdges(), T.Compose([Sometimes()])])
    loader = SessionLoader(dataset, 8, transform=transform)
    told = 'Sometimes is applied .* slow; .* `batchwise = True`'
    with pytest.warns(UserWarning, match=told) as caught:
        iter(loader)
    assert caught[0].filename == __file__


@pytest.mark.parametrize('late', [None, double, NormalizeEdges()])
@pytest.mark.parametrize('early', [Sometimes(), NormalizeEdges()])
def test_pre_transform_for_one_graph(srgnn_root, early, late):
    root = srgnn_root([[1, 2, 3, 1], [2, 2]] * 4, ([[1]], [2]))
    dataset = Diginetica(root, pre_transform=early, transform=late)
    batches = []
    for cls in [SessionLoader, stock_loader]:
        torch.manual_seed(0)
        batches.append(list(cls(dataset, batch_size=5)))
    assert_equal_batches(*batches)


class Batches:
    batchwise = True

    def __call__(self, batch):
        assert isinstance(batch, Batch)
        return double(batch)


def test_transforms_that_say_that_they_take_batches(dataset):
    function = functools.partial(Batches.__call__, Batches())
    function.batchwise = True
    stock_transform = T.Constant()
    stock_transform.batchwise = True
    for transform in [
        Batches(),
        function,
        T.Compose([Batches(), Normalise(), stock_transform]),
        WeightChannels([T.Compose([]), Batches()]),
    ]:
        loader = SessionLoader(dataset, 20, transform=transform)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            assert len(list(loader)) == len(loader)


def test_transforms_of_the_package_take_batches():
    for name in pyg_sessaug.transforms.__all__:
        cls = getattr(pyg_sessaug.transforms, name)
        if isinstance(cls, type):
            assert cls.batchwise is True, name
    assert graph_by_graph(None) == []
    assert graph_by_graph(WeightChannels([NormalizeEdges(), double])) == [
        double
    ]


def test_names_of_the_stock_loader_are_taken(dataset):
    ours = SessionLoader(dataset, 4, follow_batch=['click_index'])
    assert_equal_batches(ours, stock(dataset, batch_size=4))
    with pytest.raises(TypeError, match=r"exclude_keys=\[\], got \['y'\]"):
        SessionLoader(dataset, 4, exclude_keys=['y'])


def test_other_data_sets():
    with pytest.raises(TypeError, match=r'SessionDataset .* got list'):
        SessionLoader([1, 2])


def test_no_batch_size(dataset):
    with pytest.raises(ValueError, match='batch_size=None; pass a number'):
        SessionLoader(dataset, batch_size=None)


@pytest.mark.data
def test_equals_stock_loader_on_real_sessions(shared_data, tmp_path):
    root = shared_data('diginetica')
    dataset = Diginetica(root, 'test', processed_root=tmp_path)[::150]
    loaders = [
        SessionLoader(dataset, batch_size=100),
        stock(dataset, batch_size=100),
    ]
    assert_equal_batches(*loaders)
