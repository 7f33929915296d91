import pytest
import torch
from hypothesis import given, settings
from torch.nn.utils.rnn import pack_sequence

from pyg_sessaug.nn import GRU4Rec
from pyg_sessaug.nn.models.gru4rec import pack_clicks
from tests.nn.reference import (
    assert_equals_reference,
    build,
    last_samples,
    sessions_of_clicks,
)


def gru4rec_scores(model, clicks):
    """The equations, click by click."""
    d, inputs = 6, list(model.item_embedding[torch.tensor(clicks)])
    for layer in range(model.num_layers):
        w, u, b, c = (
            getattr(model.gru, f'{name}_l{layer}')
            for name in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
        )
        h = torch.zeros(d, dtype=torch.double)
        for t, x in enumerate(inputs):
            own, past = w @ x + b, u @ h + c
            r = torch.sigmoid(own[:d] + past[:d])
            keep = torch.sigmoid(own[d : 2 * d] + past[d : 2 * d])
            new = torch.tanh(own[2 * d :] + r * past[2 * d :])
            h = keep * h + (1 - keep) * new
            inputs[t] = h
    return model.item_embedding @ inputs[-1]


@pytest.mark.parametrize('num_layers', [1, 2])
@settings(max_examples=25, deadline=None)
@given(clicks=sessions_of_clicks)
def test_equals_the_equations(num_layers, clicks):
    model = build(GRU4Rec, num_layers=num_layers)
    assert_equals_reference(model, gru4rec_scores, clicks)


@settings(max_examples=25, deadline=None)
@given(clicks=sessions_of_clicks)
def test_packs_as_torch_does(clicks):
    batch = last_samples(clicks)
    x = torch.arange(batch.click_index.numel()).view(-1, 1)
    parts = list(x.split(batch.click_index_ptr.diff().tolist()))
    own, wanted = pack_clicks(x, batch), pack_sequence(parts, False)
    assert own.batch_sizes.tolist() == wanted.batch_sizes.tolist()
    assert own.data[:, 0].sort()[0].equal(x[:, 0])
    state = own.sorted_indices  # Ties may go either way.
    assert own.data[: len(parts)].equal(batch.click_index_ptr[state, None])
    assert state[own.unsorted_indices].tolist() == list(range(len(parts)))


@pytest.mark.parametrize('num_layers', [1, 2])
def test_drops_in_training_alone(num_layers):
    batch = last_samples([[1, 2, 3], [4, 5, 6, 0]])
    exact = build(GRU4Rec, num_layers=num_layers)
    assert exact.hidden_dropout == 0.0
    expected = exact.score(batch)
    model = build(GRU4Rec, num_layers=num_layers, hidden_dropout=0.5)
    assert not torch.equal(model.score(batch), model.score(batch))
    torch.testing.assert_close(model.eval().score(batch), expected)


def test_arguments():
    model = GRU4Rec(9)
    assert (model.hidden_channels, model.num_layers) == (100, 1)
    assert model.gru.hidden_size == 100
    assert model.scale is None
