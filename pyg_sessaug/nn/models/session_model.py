r"""What all session models share."""

import copy
from abc import ABC, abstractmethod
from typing import Any, Callable, Optional, Tuple, Type, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.data import Data
from torch_geometric.nn.inits import normal, reset
from torch_geometric.utils import cumsum

from pyg_sessaug.data.devices import is_exporting, on_host
from pyg_sessaug.nn.constructor import arguments_of
from pyg_sessaug.nn.loss.catalogue import (
    catalogue_cross_entropy,
    check_precision,
    check_target,
    product,
)
from pyg_sessaug.nn.loss.lookup import shared_lookup
from pyg_sessaug.nn.loss.sampled import Negatives, sampled_cross_entropy
from pyg_sessaug.nn.models.kept_table import KeptTable

M = TypeVar('M', bound='SessionModel')


class SessionModel(torch.nn.Module, ABC):
    r"""Turns the graph of a session into one vector that items are scored by.

    A model of one's own has one method, :meth:`session`; lookup, dropout,
    scores and loss are here:

    .. math::
        \mathbf{s} = f_{\theta}\big(\textrm{dropout}(\mathbf{e}_{x_1}, \ldots,
        \mathbf{e}_{x_N}), G\big), \quad
        \textrm{score}_v = \mathbf{s}^{\top} \mathbf{e}_v

    Example:
        >>> from pyg_sessaug.data.graphs import list_batch
        >>> from pyg_sessaug.nn import SessionModel
        >>> class Last(SessionModel):
        ...     def session(self, x, data):
        ...         return x[data.click_index[data.click_index_ptr[1:] - 1]]
        >>> Last(num_items=9).score(list_batch([[1, 2, 1], [5]])).size()
        torch.Size([2, 9])

    Whatever else a subclass is made with, it takes :obj:`num_items` and
    :obj:`hidden_channels`, passes :obj:`**kwargs` on, and keeps each argument
    as an attribute of its name, which files and ``repr`` read.

    Args:
        num_items (int): Size of the vocabulary.
        hidden_channels (int): Size :math:`d` of all vectors.
            (default: :obj:`100`)
        scale (float, optional): Scores items by cosine times this scale:
            session and item vectors get unit length, as in `"NISER"
            <https://arxiv.org/abs/1909.04276>`_.
            (default: :obj:`None`, plain dot products)
        dropout (float): Share of the entries of looked-up item vectors set
            to zero in training. (default: :obj:`0.0`)
        table_dropout (float): Share of the entries of the item table set to
            zero where a training step scores all items by it, as in `"CORE"
            <https://arxiv.org/abs/2204.11067>`_; what is looked up keeps
            them. (default: :obj:`0.0`)
        precision (str): :obj:`"float32"`, or :obj:`"bf16"` for a loss whose
            products with the item table are in bfloat16, see
            :func:`~pyg_sessaug.nn.catalogue_cross_entropy`; everything else,
            such as scores, is in float32. (default: :obj:`"float32"`)
    """

    #: Whether :meth:`session` gets items of unit length where scores are
    #: cosines.
    unit_items: bool = True

    #: Whether session and item vectors lose their mean before they are
    #: compared.
    center: bool = False

    #: What graphs go through before they are scored, apart from normalising:
    #: the part with :obj:`at_test = True` of the transform that the model was
    #: trained with, which :func:`~pyg_sessaug.training.fit` sets.
    test_transform: Optional[Callable[..., Any]] = None

    def __init__(
        self,
        num_items: int,
        hidden_channels: int = 100,
        *,
        scale: Optional[float] = None,
        dropout: float = 0.0,
        table_dropout: float = 0.0,
        precision: str = 'float32',
    ) -> None:
        super().__init__()
        check_precision(precision)
        if scale is not None and not scale > 0:
            raise ValueError(f'scale must be positive or None, got {scale}')
        for name, share in (
            ('dropout', dropout),
            ('table_dropout', table_dropout),
        ):
            if not 0.0 <= share < 1.0:
                raise ValueError(f'{name} must be in [0, 1), got {share}')
        self.num_items = num_items
        self.hidden_channels = hidden_channels
        self.scale = scale
        self.dropout = dropout
        self.table_dropout = table_dropout
        self.precision = precision
        self.item_embedding = Parameter(
            torch.empty(num_items, hidden_channels)
        )
        self._kept = KeptTable()
        # Not what a subclass makes of it, whose layers are yet to come.
        SessionModel.reset_parameters(self)

    @classmethod
    def from_dataset(
        cls: Type[M], dataset: Any, hidden_channels: int = 100, **kwargs: Any
    ) -> M:
        r"""A new model for a data set.

        Args:
            dataset (SessionDataset): The training samples.
            hidden_channels (int): Size :math:`d` of all vectors.
                (default: :obj:`100`)
            **kwargs (optional): Further arguments of the class.

        Raises:
            ValueError: If the model looks at sessions, and the data are not
                those of training.
        """
        model = cls(dataset.num_items, hidden_channels, **kwargs)
        model.observe(dataset)
        return model

    def observe(self, dataset: Any) -> None:
        r"""Takes what a model knows of the training sessions beside its
        samples, such as their counts, in place of what it knew; most models
        take nothing. :meth:`from_dataset` calls it, and
        :func:`~pyg_sessaug.training.fit` where it trains anew on more.

        Args:
            dataset (SessionDataset): The training samples.
        """

    def reset_parameters(self) -> None:
        r"""Draws the item vectors from :math:`\mathcal{N}(0, 0.1)`; every
        layer resets itself.
        """
        normal(self.item_embedding, mean=0.0, std=0.1)
        self._kept.clear()
        for layer in self.children():
            reset(layer)

    @abstractmethod
    def session(self, x: Tensor, data: Data) -> Tensor:
        r"""Session vectors, ``[B, d]``.

        Args:
            x (Tensor): Vectors of the items that :meth:`items` names,
                ``[N, d]``; by default one for each node.
            data (Batch): The session graphs. Every batch has :obj:`batch`
                ``[N]`` and :obj:`ptr` ``[B + 1]``, the session of each node
                and the first node of each session, :obj:`click_index`
                ``[L]``, the node of each click, and :obj:`click_index_ptr`
                ``[B + 1]``, the first click of each session; a single graph
                is a batch of one.
        """

    def items(self, data: Data) -> Tensor:
        r"""Items to look up, ``[N]``, int64: those of the nodes, and behind
        them whatever else a model needs.

        Args:
            data (Batch): The session graphs.
        """
        return data.x

    def prepare(self, data: Data) -> Data:
        r"""A batch with all that :meth:`items` and :meth:`session` read; what
        a model of its own adds to it, it adds to a copy.

        Args:
            data (Data or Batch): The session graphs.
        """
        return as_batch(data)

    def forward(self, data: Data) -> Tensor:
        r"""Session vectors as the scores use them, ``[B, d]``."""
        data = self.prepare(data)
        return self._vector(self._rows(data), data)

    def score(self, data: Data) -> Tensor:
        r"""Scores of all items, ``[B, num_items]``, float32."""
        data = self.prepare(data)
        x, table = self._rows_and_table(data)
        return product(self._vector(x, data), table.t())

    def loss(self, data: Data) -> Tensor:
        r"""Mean softmax cross-entropy of the targets over all items."""
        data = self.prepare(data)
        x, table = self._lookup(data)
        vector = self._vector(x, data)
        return catalogue_cross_entropy(vector, table, data.y, self.precision)

    def sampled_loss(self, data: Data, negatives: Negatives) -> Tensor:
        r"""Mean softmax cross-entropy of the targets over a sample of the
        items, in float32; only what is looked up has a gradient, a sparse one.

        Args:
            data (Batch): The session graphs.
            negatives (Negatives): Draws items to compare sessions with.
        """
        self._kept.clear()  # Training changes it at once.
        data = self.prepare(data)
        index, target = self.items(data), data.y
        size = data.ptr.numel() - 1
        check_target(target, size, self.num_items)
        item = torch.cat([negatives.draw(), target])
        rows = F.embedding(
            torch.cat([index, item]), self.item_embedding, sparse=True
        )
        x, table = rows.split([index.numel(), item.numel()])
        table = F.dropout(table, self.table_dropout, self.training)
        table = self._shape(table)
        return sampled_cross_entropy(
            self._vector(self._nodes(x), data),
            table[-size:],
            target,
            table,
            item,
            negatives.log_count(item, size),
        )

    def _vector(self, x: Tensor, data: Data) -> Tensor:
        return self.unit(self.session(x, data))

    def unit(self, vector: Tensor) -> Tensor:
        r"""Session vectors as the scores use them, in the type of items."""
        vector = self._shape(vector.to(self.item_embedding.dtype))
        return vector if self.scale is None else self.scale * vector

    def _shape(self, x: Tensor) -> Tensor:
        r"""Vectors of sessions or items as they are compared."""
        if self.center:
            x = x - x.mean(dim=-1, keepdim=True)
        return x if self.scale is None else F.normalize(x, dim=-1)

    def _rows(self, data: Data) -> Tensor:
        r"""Vectors of the items of a batch, ``[N, d]``."""
        return self._nodes(F.embedding(self.items(data), self.item_embedding))

    def _nodes(self, x: Tensor) -> Tensor:
        r"""Rows of the item table as :meth:`session` gets them."""
        return self._drop(self._shape(x) if self.unit_items else x)

    def _rows_and_table(self, data: Data) -> Tuple[Tensor, Tensor]:
        r"""The same, out of the vectors of all items, and those."""
        table: Tensor = self.item_embedding
        if self.training and self.table_dropout > 0.0:
            # What is looked up keeps its entries.
            table = self._shape(F.dropout(table, self.table_dropout))
            return self._rows(data), table
        if self.scale is not None or self.center:
            key = self.scale is None, self.center
            table = self._kept(table, key, self._shape)
        source = table if self.unit_items else self.item_embedding
        return self._drop(F.embedding(self.items(data), source)), table

    def _lookup(self, data: Data) -> Tuple[Tensor, Tensor]:
        r"""The same for a loss alone, see :func:`shared_lookup`."""
        self._kept.clear()  # Training changes it at once.
        x, table = shared_lookup(
            self.item_embedding,
            self.items(data),
            self.scale is not None,
            raw=not self.unit_items,
            dropout=self.table_dropout if self.training else 0.0,
            center=self.center,
        )
        return self._drop(x), table

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training else x

    def extra_repr(self) -> str:
        arguments = arguments_of(self)
        first = [
            str(arguments.pop(name))
            for name in ('num_items', 'hidden_channels')
            if name in arguments
        ]
        return ', '.join(first + [f'{k}={v!r}' for k, v in arguments.items()])


