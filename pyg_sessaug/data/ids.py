r"""Raw ids of items: whether they are the same, and where."""

from itertools import zip_longest
from typing import List, Sequence, Union

import torch
from torch import Tensor

Ids = Union[Tensor, Sequence[Union[int, str]]]


def check_ids(ids: Ids, others: Ids) -> None:
    r"""Raises unless items are the same, and not only as many.

    Args:
        ids (Tensor or list): Raw ids of the items that a model was, or is,
            trained on.
        others (Tensor or list): Those of other samples.
    """
    known, here = _plain(ids), _plain(others)
    if known == here:
        return
    pairs = enumerate(zip_longest(known, here, fillvalue='none'))
    i, (x, y) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
    raise ValueError(
        f'these samples are of other items than those trained on: item {i} is '
        f'{x!r} there and {y!r} here; prepare both by the same options'
    )


def places(ids: Ids, others: Ids) -> Tensor:
    r"""Where each raw id stands among others, ``[len(ids)]``, int64; -1 for
    one that is not there.

    They are compared as texts: a log whose ids are integers has texts as
    soon as one id is none.

    Args:
        ids (Tensor or list): Raw ids.
        others (Tensor or list): The ids to find them among.

    Raises:
        ValueError: If none is there.
    """
    known, here = _plain(others), _plain(ids)
    place = {str(raw): i for i, raw in enumerate(known)}
    found = torch.tensor([place.get(str(raw), -1) for raw in here])
    if not bool((found >= 0).any()):
        raise ValueError(
            f'none of the {len(here)} items, such as {here[0]!r}, is known; '
            f'known ones are such as {known[0]!r}'
        )
    return found


def _plain(ids: Ids) -> List[Union[int, str]]:
    return ids.tolist() if isinstance(ids, Tensor) else list(ids)
