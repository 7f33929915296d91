r"""What a transform, a model or data are, as text that is alike everywhere."""

import hashlib
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor
from torch.nn import Module

PLAIN = (
    *(bool, int, float, complex, str, bytes, type(None), type(...)),
    *(torch.dtype, torch.device, torch.layout),
)
LENGTH = 2000  # What is longer is told by its digest.


def describe(value: Any, trained: Optional[Module] = None) -> str:
    r"""Tells apart what would train differently.

    The text is that of every process: names are qualified, no address is in
    it, and tensors are told by digests. An object is its class and what
    :mod:`pickle` keeps of it, so a method ``__getstate__`` can leave out
    what does not matter, such as a counter. A function is its name, its code
    and the variables outside that the code names. A module is its classes,
    plain attributes and weights.

    Args:
        value (any): A transform, a model, or tensors.
        trained (torch.nn.Module, optional): The model in training, whose
            weights do not matter. (default: :obj:`None`)

    Raises:
        ValueError: If something has no such state, as a lock or a generator.
    """
    within: List[int] = []

    def text(value: Any) -> str:
        if type(value) in PLAIN:
            return _short(repr(value))
        if isinstance(value, (type, ModuleType)):
            return _name(value)
        if id(value) in within:
            return f'<{within.index(id(value))}>'
        within.append(id(value))
        try:
            return parts(value)
        finally:
            within.pop()

    def parts(value: Any) -> str:
        if isinstance(value, Tensor) and value.layout == torch.strided:
            raw = value.detach().cpu().contiguous().view(-1)
            raw = raw.view(torch.uint8)
            digest = _digest(raw.numpy().tobytes())
            return f'{value.dtype}{list(value.shape)}#{digest}'
        if type(value) in (list, tuple):
            return _short(f'[{", ".join(map(text, value))}]')
        if type(value) in (set, frozenset):
            return _short(f'{{{", ".join(sorted(map(text, value)))}}}')
        if type(value) is dict:
            items = (f'{text(k)}: {text(v)}' for k, v in value.items())
            return _short(f'{{{", ".join(items)}}}')
        if isinstance(value, CodeType):
            return text([value.co_code, value.co_names, value.co_consts])
        if isinstance(value, FunctionType):
            return function(value)
        if isinstance(value, Module):
            return module(value)
        return reduced(value)

    def function(value: FunctionType) -> str:
        cells = [x.cell_contents for x in value.__closure__ or ()]
        outside = {
            key: _name(x)
            if isinstance(x, FunctionType) and x.__module__ != value.__module__
            else x
            for key in _names(value.__code__)
            if (x := value.__globals__.get(key, within)) is not within
        }
        about = [value.__code__, value.__defaults__, value.__kwdefaults__]
        digest = _digest(text([*about, cells, outside]).encode())
        return f'{_name(value)}#{digest}'

    def module(value: Module) -> str:
        own = {
            name: [type(part), _attributes(part)]
            for name, part in value.named_modules()
        }
        weights = {} if value is trained else value.state_dict()
        return f'{_name(type(value))}({text(own)}, {text(dict(weights))})'

    def reduced(value: Any) -> str:
        name = _name(type(value))
        try:
            made = value.__reduce_ex__(2)
        except Exception as error:  # Of any kind, as objects like.
            raise ValueError(
                f'nobody can tell whether a {name} is the same when training '
                f'goes on ({error}); leave it out by a method __getstate__ '
                f'of the transform, or train without checkpoint'
            ) from error
        if isinstance(made, str):
            return f'{name}.{made}'
        call, args, state, *items = (*made, None, None, None)[:5]
        if _name(call) == 'copyreg.__newobj__':
            call, args = args[0], args[1:]
        inside = [text(x) for x in args]
        if type(state) is dict:
            inside += [f'{k}={text(v)}' for k, v in state.items()]
        elif state is not None:
            inside.append(text(state))
        inside += [text(list(x)) for x in items if x is not None]
        return f'{_name(call)}({", ".join(inside)})'

    return text(value)


def _name(value: Any) -> str:
    short = getattr(value, '__name__', type(value).__name__)
    name = getattr(value, '__qualname__', None) or short
    module = getattr(value, '__module__', None)
    return str(name) if module in (None, 'builtins') else f'{module}.{name}'


def _names(code: CodeType) -> List[str]:
    r"""All names in a function and those within it."""
    inner = [x for x in code.co_consts if isinstance(x, CodeType)]
    names = [*code.co_names, *(y for x in inner for y in _names(x))]
    return list(dict.fromkeys(names))


def _attributes(module: Module) -> Dict[str, Any]:
    r"""What a module was made with: numbers, names and functions."""
    out = {}
    for key, value in vars(module).items():
        if key.startswith('_') or key == 'training':
            continue
        parts = value if isinstance(value, tuple) else (value,)
        if all(type(x) in PLAIN for x in parts):
            out[key] = value
        elif isinstance(value, (FunctionType, BuiltinFunctionType)):
            out[key] = _name(value)
    return out


def _short(text: str) -> str:
    return text if len(text) <= LENGTH else f'#{_digest(text.encode())}'


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