def check_training(model: torch.nn.Module, dataset: Any) -> None:
    r"""Whether a model may look at whole sessions of a data set.

    Args:
        model (torch.nn.Module): The model.
        dataset (SessionDataset): A split.

    Raises:
        ValueError: If the data are not those of training.
    """
    split = getattr(dataset, 'split', None)
    if split != 'train':
        raise ValueError(
            f'{type(model).__name__}.observe got '
            f'{f"the {split} split" if split else type(dataset).__name__}; '
            f'pass the training split, whole, whose sessions may be counted'
        )
    part = getattr(dataset, '_indices', None)  # Of a slice
    if part is not None and len(part) < dataset.flat_sessions.num_samples:
        raise ValueError(
            f'{type(model).__name__}.observe got a slice of {len(part)} '
            f'samples; pass the whole split, or one made with a `fraction`'
        )


def as_batch(data: Data) -> Data:
    r"""A batch with all that :meth:`SessionModel.session` may rely on.

    Args:
        data (Data or Batch): Session graphs.

    Raises:
        ValueError: If these are no session graphs, there is no session, or
            one without clicks.
    """
    click = data.get('click_index')
    if click is None:
        raise ValueError(
            f'got a {type(data).__name__} without `click_index`; pass graphs '
            f'of a session data set'
        )
    if data.get('batch') is None:  # A single graph is a batch of one.
        data = copy.copy(data)
        data.batch = torch.zeros_like(data.x)
        data.ptr = torch.tensor([0, data.x.numel()], device=click.device)
        data.click_index_ptr = data.ptr.new_tensor([0, click.numel()])
    elif data.get('click_index_ptr') is None:  # Without `follow_batch`.
        size = data.ptr.numel() - 1
        # Unlike bincount, of a size known beforehand.
        clicks = click.new_zeros(size).index_add_(
            0, data.batch[click], torch.ones_like(click)
        )
        data = copy.copy(data)
        data.click_index_ptr = cumsum(clicks)
    if is_exporting():  # A program cannot look at values.
        return data
    if data.click_index_ptr.numel() < 2:
        raise ValueError('got a batch without sessions; skip empty batches')
    if not getattr(data, '_checked', False):
        _check(data)
    return data


