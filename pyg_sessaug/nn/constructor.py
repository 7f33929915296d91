r"""What a model was made with, by its signature."""

import inspect
from typing import Any, Dict, List

import torch


def argument_names(cls: type) -> List[str]:
    r"""Names of the arguments that a class of models takes: those in its
    signature and, where that passes ``**kwargs`` on, of the classes above.
    """
    names: Dict[str, None] = {}
    for part in cls.__mro__:
        if '__init__' not in vars(part):
            continue
        parameters = inspect.signature(
            vars(part)['__init__']
        ).parameters.values()
        names.update(
            (x.name, None)
            for x in list(parameters)[1:]
            if x.kind not in (x.VAR_POSITIONAL, x.VAR_KEYWORD)
        )
        if all(x.kind != x.VAR_KEYWORD for x in parameters):
            break
    return list(names)


def accepted(cls: type, options: Dict[str, Any]) -> Dict[str, Any]:
    r"""The options that were given, :obj:`None` being none.

    Args:
        cls (type): A class of models.
        options (dict): Arguments by name.

    Raises:
        ValueError: If the class takes no such argument.
    """
    names = argument_names(cls)
    given = {k: v for k, v in options.items() if v is not None}
    unknown = [k for k in given if k not in names]
    if unknown:
        raise ValueError(
            f'{cls.__name__} takes no {unknown[0]}; its arguments are '
            f'{", ".join(names)}'
        )
    return given


def arguments_of(model: torch.nn.Module) -> Dict[str, Any]:
    r"""The arguments that a model was made with, by their names, as far as it
    keeps them as attributes.
    """
    names = argument_names(type(model))
    return {x: getattr(model, x) for x in names if hasattr(model, x)}
