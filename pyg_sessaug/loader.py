r"""Mini-batches of session graphs, built for a whole batch at once."""

import warnings
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import torch
from torch.utils.data import DataLoader, Subset
from torch_geometric.data import Batch

from pyg_sessaug.data.graphs import graph_by_graph
from pyg_sessaug.data.sessions import look_up
from pyg_sessaug.datasets.base import SessionDataset

FIXED: Dict[str, List[str]] = {
    'follow_batch': ['click_index'],
    'exclude_keys': [],
}


class SessionLoader(DataLoader[Batch]):
    r"""Loads batches of session graphs by tensor operations.

    Yields what PyG's ``DataLoader(dataset, follow_batch=['click_index'])``
    yields, without a Python loop over sessions. A transform with the
    attribute :obj:`batchwise = True`, as those of this package have it, is
    applied once to the batch. Any other one is applied to one graph after
    another, as PyG does, which is slower and said once.

    Args:
        dataset (SessionDataset or torch.utils.data.Subset): The samples; a
            slice of a data set or (nested) subsets work too.
        batch_size (int): Samples per batch. (default: :obj:`1`)
        shuffle (bool): Whether to shuffle the samples in every epoch.
            (default: :obj:`False`)
        transform (callable, optional): Applied in place of the data set's.
            (default: :obj:`None`, the transform that the data set has at
            the time)
        **kwargs (optional): Further arguments of
            :class:`torch.utils.data.DataLoader`, such as
            :obj:`num_workers` or :obj:`generator`.

    Raises:
        TypeError: If :obj:`dataset` holds no session data set, or
            :obj:`follow_batch` or :obj:`exclude_keys` ask for other batches.
        ValueError: If :obj:`batch_size` is :obj:`None`.

    Warns:
        UserWarning: If a transform is applied graph by graph.

    Example:
        >>> from pyg_sessaug import SessionLoader
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> train = MultimodalSessions('data', num_sessions=100, num_items=30)
        >>> loader = SessionLoader(train, batch_size=20, shuffle=True)
        >>> next(iter(loader)).num_graphs
        20
    """

    _told = False

    def __init__(
        self,
        dataset: Union[SessionDataset, Subset[Any]],
        batch_size: int = 1,
        shuffle: bool = False,
        transform: Optional[Callable[..., Any]] = None,
        **kwargs: Any,
    ) -> None:
        # PyG's loader takes these; here they are fixed.
        for name, only in FIXED.items():
            got = kwargs.pop(name, None) or only
            if list(got) != only:
                raise TypeError(
                    f'SessionLoader has {name}={only}, got {list(got)}; use '
                    f'torch_geometric.loader.DataLoader for other batches'
                )
        if batch_size is None:
            raise ValueError(
                'SessionLoader got batch_size=None; pass a number, or index '
                'the data set for single graphs'
            )
        kwargs.pop('collate_fn', None)
        self._batches = _Batches(dataset, transform)
        if kwargs.get('num_workers', 0) > 0:
            # Checked once here, and not by every worker in every epoch.
            self._batches.dataset.graphs  # noqa: B018
        super().__init__(
            self._batches,
            batch_size,
            shuffle,
            collate_fn=_identity,
            **kwargs,
        )

    def __iter__(self) -> Any:
        # Here, and not in every worker; the transform may be set late.
        single = graph_by_graph(self._batches.dataset.pre_transform)
        single += graph_by_graph(self.transform)
        if single and not self._told:
            self._told = True
            cls = type(single[0])
            name = getattr(single[0], '__qualname__', cls.__qualname__)
            name = name.rpartition('<locals>.')[2]
            warnings.warn(
                f'{name} is applied to one graph after another, which is '
                f'slow; if a batch of graphs does as well, say so by its '
                f'attribute `batchwise = True`',
                stacklevel=2,
            )
        return super().__iter__()

    @property
    def transform(self) -> Optional[Callable[..., Any]]:
        r"""What is applied to every batch, or graph by graph."""
        return self._batches.transform

    @property
    def samples(self) -> List[torch.Tensor]:
        r"""Clicks, where sessions begin, targets, and which samples."""
        sessions = self._batches.dataset.flat_sessions
        tensors = sessions.item, sessions.ptr, sessions.target
        return [*tensors, self._batches.index]

    @property
    def places(self) -> Tuple[torch.Tensor, torch.Tensor]:
        r"""Session of each sample, and position of its target among the
        clicks, both ``[num_samples]``, int64.
        """
        index = self._batches.index.numpy()
        sessions = self._batches.dataset.flat_sessions
        session, target = map(torch.from_numpy, sessions.locate(index))
        return session, target

    @property
    def targets(self) -> torch.Tensor:
        r"""Target of each sample, ``[num_samples]``, integers."""
        _, target = self.places
        return look_up(self._batches.dataset.flat_sessions.kept, target)

    @property
    def num_clicks(self) -> torch.Tensor:
        r"""Clicks of each sample, ``[num_samples]``, int64."""
        session, target = self.places
        return target - self._batches.dataset.flat_sessions.ptr[session]

    @property
    def num_sessions(self) -> int:
        r"""Sessions that samples are of."""
        return self._batches.dataset.sessions

    @property
    def num_items(self) -> int:
        r"""Size of the vocabulary of the samples."""
        return self._batches.dataset.num_items

    @property
    def item_ids(self) -> Any:
        r"""Raw id of each item, as the data set has them."""
        return self._batches.dataset.item_ids

    @property
    def popularity(self) -> torch.Tensor:
        r"""Clicks of each item in training, ``[num_items]``, int64."""
        return self._batches.dataset.popularity


class _Batches(torch.utils.data.Dataset[Batch]):
    # torch's fetcher hands a whole batch of indices to `__getitems__`. It
    # lives behind the loader: on a public data set it would break stock
    # loaders, and skip the index map of a slice.
    def __init__(
        self, dataset: Any, transform: Optional[Callable[..., Any]]
    ) -> None:
        index: Optional[torch.Tensor] = None
        while isinstance(dataset, Subset):
            inner = torch.as_tensor(dataset.indices, dtype=torch.long)
            index = inner if index is None else inner[index]
            dataset = dataset.dataset
        if not isinstance(dataset, SessionDataset):
            raise TypeError(
                f'SessionLoader needs a SessionDataset or a Subset of one, '
                f'got {type(dataset).__name__}; use '
                f'torch_geometric.loader.DataLoader for other data sets'
            )
        own = dataset.indices()
        if isinstance(own, range):  # As long as a data set is no slice.
            own = torch.arange(own.start, own.stop, own.step)
        own = torch.as_tensor(own)
        self.dataset = dataset
        self.index = own if index is None else own[index]
        self.own_transform = transform

    @property
    def transform(self) -> Optional[Callable[..., Any]]:
        # Looked up when used, as stock loaders do: it may be set later.
        own = self.own_transform
        return self.dataset.transform if own is None else own

    def __len__(self) -> int:
        return self.index.numel()

    def __getitems__(self, index: List[int]) -> Batch:
        samples, transform = self.index[torch.tensor(index)], self.transform
        if transform is None:
            return self.dataset.get_batch(samples)
        if graph_by_graph(transform):
            graphs = map(self.dataset.get, samples.tolist())
            return Batch.from_data_list([*map(transform, graphs)], **FIXED)
        return transform(self.dataset.get_batch(samples))


def _identity(batch: Batch) -> Batch:
    return batch
