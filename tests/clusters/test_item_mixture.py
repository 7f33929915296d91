import pytest
import torch

from pyg_sessaug.clusters import ItemClusters, ItemMixture


def make_items(num_items=240, channels=3):
    generator = torch.Generator().manual_seed(0)
    center = 2 * torch.randn(4, channels, generator=generator)
    noise = torch.randn(num_items, channels, generator=generator)
    return center[torch.arange(num_items) % 4] + noise


def gaussian(points, mean, covariance):
    density = torch.distributions.MultivariateNormal(mean, covariance)
    return density.log_prob(points).exp()


def test_fit_is_the_mixture_of_the_hard_clusters():
    embedding = make_items()
    torch.manual_seed(3)
    hard = ItemClusters.fit(embedding, 'gmm', 4)
    torch.manual_seed(3)
    mixture = ItemMixture.fit(embedding, 4)
    assert torch.equal(mixture.labels, hard.labels)
    assert torch.equal(mixture.clusters.labels, hard.labels)
    assert torch.equal(mixture.clusters.centers, hard.centers)
    assert (mixture.num_items, mixture.num_clusters) == (240, 4)
    assert str(mixture) == (
        'ItemMixture(num_items=240, num_clusters=4, channels=3)'
    )


def test_fit_is_a_fixed_point_of_em():
    # Equation (4.5): what one more step of EM gives, written down.
    embedding = make_items().double()
    mixture = ItemMixture.fit(embedding, 4)
    posterior = mixture.posterior.double()
    size = posterior.sum(dim=0)
    density = torch.stack(
        [
            gaussian(embedding, mean, covariance)
            for mean, covariance in zip(
                mixture.centers.double(), mixture.covariances.double()
            )
        ],
        dim=1,
    )
    expected = density * size / size.sum()
    expected /= expected.sum(dim=1, keepdim=True)
    torch.testing.assert_close(posterior, expected, rtol=0, atol=0.02)
    means = posterior.t() @ embedding / size.unsqueeze(1)
    torch.testing.assert_close(
        mixture.centers.double(), means, rtol=0, atol=0.02
    )
    for k in range(4):
        apart = embedding - means[k]
        covariance = (posterior[:, k, None] * apart).t() @ apart / size[k]
        torch.testing.assert_close(
            mixture.covariances[k].double(), covariance, rtol=0, atol=0.05
        )


def test_items_never_seen_belong_to_the_nearest_mean():
    embedding = make_items()
    mask = torch.arange(240) % 5 > 0
    torch.manual_seed(3)
    mixture = ItemMixture.fit(embedding, 4, mask)
    torch.manual_seed(3)
    alone = ItemMixture.fit(embedding[mask], 4)
    assert torch.equal(mixture.posterior[mask], alone.posterior)
    distance = embedding[~mask][:, None] - mixture.centers
    nearest = distance.norm(dim=-1).argmin(dim=1)
    expected = torch.eye(4)[nearest]
    assert torch.equal(mixture.posterior[~mask], expected)
    torch.manual_seed(3)
    hard = ItemClusters.fit(embedding, 'gmm', 4, mask)
    assert torch.equal(mixture.labels, hard.labels)


def test_default_type_of_floats():
    torch.set_default_dtype(torch.float64)
    try:
        mask = torch.arange(240) < 200
        mixture = ItemMixture.fit(make_items().float(), 4, mask)
    finally:
        torch.set_default_dtype(torch.float32)
    assert mixture.posterior.dtype == torch.float32


def test_save_and_load(tmp_path):
    mixture = ItemMixture.fit(make_items(), 2)
    path = str(tmp_path / 'mixture.pt')
    mixture.save(path)
    again = ItemMixture.load(path)
    for key, value in vars(mixture).items():
        assert torch.equal(getattr(again, key), value)
    mixture.clusters.save(path)
    with pytest.raises(ValueError, match='holds no item mixture; pass a fil'):
        ItemMixture.load(path)
    mixture.save(path)
    with pytest.raises(ValueError, match='holds no item clusters'):
        ItemClusters.load(path)


def test_errors():
    embedding = make_items()
    with pytest.raises(ValueError, match=r'ItemMixture\.fit got num_clusters'):
        ItemMixture.fit(embedding, 241)
    with pytest.raises(ValueError, match=r'ItemMixture\.fit got a mask of'):
        ItemMixture.fit(embedding, mask=torch.ones(3).bool())
    half, centers = torch.full((5, 2), 0.5), torch.randn(2, 3)
    covariances = torch.eye(3).expand(2, 3, 3)
    ItemMixture(half, centers, covariances)
    with pytest.raises(ValueError, match=r'posterior of shape \[5, 1\]'):
        ItemMixture(half[:, :1], centers, covariances)
    with pytest.raises(ValueError, match=r'covariances .*torch\.float64'):
        ItemMixture(half, centers, covariances.double())
    with pytest.raises(ValueError, match='centers with NaN or infinite'):
        ItemMixture(half, centers / 0, covariances)
    with pytest.raises(ValueError, match='centers of 1 dimensions'):
        ItemMixture(half, centers[0], covariances)
    for bad in (half / 2, torch.tensor([[1.5, -0.5]])):
        with pytest.raises(ValueError, match='are no probabilities'):
            ItemMixture(bad, centers, covariances)
