from itertools import pairwise

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GATv2Conv
from torch_geometric.transforms import Compose

from pyg_sessaug.counts import CoVisits
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.nn import GCEGNN, SRGNN
from pyg_sessaug.serving.model_file import restore_transform, transform_state
from pyg_sessaug.training.describe import describe
from pyg_sessaug.transforms import CovisitWeight, NormalizeEdges
from tests.counts.logs import (
    LATER,
    NUM_ITEMS,
    TRAIN,
    Log,
    batch,
    flat,
    parts,
)

STEPS = dict(
    max_gap=1, backward=0.0, item_power=0.0, row_power=0.0, tau=1e9, folds=3
)


def fitted(sessions=TRAIN, num_items=NUM_ITEMS, **options):
    return CoVisits(num_items, **options).update(flat(sessions))


def count_steps(sessions, left_out=None, folds=3):
    """Transitions of sessions, one by one, but for those of a fold."""
    count = torch.zeros(NUM_ITEMS, NUM_ITEMS)
    for number, session in enumerate(sessions):
        if left_out is None or number % folds != left_out:
            for i, j in pairwise(session):
                count[i, j] += 1
    return count


def weights_by(count, data, mean):
    source, target = data.x[data.edge_index]
    return 1 + count[source, target] / mean


def assert_same(a, b):
    assert set(a.keys()) == set(b.keys())
    for key, value in a.to_dict().items():
        assert torch.equal(value, b[key]), key


def test_counts_of_other_sessions_one_by_one():
    covisits = fitted(**STEPS)
    transform, data = CovisitWeight(covisits), parts(TRAIN)
    count = count_steps(TRAIN)
    mean = float(count[count > 0].mean())
    weight = transform(data).edge_weight
    session = data.session[data.batch[data.edge_index[0]]]
    for fold in range(3):
        own = session % 3 == fold
        other = weights_by(count_steps(TRAIN, fold), data, mean)
        torch.testing.assert_close(weight[own], other[own])
    # Who does not say of which session a graph is a part counts it, too:
    # every step is then known, which few of a new session are.
    alone = data.clone()
    del alone.session
    naive = transform(alone).edge_weight
    torch.testing.assert_close(naive, weights_by(count, data, mean))
    later = batch(LATER)
    new = transform(later).edge_weight
    torch.testing.assert_close(new, weights_by(count, later, mean))
    assert bool((naive > 1).all())
    share = [float((x == 1).float().mean()) for x in (weight, new)]
    assert min(share) > 0.1
    assert abs(share[0] - share[1]) < 0.1


@pytest.mark.parametrize('shuffled', [False, True])
def test_one_graph_or_a_batch(tmp_path, shuffled):
    data = Log(str(tmp_path))
    transform = CovisitWeight(fitted(), shuffled=shuffled)
    plain = [data.get(i) for i in range(50)]
    single = [transform(x) for x in plain]
    loader = SessionLoader(data, 50, transform=transform)
    together = next(iter(loader))
    assert_same(Batch.from_data_list(single, ['click_index']), together)
    for old, new, back in zip(plain, single, together.to_data_list()):
        assert_same(new, back)
        assert torch.equal(old.edge_weight, torch.ones(old.num_edges))


def test_p_is_the_share_of_training_edges():
    covisits, data = fitted(**STEPS), parts(TRAIN)
    whole = CovisitWeight(covisits)(data).edge_weight
    torch.manual_seed(0)
    some = CovisitWeight(covisits, p=0.3)(data).edge_weight
    known = whole > 1
    drawn = (some == whole)[known]
    assert float(drawn.float().mean()) == pytest.approx(0.3, abs=0.05)
    assert bool((some[known][~drawn] == 1).all())
    later = batch(LATER)
    for p in (0.0, 0.3, 1.0):
        out = CovisitWeight(covisits, p=p)(later).edge_weight
        assert torch.equal(out, CovisitWeight(covisits)(later).edge_weight)
    old = later.clone()
    old.edge_weight = old.edge_weight * 3
    torch.testing.assert_close(
        CovisitWeight(covisits)(old).edge_weight, 3 * out
    )


