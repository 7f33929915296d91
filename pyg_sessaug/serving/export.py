r"""Models for programs that know nothing of session graphs."""

import os
from typing import Any, NamedTuple, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch_geometric.data import Data

from pyg_sessaug.data.graphs import session_batch
from pyg_sessaug.evaluation import session_vectors
from pyg_sessaug.files import save_together
from pyg_sessaug.nn import SRGNN, TAGNN, SessionModel
from pyg_sessaug.nn.interface import device_of
from pyg_sessaug.serving.model_file import replaced_modules
from pyg_sessaug.transforms import NormalizeEdges

# Items that target attention is computed for at a time.
CHUNK_SIZE = 4096


#: What a program on graphs takes, in this order.
GRAPH_TENSORS = (
    'x',
    'edge_index',
    'edge_attr',
    'click_index',
    'batch',
    'ptr',
    'click_index_ptr',
)


def export_model(
    model: Any, vectors: bool = False, padded: Optional[bool] = None
) -> ExportedProgram:
    r"""Exports a model to a program that needs PyTorch alone.

    A program on padded sessions takes clicked items ``[B, L]`` int64, where
    what is behind the end of a session is ignored, and clicks of each session
    ``[B]`` int64, at least 1. It builds the graphs itself, densely: there are
    such programs for SRGNN and TAGNN.

    A program on graphs takes the tensors of a batch that
    :obj:`GRAPH_TENSORS` names, in that order; ``edge_attr`` is
    ``[E, 2]``, or ``[E, 2, C]`` for a model with :obj:`num_channels`. It is
    for any model that :func:`torch.export.export` can follow: one whose
    layers look at no values to tell a size, as those do that pad sessions
    to the longest one, and :class:`torch.nn.GRU`.

    Either returns the scores of all items ``[B, num_items]``. All sizes but
    the numbers of items and channels are dynamic. Programs are kept by
    :func:`torch.export.save`. They check nothing: each session has a click.

    Args:
        model (SessionModel): The model; on the device where the program is
            to run.
        vectors (bool): Whether to return the session vectors ``[B, d]``
            instead, whose products with the item vectors are the scores.
            (default: :obj:`False`)
        padded (bool, optional): Whether the program is to take padded
            sessions rather than graphs. (default: :obj:`None`, where there
            are such programs)

    Raises:
        ValueError: If there is no such program, as of a model with a
            context, a module of the model was
            replaced and the program is on padded sessions, or scores of the
            model are no products of vectors.
    """
    if not hasattr(model, 'item_embedding'):
        raise ValueError(
            f'export_model got a {type(model).__name__}, which has no item '
            f'vectors, as counts and blends; export the module of it that '
            f'has `item_embedding`, and serve the rest by Recommender'
        )
    if getattr(model, 'context', 0) > 0:
        raise ValueError(
            f'export_model got a {type(model).__name__} with '
            f'context={model.context}, and no program seeks similar '
            f'sessions; export one without'
        )
    if padded is None:
        padded = type(model) in (SRGNN, TAGNN)
    if vectors:
        _check_vectors(model)
    training = model.training
    try:
        with torch.no_grad():
            export = _export_padded if padded else _export_graphs
            return export(model, vectors)
    finally:
        model.train(training)


def _export_padded(model: Any, vectors: bool) -> ExportedProgram:
    if type(model) not in (SRGNN, TAGNN):
        raise ValueError(
            f'export_model got a {type(model).__name__}; only SRGNN and '
            f'TAGNN are exported to take padded sessions: pass padded=False'
        )
    for part in replaced_modules(model):
        raise ValueError(
            f'export_model knows the layers of {type(model).__name__} alone, '
            f'but `{part}` was replaced; pass padded=False'
        )
    item = torch.zeros(2, 3, dtype=torch.long, device=model.lin.weight.device)
    batch = Dim('batch')
    return torch.export.export(
        _Padded(model, vectors).eval(),
        (item, item.new_tensor([3, 2])),
        dynamic_shapes=({0: batch, 1: Dim('clicks')}, {0: batch}),
    )


def _export_graphs(model: Any, vectors: bool) -> ExportedProgram:
    length = torch.tensor([4, 2, 7])
    item = torch.arange(int(length.sum())) % min(model.num_items, 5)
    example = NormalizeEdges()(session_batch(item, length))
    channels = getattr(model, 'num_channels', None)
    if channels is not None:
        weight = example.edge_attr.unsqueeze(2)
        example.edge_attr = weight.expand(-1, -1, channels).contiguous()
    example = example.to(device_of(model))
    nodes, edges, clicks, ends = map(Dim, ('nodes', 'edges', 'clicks', 'ends'))
    try:
        return torch.export.export(
            _Graphs(model, vectors).eval(),
            tuple(example[name] for name in GRAPH_TENSORS),
            dynamic_shapes=(
                {0: nodes},
                {1: edges},
                {0: edges},
                {0: clicks},
                {0: nodes},
                {0: ends},
                {0: ends},
            ),
            strict=False,
        )
    except Exception as error:
        raise ValueError(
            f'torch.export cannot follow {type(model).__name__}, see the '
            f'error above; a layer of it may take a size from the values of '
            f'a tensor: serve it by Recommender'
        ) from error


def save_vectors(
    model: SessionModel, dataset: Any, folder: Union[str, 'os.PathLike[str]']
) -> None:
    r"""Writes item and session vectors for an index of nearest neighbours.

    Their inner product is the score. Files are NumPy's, float32, written both
    or not at all: ``item_vectors.npy`` ``[num_items, d]``, in
    the order of :obj:`item_ids`, and ``session_vectors.npy``
    ``[num_samples, d]``.

    Args:
        model (SessionModel): The model.
        dataset (SessionDataset or Subset): The samples.
        folder (str): Where to write; made if missing.

    Raises:
        ValueError: If the scores of the model are no inner products.
    """
    _check_vectors(model)
    table = model._shape(model.item_embedding.detach())
    vectors = {
        'item_vectors.npy': table.cpu().numpy(),
        'session_vectors.npy': session_vectors(model, dataset).numpy(),
    }
    save_together(
        {os.path.join(folder, name): value for name, value in vectors.items()}
    )


