import pytest
import torch

from pyg_sessaug.clusters import ItemClusters


def make_blobs(num_items=300, num_blobs=4, channels=5, noise=0.1):
    generator = torch.Generator().manual_seed(0)
    center = torch.randn(num_blobs, channels, generator=generator) * 5
    blob = torch.randint(num_blobs, (num_items,), generator=generator)
    embedding = center[blob] + noise * torch.randn(
        num_items, channels, generator=generator
    )
    return embedding, blob, center


def assert_same_partition(a, b):
    pairs = set(zip(a.tolist(), b.tolist()))
    assert (
        len(pairs) == len({i for i, _ in pairs}) == len({j for _, j in pairs})
    )


@pytest.mark.parametrize('method', ['gmm', 'kmeans'])
def test_fit_finds_blobs(method):
    embedding, blob, _ = make_blobs()
    torch.manual_seed(1)
    clusters = ItemClusters.fit(embedding, method, num_clusters=4)
    assert clusters.labels.shape == (300,)
    assert clusters.labels.dtype == torch.long
    assert clusters.centers.shape == (4, 5)
    assert clusters.centers.dtype == torch.float
    assert (clusters.num_items, clusters.num_clusters) == (300, 4)
    assert_same_partition(clusters.labels, blob)
    for label in range(4):
        mean = embedding[clusters.labels == label].mean(dim=0)
        assert clusters.centers[label].tolist() == pytest.approx(
            mean.tolist(), abs=1e-3
        )
    assert str(clusters) == (
        'ItemClusters(num_items=300, num_clusters=4, channels=5)'
    )


def test_fit_defaults():
    embedding, _, _ = make_blobs()
    torch.manual_seed(1)
    clusters = ItemClusters.fit(embedding)
    assert clusters.num_clusters == 8
    torch.manual_seed(1)
    again = ItemClusters.fit(embedding, method='gmm', num_clusters=8)
    assert torch.equal(clusters.labels, again.labels)
    assert torch.equal(clusters.centers, again.centers)


def test_fit_mixture_settings(monkeypatch):
    import sklearn.cluster
    import sklearn.mixture

    made = []

    class KMeans(sklearn.cluster.KMeans):
        def fit(self, *args, **kwargs):
            made.append(self)
            return super().fit(*args, **kwargs)

    class GaussianMixture(sklearn.mixture.GaussianMixture):
        def _initialize_parameters(self, *args, **kwargs):
            super()._initialize_parameters(*args, **kwargs)
            self.first_precision = self.precisions_cholesky_.copy()
            made.append(self)

    embedding, _, _ = make_blobs(noise=2.0)
    monkeypatch.setattr(sklearn.cluster, 'KMeans', KMeans)
    monkeypatch.setattr(sklearn.mixture, 'GaussianMixture', GaussianMixture)
    torch.manual_seed(3)
    clusters = ItemClusters.fit(embedding, num_clusters=4)
    monkeypatch.undo()

    kmeans, *_, mixture = made
    assert mixture.covariance_type == 'full'
    assert list(mixture.weights_init) == [0.25] * 4
    assert (mixture.means_init == kmeans.cluster_centers_).all()
    assert mixture.covariances_.shape == (4, 5, 5)
    assert clusters.centers.tolist() == mixture.means_.astype('f4').tolist()
    points = embedding.double().numpy()
    assert clusters.labels.tolist() == mixture.predict(points).tolist()
    # The first covariances are those of the clusters of KMeans:
    for label in range(4):
        inside = torch.from_numpy(points[kmeans.labels_ == label])
        root = torch.from_numpy(mixture.first_precision[label])
        covariance = inside.t().cov(correction=0) + 1e-6 * torch.eye(5)
        assert torch.allclose(
            root @ root.t() @ covariance, torch.eye(5).double(), atol=1e-6
        )


@pytest.mark.parametrize('method', ['gmm', 'kmeans'])
def test_fit_on_seen_items_only(method):
    embedding, _, _ = make_blobs()
    mask = torch.rand(300, generator=torch.Generator().manual_seed(1)) < 0.6
    torch.manual_seed(2)
    clusters = ItemClusters.fit(embedding, method, 4, mask)
    torch.manual_seed(2)
    alone = ItemClusters.fit(embedding[mask], method, 4)
    assert torch.equal(clusters.centers, alone.centers)
    assert torch.equal(clusters.labels[mask], alone.labels)
    # Brute force, for the rest:
    distance = embedding[~mask][:, None] - clusters.centers
    assert torch.equal(
        clusters.labels[~mask], distance.norm(dim=-1).argmin(dim=1)
    )


def test_nearest_centre_far_from_the_origin():
    torch.manual_seed(0)
    embedding = torch.randn(400, 8) * 0.05 + 30
    mask = torch.arange(400) < 200
    clusters = ItemClusters.fit(embedding, 'kmeans', 8, mask)
    distance = embedding[:, None].double() - clusters.centers.double()
    nearest = distance.norm(dim=-1).argmin(dim=1)
    assert torch.equal(clusters.labels[200:], nearest[200:])


def test_fit_draws_its_seed_from_torch():
    embedding = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    found = []
    for seed in (0, 0, 1, 2):
        torch.manual_seed(seed)
        found.append(ItemClusters.fit(embedding, 'kmeans').centers)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[2], found[3])