def with_noise(num_sessions, circle=20):
    """Walks round a circle of items, with a stray item after some steps."""
    sessions = []
    for _ in range(num_sessions):
        place, clicks = int(torch.randint(circle, (1,))), []
        for _ in range(6):
            clicks.append(place)
            place = (place + 1) % circle
            if float(torch.rand(1)) < 0.3:
                clicks.append(int(torch.randint(circle, (1,))))
        sessions.append(clicks)
    return sessions


def test_it_finds_the_steps_that_others_take_and_shuffled_does_not():
    torch.manual_seed(0)
    train, later = with_noise(600), with_noise(200)
    covisits = fitted(train, 20, max_gap=1, backward=0.0)
    for data in (parts(train), batch(later)):
        source, target = data.x[data.edge_index]
        real = target == (source + 1) % 20
        share = {}
        for shuffled in (False, True):
            transform = CovisitWeight(covisits, shuffled=shuffled)
            weight = transform(data).edge_weight
            # How often a real step outweighs a stray one:
            good, bad = weight[real].view(-1, 1), weight[~real].view(1, -1)
            share[shuffled] = float(
                (good > bad).float().mean() + (good == bad).float().mean() / 2
            )
            if not shuffled:
                law = weight
        assert share[False] > 0.95
        assert abs(share[True] - 0.5) < 0.1
        # The same law: as many heavy edges.
        heavy = law.median()
        assert float((weight >= heavy).float().mean()) == pytest.approx(
            float((law >= heavy).float().mean()), abs=0.1
        )


def test_models_see_it():
    data = batch(LATER)
    plain = NormalizeEdges()(data.clone())
    weighed = Compose([CovisitWeight(fitted(**STEPS)), NormalizeEdges()])(data)
    assert not torch.equal(plain.edge_attr, weighed.edge_attr)
    for cls in (SRGNN, GCEGNN):
        torch.manual_seed(0)
        model = cls(NUM_ITEMS, 8).eval()
        assert not torch.allclose(model.score(plain), model.score(weighed))


def test_a_stock_attention_learns_from_it(tmp_path):
    """PyG's layer and loader."""
    torch.manual_seed(0)
    data = Log(str(tmp_path))
    transform = Compose([CovisitWeight(fitted()), NormalizeEdges()])
    graphs = [transform(data.get(i)) for i in range(60)]
    loader = DataLoader(graphs, 30, follow_batch=['click_index'])
    table = torch.nn.Embedding(NUM_ITEMS, 8)
    conv = GATv2Conv(8, 8, edge_dim=2, add_self_loops=False)
    loss = 0.0
    for part in loader:
        x = conv(table(part.x), part.edge_index, part.edge_attr)
        last = part.click_index[part.click_index_ptr[1:] - 1]
        score = (x + table(part.x))[last] @ table.weight.t()
        loss = loss + torch.nn.functional.cross_entropy(score, part.y)
    loss.backward()
    grad = conv.lin_edge.weight.grad
    assert bool(grad.isfinite().all())
    assert float(grad.abs().sum()) > 0


def test_what_was_sorted_is_in_no_file():
    transform = CovisitWeight(fitted(), shuffled=True)
    before, data = describe(transform), parts(TRAIN)
    weight = transform(data.clone()).edge_weight
    transform.set_epoch(0)
    assert describe(transform) == before
    state = transform_state(transform)
    assert set(state['tensors']) == {'order'}
    assert set(state['settings']['covisits']['weights']) == {'item', 'ptr'}
    again = restore_transform(state)(data.clone()).edge_weight
    assert torch.equal(again, weight)


def test_repr_and_errors():
    covisits = fitted()
    assert repr(CovisitWeight(covisits)) == (
        'CovisitWeight(p=1.0, shuffled=False)'
    )
    with pytest.raises(ValueError, match='call fit'):
        CovisitWeight(CoVisits(3))
    with pytest.raises(ValueError, match='no probability'):
        CovisitWeight(covisits, p=2)
    with pytest.raises(ValueError, match='covers items 0 to 29'):
        CovisitWeight(covisits)(batch([[40, 2, 1]]))
    with pytest.raises(ValueError, match='is from'):
        CovisitWeight(fitted(TRAIN[:5]))(parts(TRAIN))