def _check_vectors(model: Any) -> None:
    score = getattr(type(model), 'score', None)
    if score is not SessionModel.score:
        raise ValueError(
            f'a {type(model).__name__} has no one vector for a session that '
            f'items are scored by; use a model that leaves score() as '
            f'SessionModel has it, such as SRGNN'
        )


class _Graphs(torch.nn.Module):
    r"""A model on the tensors of a batch."""

    def __init__(self, model: Any, vectors: bool) -> None:
        super().__init__()
        self.model, self.vectors = model, vectors

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        click_index: Tensor,
        batch: Tensor,
        ptr: Tensor,
        click_index_ptr: Tensor,
    ) -> Tensor:
        # torch.export takes the number of sessions, one less than that of
        # pointers, for at least two: here is one more, left out at the end
        # in a way that makes their number one of the data.
        end = ptr[-1:]
        data = Data(
            x=torch.cat([x, torch.zeros_like(end)]),
            edge_index=edge_index,
            edge_attr=edge_attr,
            click_index=torch.cat([click_index, end]),
            batch=torch.cat([batch, batch[-1:] + 1]),
            ptr=torch.cat([ptr, end + 1]),
            click_index_ptr=torch.cat(
                [click_index_ptr, click_index_ptr[-1:] + 1]
            ),
        )
        run = self.model if self.vectors else self.model.score
        out: Tensor = run(data)
        known = (click_index_ptr < click_index_ptr[-1]).nonzero().view(-1)
        return out.index_select(0, known)


class _Graph(NamedTuple):
    r"""Dense graphs of padded sessions, with a node for each click.

    All clicks of an item share the node of the first one; other nodes have
    no clicks and no edges.
    """

    node: Tensor  # Whether a click is on a node, [B, L, L].
    share_in: Tensor  # Row j: shares of what node j receives, [B, L, L].
    share_out: Tensor  # Row i: of what it receives back, [B, L, L].


def _graph(item: Tensor, length: Tensor) -> _Graph:
    place = torch.arange(item.size(1), device=item.device)
    known = place < length.unsqueeze(1)
    same = (item.unsqueeze(2) == item.unsqueeze(1)) & known.unsqueeze(1)
    first = torch.where(same, place, item.size(1)).amin(dim=2)
    node = (first.unsqueeze(2) == place) & known.unsqueeze(2)
    click = node.float()
    after = F.pad(click, (0, 0, 0, 1))[:, 1:]  # No size of L - 1: it may be 0.
    edge = (click.transpose(1, 2) @ after).clamp(max=1.0)
    return _Graph(
        node,
        (edge / edge.sum(dim=1, keepdim=True).clamp(min=1.0)).transpose(1, 2),
        edge / edge.sum(dim=2, keepdim=True).clamp(min=1.0),
    )


class _Padded(torch.nn.Module):
    r"""The equations of the models, without sparse graphs."""

    def __init__(self, model: Union[SRGNN, TAGNN], vectors: bool) -> None:
        super().__init__()
        self.model, self.vectors = model, vectors

    def forward(self, item: Tensor, length: Tensor) -> Tensor:
        model = self.model
        table, x, last, pooled, clicks = self._encode(item, length)
        if isinstance(model, SRGNN):
            vector = model.unit(model.lin(torch.cat([last, pooled], dim=1)))
            return vector if self.vectors else vector @ table.t()
        static = model.lin(torch.cat([pooled, last], dim=1)).unsqueeze(1)
        key, value = model.lin_key(x), model.unit(model.lin_target(x) + static)
        count = clicks.log().unsqueeze(2)  # Minus infinity: no share.
        scores = []
        for part in table.split(CHUNK_SIZE):
            share = torch.softmax(key @ part.t() + count, dim=1)
            scores.append((share * (value @ part.t())).sum(dim=1))
        return torch.cat(scores, dim=1)

    def _encode(self, item: Tensor, length: Tensor) -> Tuple[Tensor, ...]:
        model, conv, readout = self.model, self.model.conv, self.model.readout
        graph, (batch, size) = _graph(item, length), item.size()
        table: Tensor = model.item_embedding
        if model.scale is not None:
            table = F.normalize(table, dim=1)
        weight: Any = 1.0
        if model.combine is not None:  # All channels of a plain graph agree.
            weight = model.combine.weight.sum()
        # Items behind the end may be anything, even out of range.
        known = torch.arange(size, device=item.device) < length.unsqueeze(1)
        x = F.embedding(torch.where(known, item, 0), table)
        for _ in range(model.num_layers):
            along, back = conv.lin(x).chunk(2, dim=2)
            a = torch.cat(
                [graph.share_in @ along, graph.share_out @ back], dim=2
            )
            a = weight * a + conv.bias
            x = conv.gru(a.flatten(0, 1), x.flatten(0, 1))
            x = x.view(batch, size, -1)
        index = (length - 1).view(-1, 1, 1).expand(-1, 1, size)
        last = (graph.node.float().gather(1, index) @ x).squeeze(1)
        clicks = graph.node.float().sum(dim=1)
        gate = readout.lin_node(x) + readout.lin_last(last).unsqueeze(1)
        alpha = readout.lin_score(torch.sigmoid(gate)) * clicks.unsqueeze(2)
        return table, x, last, (alpha * x).sum(dim=1), clicks
