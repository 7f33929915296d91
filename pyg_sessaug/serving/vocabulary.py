r"""Raw ids of items, and their places."""

import warnings
from itertools import chain
from typing import (
    AbstractSet,
    Any,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import torch
from torch import Tensor

Id = Union[int, str]


class Vocabulary:
    r"""The raw ids that a recommender takes and gives.

    Args:
        item_ids (Tensor or list): Raw id of each item, ``[num_items]`` int64
            or strings.

    Raises:
        ValueError: If an id occurs twice.
    """

    def __init__(self, item_ids: Union[Tensor, Sequence[Id]]) -> None:
        self.ids: List[Id] = plain_list(item_ids)
        self._index: Dict[Any, int] = {x: i for i, x in enumerate(self.ids)}
        for i, raw in enumerate(self.ids):
            if self._index[raw] != i:
                raise ValueError(f'Recommender got the item id {raw!r} twice')

    def find(self, raw: Any) -> Optional[int]:
        r"""Index of an id, :obj:`None` if it is not known.

        Args:
            raw (int or str): The id.

        Raises:
            TypeError: If it is a boolean or a collection.
        """
        if isinstance(raw, (bool, AbstractSet)):  # True equals the id 1.
            raise TypeError(
                f'Recommender got {raw!r} where an id should be; pass the '
                f'ids themselves, in the order of clicks'
            )
        try:
            return self._index.get(raw)
        except TypeError as error:  # Not hashable
            raise TypeError(
                f'Recommender got {raw!r} where an id should be; pass one '
                f'session, or a list of sessions'
            ) from error

    def look_up(
        self, sessions: Iterable[Any]
    ) -> Tuple[List[List[int]], List[List[Any]]]:
        r"""Indices of the known ids of each session, and the unknown ids.

        Args:
            sessions (list): Lists of raw ids.

        Raises:
            TypeError: If a session is no list, or has something else than
                ids in it.

        Warns:
            UserWarning: If an unknown id is a string where all ids are
                integers, or the other way round.
        """
        known: List[List[int]] = []
        unknown: List[List[Any]] = []
        for session in sessions:
            if not isinstance(session, (list, tuple)):
                raise TypeError(
                    f'Recommender got {session!r} among sessions that are '
                    f'lists of ids; pass one session, or lists only'
                )
            raw = plain_list(session)
            index = [self.find(x) for x in raw]
            known.append([i for i in index if i is not None])
            unknown.append([x for x, i in zip(raw, index) if i is None])
        self._warn_of_type(chain.from_iterable(unknown))
        return known, unknown

    def indices(self, ids: Iterable[Id]) -> Tensor:
        r"""Indices of the known ones of some ids in any order, int64.

        Args:
            ids (list or set): Raw ids.
        """
        if isinstance(ids, tuple) and not ids:  # As most requests pass it.
            return torch.empty(0, dtype=torch.long)
        if isinstance(ids, AbstractSet):
            ids = list(ids)
        raw = plain_list(ids)
        index = [self.find(x) for x in raw]
        self._warn_of_type(x for x, i in zip(raw, index) if i is None)
        known = [i for i in index if i is not None]
        return torch.tensor(known, dtype=torch.long)

    def _warn_of_type(self, unknown: Iterable[Any]) -> None:
        known = self.ids[0]
        for raw in unknown:
            if isinstance(raw, str) != isinstance(known, str):
                warnings.warn(
                    f'Recommender got the {type(raw).__name__} {raw!r}, but '
                    f'its `item_ids` are of type {type(known).__name__}, '
                    f'such as {known!r}; pass ids of that type',
                    stacklevel=4,
                )
                return


def plain_list(value: Any) -> List[Any]:
    r"""A list, where tensors and arrays inside are plain values too.

    Args:
        value (list, tuple, Tensor, numpy.ndarray or iterable): Something in
            an order.

    Raises:
        TypeError: If it has no order, or is one value.
    """
    if isinstance(value, (AbstractSet, Mapping)):
        raise TypeError(
            f'Recommender got {value!r}; a {type(value).__name__} has no '
            f'order of clicks, pass a list of ids'
        )
    plain = value.tolist() if hasattr(value, 'tolist') else value
    if isinstance(plain, (str, bytes)) or not isinstance(plain, Iterable):
        raise TypeError(f'Recommender got {value!r}; pass a list of ids')
    return [x.tolist() if hasattr(x, 'tolist') else x for x in plain]
