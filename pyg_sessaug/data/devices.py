r"""What may be done with a tensor where it is."""

import torch
from torch import Tensor


def is_exporting() -> bool:
    r"""Whether :func:`torch.export.export` is at work, which cannot look at
    the values of tensors.
    """
    # PyTorch before 2.7 does not tell it from other compilers.
    probe = getattr(
        torch.compiler, 'is_exporting', torch.compiler.is_compiling
    )
    return bool(probe())


def on_host(x: Tensor) -> bool:
    r"""Whether to look at the values of a tensor: on another device than the
    CPU the host would wait for them, and an exported program is for any.
    """
    return x.device.type == 'cpu' and not is_exporting()


def widest(x: Tensor) -> torch.dtype:
    r"""The most exact type that the device of a tensor computes in."""
    return torch.float32 if x.device.type == 'mps' else torch.float64
