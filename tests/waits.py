"""Modes that find what keeps a GPU waiting or is not on it, without a GPU."""

import collections
import traceback

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode

# Reads of values, and results whose size depends on them.
READS = (
    'aten._local_scalar_dense',
    'aten.nonzero',
    'aten.masked_select',
    'aten._unique',
    'aten.unique',
    'aten.bincount',
    'aten.is_nonzero',
    'aten.equal',
)
CONSTRUCTORS = _device_constructors()
COPIES = torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist


def here():
    """The line of the package that is at work."""
    lines = [
        f'{x.filename.split("pyg_sessaug/")[-1]}:{x.lineno}'
        for x in traceback.extract_stack()
        if 'pyg_sessaug/' in x.filename
    ]
    return lines[-1] if lines else 'elsewhere'


class Waits(TorchDispatchMode):
    """Counts operations for which a host waits, by line of the package."""

    def __init__(self):
        super().__init__()
        self.count = collections.Counter()

    @property
    def total(self):
        return sum(self.count.values())

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = str(func)
        waits = name.startswith(READS)
        if name.startswith('aten.repeat_interleave'):
            waits = kwargs.get('output_size') is None
        if name.startswith(('aten.index.Tensor', 'aten.index_put')):
            waits = any(
                x is not None and x.dtype == torch.bool for x in args[1]
            )
        if waits:
            self.count[f'{here()} {name}'] += 1
        return func(*args, **kwargs)


class Copies(TorchFunctionMode):
    """Counts copies to the host."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func in COPIES
        return func(*args, **(kwargs or {}))


class Narrow(TorchFunctionMode):
    """Refuses float64, which not all devices have."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        is_tensor = isinstance(out, torch.Tensor)
        assert not (is_tensor and out.dtype == torch.float64), here()
        return out


class OneDevice(Narrow):
    """Refuses copies to the host and tensors without a device, too."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        assert func not in COPIES, f'{func} in {here()}'
        if func in CONSTRUCTORS:
            assert kwargs.get('device') is not None, f'{func} in {here()}'
        return super().__torch_function__(func, types, args, kwargs)