@pytest.mark.parametrize('method', ['gmm', 'kmeans'])
def test_fit_on_a_parameter(method):
    embedding = torch.nn.Parameter(make_blobs()[0])
    clusters = ItemClusters.fit(embedding, method, 2)
    assert not clusters.centers.requires_grad


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64])
def test_fit_dtypes(dtype):
    embedding = make_blobs()[0].to(dtype)
    mask = torch.arange(300) > 20
    clusters = ItemClusters.fit(embedding, 'kmeans', 2, mask)
    assert clusters.centers.dtype == torch.float


def test_fit_errors():
    embedding = make_blobs()[0]
    with pytest.raises(
        ValueError,
        match="method='dbscan'; choose one of "
        r"\['gmm', 'kmeans'\]",
    ):
        ItemClusters.fit(embedding, 'dbscan')
    with pytest.raises(ValueError, match='num_clusters=301 for 300 item'):
        ItemClusters.fit(embedding, num_clusters=301)
    with pytest.raises(ValueError, match='num_clusters=8 for 3 item'):
        ItemClusters.fit(embedding, mask=torch.arange(300) < 3)
    with pytest.raises(ValueError, match='num_clusters=0'):
        ItemClusters.fit(embedding, num_clusters=0)
    with pytest.raises(ValueError, match=r'a mask of shape \[299\]'):
        ItemClusters.fit(embedding, mask=torch.ones(299).bool())
    with pytest.raises(ValueError, match=r'type torch\.int64'):
        ItemClusters.fit(embedding, mask=torch.ones(300).long())
    with pytest.raises(ValueError, match='with 0 items; pass'):
        ItemClusters.fit(embedding, mask=torch.zeros(300).bool())
    with pytest.raises(ValueError, match=r'embedding of shape \[300\]'):
        ItemClusters.fit(embedding[:, 0])
    for value in (float('nan'), float('inf')):
        bad = embedding.clone()
        bad[[7, 30], 2] = value
        with pytest.raises(ValueError, match=r'2 item\(s\), \[7, 30\] first'):
            ItemClusters.fit(bad)


def test_from_categories():
    embedding = torch.tensor([[0.0, 2.0], [2.0, 4.0], [5.0, 5.0], [7.0, 1.0]])
    # Files number categories as they like:
    clusters = ItemClusters.from_categories(
        embedding, torch.tensor([43100, 43100, 43099, 43105])
    )
    assert clusters.labels.tolist() == [1, 1, 0, 2]
    assert clusters.centers.tolist() == [[5, 5], [1, 3], [7, 1]]


def test_from_categories_counts_seen_items():
    embedding = torch.tensor([[0.0, 2.0], [2.0, 4.0], [5.0, 5.0], [7.0, 1.0]])
    mask = torch.tensor([False, True, False, False])
    clusters = ItemClusters.from_categories(
        embedding, torch.tensor([0, 0, 1, 1]), mask
    )
    assert clusters.labels.tolist() == [0, 0, 1, 1]
    # None of the second category was seen: the mean of all of it.
    assert clusters.centers.tolist() == [[2, 4], [6, 3]]


def test_from_categories_errors():
    embedding = torch.randn(6, 3)
    with pytest.raises(
        ValueError,
        match=r'no category for 2 of 6 items, '
        r'\[1, 4\] first',
    ):
        ItemClusters.from_categories(
            embedding, torch.tensor([0, -1, 2, 0, -1, 1])
        )
    with pytest.raises(
        ValueError,
        match=r'no category for 3 of 6 items, '
        r'\[3, 4, 5\] first',
    ):
        ItemClusters.from_categories(embedding, torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match='got 7 categories for the 6 items'):
        ItemClusters.from_categories(embedding, torch.arange(7))
    with pytest.raises(ValueError, match=r'shape \[6, 1\]'):
        ItemClusters.from_categories(embedding, torch.zeros(6, 1).long())
    with pytest.raises(ValueError, match='NaN or infinite'):
        ItemClusters.from_categories(embedding / 0, torch.zeros(6).long())


def test_save_and_load(tmp_path, monkeypatch):
    embedding, blob, _ = make_blobs()
    clusters = ItemClusters.from_categories(embedding, blob)
    path = tmp_path / 'new' / 'clusters.pt'
    clusters.save(str(path))
    clusters.save(str(path))
    again = ItemClusters.load(str(path))
    assert torch.equal(again.labels, clusters.labels)
    assert torch.equal(again.centers, clusters.centers)
    assert [file.name for file in path.parent.iterdir()] == ['clusters.pt']

    monkeypatch.chdir(tmp_path)
    clusters.save('here.pt')
    assert ItemClusters.load('here.pt').num_items == 300


def test_load_errors(tmp_path):
    path = tmp_path / 'clusters.pt'
    torch.save({'weight': torch.zeros(3)}, path)
    with pytest.raises(ValueError, match='holds no item clusters'):
        ItemClusters.load(str(path))
    path.write_bytes(b'half a file')
    with pytest.raises(ValueError, match=r'ItemClusters\.save wrote'):
        ItemClusters.load(str(path))


def test_constructor_errors():
    labels, centers = torch.tensor([0, 1, 1]), torch.randn(2, 3)
    ItemClusters(labels, centers)
    with pytest.raises(ValueError, match='got label 2, but 2 centers'):
        ItemClusters(labels + 1, centers)
    with pytest.raises(ValueError, match='got label -1'):
        ItemClusters(labels - 1, centers)
    with pytest.raises(ValueError, match=r'type torch\.int32'):
        ItemClusters(labels.int(), centers)
    with pytest.raises(ValueError, match=r'type torch\.float64'):
        ItemClusters(labels, centers.double())
    with pytest.raises(ValueError, match='NaN or infinite'):
        ItemClusters(labels, centers / 0)
