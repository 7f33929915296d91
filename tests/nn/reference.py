"""Checks a model against scores of single sessions, written by equations."""

import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.transforms import NormalizeEdges

NUM_ITEMS = 9

#: Sessions with their target as the last click.
sessions_of_clicks = st.lists(
    st.lists(st.integers(0, NUM_ITEMS - 1), min_size=2, max_size=9),
    min_size=1,
    max_size=6,
)


def last_samples(clicks):
    """Each session without its last click, which is the target."""
    item = torch.tensor([i for session in clicks for i in session])
    length = torch.tensor([len(session) for session in clicks])
    graphs = SessionGraphs(Sessions.from_lengths(item, length))
    return graphs.batch((length - 1).cumsum(0) - 1)


def build(cls, **kwargs):
    """A small model in float64, far from the linear regime."""
    torch.manual_seed(1)
    model = cls(NUM_ITEMS, 6, **kwargs).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return with_categories(model)


def with_categories(model):
    """A model that tells modes apart, if it can."""
    if hasattr(model, 'category'):
        model.category = torch.arange(model.num_items) % 3
    return model


def assert_equals_reference(model, scores, clicks):
    """Scores, loss and gradients of a float64 model.

    Args:
        model: The model; without dropout, or in evaluation mode.
        scores: Function of the model and the clicks of one session, without
            the target, that returns the scores of all items.
        clicks: Sessions with their target as the last click.
    """
    batch = last_samples(clicks)
    batch.edge_weight = batch.edge_weight.double()
    batch = NormalizeEdges()(batch)
    out = model.score(batch)
    expected = torch.stack([scores(model, c[:-1]) for c in clicks])
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-8)

    parameters = dict(model.named_parameters())
    wanted = F.cross_entropy(expected, batch.y)
    loss = model.loss(batch)
    torch.testing.assert_close(loss, wanted, rtol=1e-6, atol=1e-8)
    grads = [
        torch.autograd.grad(x, list(parameters.values()), allow_unused=True)
        for x in (loss, wanted)
    ]
    for name, own, plain in zip(parameters, *grads):
        if plain is None or own is None:
            for grad in (own, plain):
                assert grad is None or not grad.any(), name
            continue
        torch.testing.assert_close(
            own,
            plain,
            rtol=1e-6,
            atol=1e-8,
            msg=lambda m, name=name: f'{name}: {m}',
        )
