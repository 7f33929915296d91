import torch

from benchmarks.speed.yardsticks import DenseModel, dense_batch
from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.nn import SRGNN, TAGNN
from pyg_sessaug.transforms import NormalizeEdges

D = 6


def copy_weights(dense, model):
    """Gives a model of the package the weights of the dense one."""
    state = {
        'item_embedding': dense.embedding.weight[1:],
        'conv.lin.weight': torch.cat(
            [dense.lin_in.weight, dense.lin_out.weight]
        ),
        'conv.lin.bias': torch.cat([dense.lin_in.bias, dense.lin_out.bias]),
        'conv.bias': dense.bias,
        'readout.lin_last.weight': dense.lin_last.weight,
        'readout.lin_node.weight': dense.lin_node.weight,
        'readout.lin_node.bias': dense.lin_node.bias + dense.lin_last.bias,
        'readout.lin_score.weight': dense.lin_alpha.weight,
        **{f'conv.gru.{k}': v for k, v in dense.gru.state_dict().items()},
    }
    torch.nn.init.zeros_(dense.lin_session.bias)
    weight = dense.lin_session.weight  # [pooled | last]
    if isinstance(model, TAGNN):
        state['lin.weight'] = weight
        state['lin_key.weight'] = dense.lin_key.weight
    else:
        state['lin.weight'] = torch.cat([weight[:, D:], weight[:, :D]], 1)
    model.load_state_dict(state)


def last_samples(sessions):
    length = torch.tensor([len(s) for s in sessions])
    item = torch.tensor([item for s in sessions for item in s])
    graphs = SessionGraphs(Sessions.from_lengths(item, length))
    batch = graphs.batch((length - 1).cumsum(0) - 1)
    return NormalizeEdges()(batch), dense_batch(
        [s[:-1] for s in sessions], batch.y
    )


def test_dense_code_is_the_same_model():
    torch.manual_seed(0)
    dense, model = DenseModel(9, D), SRGNN(9, D)
    copy_weights(dense, model)
    batch, padded = last_samples([[1, 2, 1, 3, 4], [5, 5], [0, 8, 7, 8, 0, 2]])
    torch.testing.assert_close(model.score(batch), dense(padded))


def test_dense_tagnn_is_the_same_model_without_padding():
    torch.manual_seed(0)
    dense = DenseModel(9, D, tagnn=True)
    model = TAGNN(9, D, transform_target=False)
    copy_weights(dense, model)
    # Of one length: in the papers' code padding takes part in the softmax.
    batch, padded = last_samples([[1, 2, 1, 4], [5, 5, 6, 0], [0, 8, 7, 2]])
    torch.testing.assert_close(model.score(batch), dense(padded))
