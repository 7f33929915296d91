import pytest
import torch

from pyg_sessaug import Recommender, evaluate
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.nn import SRGNN, Blend, CategoryTerm, RepeatTerm
from pyg_sessaug.training import fit_categories, fit_repeats
from pyg_sessaug.transforms import NormalizeEdges
from tests.nn.models.test_repeat_term import Known, batch_of

CATEGORY = torch.tensor([0, 0, 2, 2, 1, -1, 0, -1, 1])
SESSIONS = [[3, 1, 3, 2], [5], [4, 4, 7, 4, 0], [5, 8, 6, 0, 0, 1]]


@pytest.mark.parametrize('num_clicks', [1, 3, 12])
def test_scores_by_hand(num_clicks):
    term = CategoryTerm(Known(), CATEGORY, num_clicks)
    term.bias.copy_(torch.randn(2, num_clicks))
    batch = batch_of(SESSIONS)
    expected = Known().score(batch)
    for row, session in enumerate(SESSIONS):
        clicked = [int(CATEGORY[x]) for x in session]
        for item, category in enumerate(CATEGORY.tolist()):
            if category < 0 or category not in clicked:
                continue
            since = clicked[::-1].index(category)
            before = clicked.count(category) - 1
            for part, k in zip(term.bias, (since, before)):
                expected[row, item] += part[min(k, num_clicks - 1)]
    torch.testing.assert_close(term.score(batch), expected)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('multimodal')
    options = dict(num_sessions=300, num_items=30)
    return [MultimodalSessions(root, x, **options) for x in ('train', 'val')]


def test_the_likeliest_values(data):
    """No step away from them raises the likelihood with its prior: most of
    the generated sessions stay in their category.
    """
    torch.manual_seed(0)
    _, val = data
    model = SRGNN(30, 8).eval()
    term = fit_categories(model, val, num_clicks=4)
    assert term.bias[0, 0] > 0.5

    @torch.no_grad()
    def likelihood(bias):
        term.bias.copy_(bias)
        batch = NormalizeEdges()(val.get_batch(torch.arange(len(val))))
        score = term.score(batch).double()
        loss = torch.nn.functional.cross_entropy(score, batch.y)
        return -len(val) * float(loss) - float(bias.square().sum()) / 2

    best = term.bias.clone()
    highest = likelihood(best)
    for _ in range(10):
        step = torch.randn(2, 4)
        assert highest > likelihood(best + 0.2 * step / step.norm()) - 1e-2
    term.bias.copy_(best)
    plain, better = (
        float((rank_samples(x, val) <= 5).float().mean())
        for x in (model, term)
    )
    assert better > plain + 0.1


def test_shuffled_categories_gain_nothing(data):
    torch.manual_seed(0)
    _, val = data
    model = SRGNN(30, 8).eval()
    category = val.categories[torch.randperm(30)]
    found = fit_categories(model, val, category).bias[0, 0]
    assert found < 0.5 * fit_categories(model, val).bias[0, 0]


def test_saved_with_its_model(data, tmp_path):
    torch.manual_seed(0)
    train, val = data
    network = SRGNN(30, 8).eval()
    category = val.categories.clone()
    category[:3] = -1
    term = fit_categories(fit_repeats(network, val), val, category)
    assert isinstance(term.model, RepeatTerm)
    blend = Blend([term, network], [0.3, 0.7])
    batch = NormalizeEdges()(val.get_batch(torch.arange(9)))
    for model in (term, blend):
        path = str(tmp_path / 'model.pt')
        Recommender.from_dataset(model, train).save(path)
        again = Recommender.load(path).model
        assert evaluate(again, val) == evaluate(model, val)
        assert torch.equal(again.score(batch), model.score(batch))


def test_errors(data):
    with pytest.raises(ValueError, match=r'of shape \[8\].*of 9 items'):
        CategoryTerm(Known(), CATEGORY[:8])
    with pytest.raises(ValueError, match='num_clicks=0'):
        CategoryTerm(Known(), CATEGORY, 0)
    part = torch.utils.data.Subset(data[1], [0, 1])
    with pytest.raises(ValueError, match='Subset without categories'):
        fit_categories(SRGNN(30, 8), part)
