r"""What is made of the item table, kept between requests."""

from typing import Any, Callable, Hashable, NamedTuple, Optional, Tuple, Type

import torch
from torch import Tensor

from pyg_sessaug.data.devices import is_exporting


class _Entry(NamedTuple):
    source: Tensor  # In the memory of the weight, which nothing else gets.
    version: int
    key: Hashable
    made: Tensor


class KeptTable:
    r"""Keeps what a function makes of a weight until the weight changes.

    PyTorch counts the changes of a tensor, by optimisers and
    :meth:`~torch.nn.Module.load_state_dict` among others, but not those of
    its :obj:`data`: whoever writes there calls :meth:`clear`. Nothing is kept
    where gradients are asked for, nor in copies and files of a model.
    """

    def __init__(self) -> None:
        self._entry: Optional[_Entry] = None

    def __call__(
        self, weight: Tensor, key: Hashable, make: Callable[[Tensor], Tensor]
    ) -> Tensor:
        r"""Returns :obj:`make(weight)`, maybe of an earlier call.

        Args:
            weight (Tensor): The weight.
            key (hashable): What else the result depends on.
            make (callable): Makes another tensor of it.
        """
        if (
            (torch.is_grad_enabled() and weight.requires_grad)
            or weight.is_inference()  # Changes are not counted.
            or is_exporting()
        ):
            self.clear()
            return make(weight)
        entry = self._entry
        if (
            entry is None
            or entry.source.data_ptr() != weight.data_ptr()
            or entry.source.dtype != weight.dtype
            or entry.version != weight._version
            or entry.key != key
        ):
            source, version = weight.detach(), weight._version
            # Inference may ask first, and what learns later.
            with torch.inference_mode(False):
                made = make(source)
            entry = _Entry(source, version, key, made)
            self._entry = entry
        return entry.made

    def clear(self) -> None:
        r"""Forgets what is kept."""
        self._entry = None

    def __reduce__(self) -> Tuple[Type['KeptTable'], Tuple[Any, ...]]:
        return KeptTable, ()
