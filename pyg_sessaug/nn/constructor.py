r"""What a model was made with, by its signature."""

import inspect
from typing import Any, Dict, List

import torch


def argument_names(cls: type) -> List[str]:
    r"""Names of the arguments that a class of models takes: those in its
    signature and, where that passes ``**kwargs`` on, of the classes above.
    """
    return list(_defaults(cls))


def _defaults(cls: type) -> Dict[str, Any]:
    r"""The arguments and their defaults."""
    names: Dict[str, Any] = {}
    for part in cls.__mro__:
        if '__init__' not in vars(part):
            continue
        parameters = inspect.signature(
            vars(part)['__init__']
        ).parameters.values()
        for x in list(parameters)[1:]:
            if x.kind not in (x.VAR_POSITIONAL, x.VAR_KEYWORD):
                names.setdefault(x.name, x.default)
        if all(x.kind != x.VAR_KEYWORD for x in parameters):
            break
    return names


def accepted(cls: type, options: Dict[str, Any]) -> Dict[str, Any]:
    r"""The options that were given, :obj:`None` being none.

    Args:
        cls (type): A class of models.
        options (dict): Arguments by name.

    Raises:
        ValueError: If the class takes no such argument, or one of another
            type than its default.
    """
    names = _defaults(cls)
    given = {k: v for k, v in options.items() if v is not None}
    unknown = [k for k in given if k not in names]
    if unknown:
        raise ValueError(
            f'{cls.__name__} takes no {unknown[0]}; its arguments are '
            f'{", ".join(names)}'
        )
    for name, value in given.items():
        default = names[name]
        if isinstance(default, (bool, str)):
            right = isinstance(value, type(default))
        elif isinstance(default, (int, float)):
            numbers = isinstance(value, (int, float))
            right = numbers and not isinstance(value, bool)
        else:
            continue
        if not right:
            raise ValueError(
                f'{cls.__name__} got {name}={value!r}; its default is '
                f'{default!r}, so pass a value of the same kind'
            )
    return given


def arguments_of(model: torch.nn.Module) -> Dict[str, Any]:
    r"""The arguments that a model was made with, by their names, as far as it
    keeps them as attributes.
    """
    names = argument_names(type(model))
    return {x: getattr(model, x) for x in names if hasattr(model, x)}
