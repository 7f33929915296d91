"""A pretended GPU: tensors are told apart, and mixing them with those of the
CPU raises where it would on a real one.
"""

import weakref

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors
from torch.utils._pytree import tree_leaves

GPU = torch.device('cuda', 0)
# These take both, and a GPU takes indices of the CPU.
MIX = ('copy_', 'empty_like', '__getitem__', '__setitem__', 'is_same_size',
       '_has_compatible_shallow_copy_type')  # fmt: skip


class PretendedGPU(TorchFunctionMode):
    """Within it ``x.to('cuda')`` and ``device='cuda'`` work, on the CPU."""

    def __init__(self):
        super().__init__()
        self.there = {}

    def put(self, x):
        self.there[id(x)] = weakref.ref(x)
        return x

    def holds(self, x):
        found = self.there.get(id(x))
        return found is not None and found() is x

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, '__name__', '')
        first = args[0] if args else None
        mine = isinstance(first, torch.Tensor) and self.holds(first)
        if func == torch.Tensor.device.__get__:
            return GPU if mine else func(*args)
        if func == torch.Tensor.is_cuda.__get__:
            return mine
        if func == torch.Tensor.data.__set__:
            func(*args)
            if self.holds(args[1]):
                self.put(first)
            else:
                self.there.pop(id(first), None)
            return None
        if func is torch.Tensor.tolist:
            return func(*args)
        if func is torch.Tensor.numpy:
            assert not mine, 'a GPU has no arrays'
            return func(*args)
        if func is torch.Tensor.cpu:
            return first.detach().clone() if mine else func(*args)
        if func is torch.Tensor.to:
            return self.move(first, args[1:], kwargs)
        made = func in _device_constructors() or name.startswith('new_')
        if made:
            device = kwargs.get('device')
            if device is not None:
                mine = torch.device(device).type == 'cuda'
                kwargs['device'] = 'cpu'
            out = func(*args, **kwargs)
            return self.put(out) if mine else out
        tensors = [
            x
            for x in tree_leaves((args, kwargs))
            if isinstance(x, torch.Tensor)
        ]
        here = [self.holds(x) for x in tensors if x.dim() > 0]
        if any(here) and not all(here) and name not in MIX:
            raise RuntimeError(f'{name} got tensors of two devices')
        out = func(*args, **kwargs)
        if any(map(self.holds, tensors)):
            for x in tree_leaves(out):
                if isinstance(x, torch.Tensor):
                    self.put(x)
        return out

    def move(self, x, args, kwargs):
        device, dtypes = kwargs.get('device'), []
        dtypes += [kwargs['dtype']] if kwargs.get('dtype') else []
        for value in args:
            if isinstance(value, (str, torch.device)):
                device = value
            elif isinstance(value, torch.Tensor):
                device = value.device
                dtypes.append(value.dtype)
            elif isinstance(value, torch.dtype):
                dtypes.append(value)
        there = self.holds(x)
        goal = there if device is None else torch.device(device).type == 'cuda'
        out = x
        if dtypes and dtypes[-1] != x.dtype:
            out = x.type(dtypes[-1])
        if goal != there and out is x:
            out = x.detach().clone()
        return self.put(out) if goal else out
