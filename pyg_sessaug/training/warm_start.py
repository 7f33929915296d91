r"""Training that goes on from an earlier model."""

from typing import Any, Dict

import torch
from torch import Tensor
from torch_geometric.utils import scatter

from pyg_sessaug.data.ids import places
from pyg_sessaug.data.sessions import Sessions, expand_ranges
from pyg_sessaug.nn.interface import check_interface

TABLE = 'item_embedding'
STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


@torch.no_grad()
def warm_start(model: Any, earlier: Any, train: Any) -> Dict[str, int]:
    r"""Gives a new model the weights of an earlier one, such as yesterday's.

    Item vectors are copied by raw id, all other parameters by name. An item
    :math:`v` that is new starts from the mean of the vectors of the items
    that it is clicked with,

    .. math::
        \mathbf{e}_v = \frac{1}{|C_v|} \sum_{c \in C_v}
        \mathbf{e}_{\textrm{item}(c)},

    over the clicks :math:`C_v` on kept items in the training sessions that
    hold :math:`v`. Where there are none, its vector stays as it was drawn.

    .. code-block:: python

        model = SRGNN(train.num_items)
        warm_start(model, Recommender.load('yesterday.pt'), train)
        fit(model, train, val, **preset('auto', train))

    Args:
        model (torch.nn.Module): The new model, changed in place.
        earlier (pyg_sessaug.Recommender): The earlier model with its ids.
        train (SessionDataset): The training samples of the new model.

    Returns:
        dict: How many items were ``kept``, are ``new``, and are ``gone``.

    Raises:
        ValueError: If the earlier model was made otherwise, or none of the
            items is known to it.
        TypeError: If one of them has no item vectors, as counts.
    """
    model = getattr(model, '_orig_mod', model)  # Of `torch.compile`
    check_interface(model, TABLE)
    check_interface(earlier.model, TABLE)
    new = dict(model.named_parameters())
    old = {
        k.removeprefix('_orig_mod.'): v.to(new[TABLE].device)
        for k, v in earlier.model.named_parameters()
    }
    for name in {**old, **new}:
        sizes = [x[name].size() if name in x else None for x in (old, new)]
        if name == TABLE:
            sizes = [None if x is None else x[1:] for x in sizes]
        if sizes[0] != sizes[1]:
            there, here = ('missing' if x is None else list(x) for x in sizes)
            raise ValueError(
                f'cannot start from a {type(earlier.model).__name__} whose '
                f'{name} is {there} and not {here}; make the model of the '
                f'same class and arguments as the earlier one'
            )
    index = places(train.item_ids, earlier.item_ids)
    kept = index >= 0
    for name in new.keys() - {TABLE}:
        new[name].copy_(old[name])
    # Statistics of normalisation belong to the weights; counts of sessions,
    # which are buffers too, to the data.
    known = {
        k.removeprefix('_orig_mod.'): v
        for k, v in earlier.model.named_buffers()
    }
    for name, value in model.named_buffers():
        if name.endswith(STATISTICS) and name in known:
            value.copy_(known[name])
    table = new[TABLE].cpu()
    table[kept] = old[TABLE].cpu()[index[kept]]
    _start_new(table, kept, train.flat_sessions)
    new[TABLE].copy_(table)
    count = int(kept.sum())
    return {
        'kept': count,
        'new': kept.numel() - count,
        'gone': len(earlier.item_ids) - count,
    }


def _start_new(table: Tensor, kept: Tensor, sessions: Sessions) -> None:
    r"""Sets the vectors of items that were not kept."""
    clicked, session = sessions.item, torch.repeat_interleave(sessions.length)
    is_new = ~kept[clicked]
    # Each new item once per session.
    key = session[is_new] * kept.numel() + clicked[is_new]
    key = key.unique()
    session, item = key // kept.numel(), key % kept.numel()
    click, pair, _ = expand_ranges(
        sessions.ptr[session], sessions.length[session]
    )
    other = clicked[click]
    keep = kept[other]
    item, other = item[pair[keep]], other[keep]
    clicks = torch.bincount(item, minlength=kept.numel())
    known = clicks > 0
    mean = scatter(table[other], item, 0, kept.numel(), 'mean')
    table[known] = mean[known]