def to_device(data: Data, device: torch.device) -> Data:
    r"""Moves a batch. What models check of it is checked before, on the CPU,
    so that the host need not wait for another device.

    Args:
        data (Data or Batch): Session graphs on the CPU.
        device (torch.device): Where to.
    """
    if device.type == 'cpu':
        return data
    data = as_batch(data)
    data._checked = True
    # Elsewhere, such copies could be read too early.
    return data.to(device, non_blocking=device.type == 'cuda')


def _check(data: Data) -> None:
    x, shares = data.x, data.get('edge_attr')
    if x.dim() != 1 or x.is_floating_point():
        raise ValueError(
            f'`x` has shape {list(x.size())} and type {x.dtype}, but holds '
            f'the item of each node, [num_nodes] int64; a transform that '
            f'adds features must put them elsewhere, as by its `attr_name`'
        )
    if shares is not None and shares.size(0) != data.edge_index.size(1):
        raise ValueError(
            f'`edge_attr` has {shares.size(0)} rows for '
            f'{data.edge_index.size(1)} edges; apply NormalizeEdges() behind '
            f'whatever adds or removes edges'
        )
    few = data.click_index_ptr.diff() < 1
    if few.numpy().any() if on_host(few) else bool(few.any()):
        raise ValueError(
            f'session {int(few.int().argmax())} of the batch has no '
            f'clicks; leave it out, or recommend what is popular'
        )
