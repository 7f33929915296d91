r"""Models as plain values, for files that hold no code."""

import inspect
import math
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch_geometric.transforms import Compose

from pyg_sessaug import transforms
from pyg_sessaug.files import load_state
from pyg_sessaug.nn import Blend, CategoryTerm, RepeatTerm, SwitchCase
from pyg_sessaug.nn.constructor import arguments_of
from pyg_sessaug.nn.models.session_term import SessionTerm
from pyg_sessaug.registry import COUNTS, MODELS, find_class

KEYS = {
    'version',
    'model',
    'settings',
    'weights',
    'item_ids',
    'popularity',
    'about',
}
YOUNGER = {'max_length', 'transform'}  # Than version 0.1.0
FEW = 1000  # Layers and the like that cost nothing
PLAIN = (bool, int, float, str, type(None))
# What transforms keep and no model is.
PARTS = {'neighbors': 'pyg_sessaug.counts:NeighborItems'}


def model_state(model: Any) -> Dict[str, Any]:
    r"""Class, arguments and weights of a model.

    Args:
        model (torch.nn.Module): A network, compiled or not, counts, an
            ensemble or a blend of them.

    Returns:
        dict: ``model`` (the name of its class, with its module where it is
        none of this package's), ``settings`` (the arguments of the class,
        and ``num_clusters`` of an ensemble; of a blend its ``members``, each
        such a dict, and of a term its ``model``, likewise), ``weights``, on
        the CPU, and ``transform`` where graphs go through one before they
        are scored, see :func:`transform_state`.

    Raises:
        ValueError: If an argument cannot be told, or a module is not the one
            that the class makes.
    """
    model = getattr(model, '_orig_mod', model)  # Of `torch.compile`
    if isinstance(model, Blend):
        members = [model_state(member) for member in model.members]
        return {
            'model': 'Blend',
            'settings': {'members': members},
            'weights': {'weight': model.weight.cpu()},
        }
    if isinstance(model, SessionTerm):
        own = dict(model.named_buffers(recurse=False))
        return {
            'model': type(model).__name__,
            'settings': {
                'model': model_state(model.model),
                'num_clicks': model.num_clicks,
            },
            'weights': {name: x.cpu() for name, x in own.items()},
        }
    weights = {key: value.cpu() for key, value in model.state_dict().items()}
    transform, clusters = getattr(model, 'test_transform', None), {}
    if isinstance(model, SwitchCase):
        clusters['num_clusters'] = model.num_clusters
        model = model.model
    settings = arguments_of(model)
    name = type(model).__name__
    for key, value in settings.items():
        if not isinstance(value, PLAIN):
            raise ValueError(
                f'Recommender cannot save a {name} made with {key}='
                f'{value!r}: files hold numbers, texts and None; save its '
                f'state_dict() yourself'
            )
    needed = inspect.signature(type(model)).parameters.values()
    for x in needed:
        named = x.kind not in (x.VAR_POSITIONAL, x.VAR_KEYWORD)
        if named and x.default is x.empty and x.name not in settings:
            raise ValueError(
                f'Recommender cannot save a {name}: the model does not keep '
                f'its argument `{x.name}` as an attribute; keep it, or save '
                f'its state_dict() yourself'
            )
    for part in replaced_modules(model):
        raise ValueError(
            f'Recommender cannot save a {name} whose `{part}` was replaced; '
            f'save its state_dict() yourself'
        )
    state = {
        'model': class_name(type(model)),
        'settings': {**settings, **clusters},
        'weights': weights,
    }
    if transform is not None:
        state['transform'] = transform_state(transform)
    return state


def transform_state(transform: Any) -> Dict[str, Any]:
    r"""Class, arguments and other tensors of a transform.

    Args:
        transform (callable): One of this package's, or a
            :class:`torch_geometric.transforms.Compose` of them.

    Raises:
        ValueError: If it is another one, or an argument cannot be told.
    """
    name = type(transform).__name__
    if type(transform) is not _transforms().get(name):
        raise ValueError(
            f'Recommender cannot save the transform {transform}, which is '
            f'none of pyg_sessaug.transforms; save its state yourself, and '
            f'set it as `test_transform` of the model that is read'
        )

    def plain(value: Any) -> Any:
        if isinstance(value, torch.nn.Module):
            return model_state(value)
        if isinstance(value, torch.Tensor):
            return value.cpu()
        if isinstance(value, (list, tuple)):
            return [plain(x) for x in value]
        return value if isinstance(value, PLAIN) else transform_state(value)

    settings = arguments_of(transform)
    return {
        'transform': name,
        'settings': {key: plain(x) for key, x in settings.items()},
        'tensors': {
            key: x.cpu()
            for key, x in vars(transform).items()
            if isinstance(x, torch.Tensor) and key not in settings
        },
    }


def restore_transform(state: Dict[str, Any]) -> Any:
    r"""The transform that :func:`transform_state` described.

    Raises:
        LookupError: If the class is not known.
    """
    cls = _transforms().get(state['transform'])
    if cls is None:
        raise LookupError(
            f'a transform {state["transform"]}, which this version does not '
            f'know'
        )

    def made(value: Any) -> Any:
        if isinstance(value, dict):
            known = 'transform' in value and 'model' not in value
            return (restore_transform if known else restore_model)(value)
        return [made(x) for x in value] if isinstance(value, list) else value

    transform = cls(**{k: made(x) for k, x in state['settings'].items()})
    for key, value in state['tensors'].items():
        setattr(transform, key, value)
    return transform


def _transforms() -> Dict[str, Any]:
    known = {name: getattr(transforms, name) for name in transforms.__all__}
    classes = {k: x for k, x in known.items() if isinstance(x, type)}
    return {'Compose': Compose, **classes}


def class_name(cls: type) -> str:
    r"""The name of a class in a file: short for one of this package."""
    if cls is _registered(cls.__name__):
        return cls.__name__
    return f'{cls.__module__}:{cls.__qualname__}'


def _registered(name: str) -> Any:
    r"""The registered class of that name, if there is one."""
    for path in (*MODELS.values(), *COUNTS.values(), *PARTS.values()):
        if path.partition(':')[2] == name:
            return find_class(path)
    return None


def replaced_modules(model: torch.nn.Module) -> List[str]:
    r"""Names of modules that are not of the class that the model's class
    gives them, or are not there.
    """
    with torch.device('meta'):  # Neither memory nor random numbers.
        fresh = type(model)(**arguments_of(model))
    kinds = [
        {name: type(x) for name, x in module.named_modules()}
        for module in (model, fresh)
    ]
    return [
        name
        for name in {**kinds[0], **kinds[1]}
        if kinds[0].get(name) is not kinds[1].get(name)
    ]


def load_recommender(
    path: str, cls: Optional[type] = None
) -> Tuple[Any, Dict[str, Any]]:
    r"""The model of a recommender's file, and its other arguments.

    Args:
        path (str): The file.
        cls (type, optional): See :func:`restore_model`.
            (default: :obj:`None`)

    Raises:
        ValueError: If the file is damaged or holds something else.
        FileNotFoundError: If there is no such file.
    """
    remedy = 'pass a file that Recommender.save or `train` wrote'
    state = load_state(path, remedy)
    if not set(state) >= KEYS:
        raise ValueError(f'{path} holds no recommender; {remedy}')
    if more := sorted(set(state) - KEYS - YOUNGER):
        raise ValueError(
            f'{path} was written by pyg_sessaug {state["version"]} and holds '
            f'{more}, which this version does not know; use that one'
        )
    count = len(state['item_ids'])
    for declared in _declared_items(state):
        if declared != count:
            raise ValueError(
                f'{path} declares {declared} items and holds the ids of '
                f'{count}; {remedy}'
            )
    try:
        model = restore_model(state, cls)
    except LookupError as error:
        raise ValueError(
            f'{path}, written by pyg_sessaug {state["version"]}, holds '
            f'{error.args[0]}'
        ) from error
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f'{path} was written by pyg_sessaug {state["version"]}, whose '
            f'models were others ({error}); use that version'
        ) from error
    kept = 'item_ids', 'popularity', 'about', 'max_length'
    return model, {key: state.get(key) for key in kept}


def restore_model(state: Dict[str, Any], cls: Optional[type] = None) -> Any:
    r"""The model that :func:`model_state` described.

    Args:
        state (dict): What it returned; other keys do no harm.
        cls (type, optional): The class of the model, or of a blend's
            members, for one that is none of this package's: no name in a
            file is imported. (default: :obj:`None`)

    Raises:
        LookupError: If the class is not known, or not :obj:`cls`.
        TypeError: If the class has other arguments.
        RuntimeError: If weights are missing or of other shapes.
    """
    name = state['model']
    if name == 'Blend':
        parts = state['settings']['members']
        blend = Blend([restore_model(part, cls) for part in parts])
        blend.load_state_dict(state['weights'], strict=False)
        return blend
    if name in ('RepeatTerm', 'CategoryTerm'):
        settings, weights = dict(state['settings']), state['weights']
        part = restore_model(settings.pop('model'), cls)
        term: SessionTerm
        if name == 'RepeatTerm':
            term = RepeatTerm(part, **settings)
        else:
            term = CategoryTerm(part, weights['category'], **settings)
        term.load_state_dict(weights, strict=False)
        return term
    cls = _registered(name) or cls
    if cls is None:
        raise LookupError(
            f'a {name}, which this version does not know; pass its class as '
            f'model='
        )
    if cls.__name__ != name.rpartition(':')[2].rpartition('.')[2]:
        raise LookupError(f'a {name}, not a {cls.__name__}')
    settings = dict(state['settings'])
    _check_size(settings, state['weights'])
    num_clusters = settings.pop('num_clusters', None)
    model = network = cls(**settings)
    if num_clusters is not None:
        model = SwitchCase(network, num_clusters)
    model.load_state_dict(state['weights'])
    if state.get('transform') is not None:
        network.test_transform = restore_transform(state['transform'])
    return model


def _declared_items(state: Dict[str, Any]) -> Iterator[Any]:
    r"""Number of items of a model and of all within it."""
    settings = state['settings']
    yield from [settings['num_items']] if 'num_items' in settings else []
    within = [*settings.get('members', ()), *settings.get('transforms', ())]
    for part in [*within, *settings.values(), state.get('transform')]:
        if isinstance(part, dict):
            yield from _declared_items(part)


def _check_size(settings: Dict[str, Any], weights: Dict[str, Any]) -> None:
    r"""Refuses a table larger than the weights, and more layers or clusters
    than there are numbers, before they are made.
    """
    names = 'num_items', 'hidden_channels'
    sizes: List[Any] = [settings.get(name) for name in names]
    stored = sum(x.numel() for x in weights.values())
    if not all(isinstance(x, int) for x in sizes):
        return
    if math.prod(sizes) > stored:
        raise RuntimeError(
            f'{sizes[0]} items with {sizes[1]} numbers each are declared, '
            f'but {stored} numbers are there'
        )
    for name, value in settings.items():
        if isinstance(value, int) and value > max(stored, FEW):
            raise RuntimeError(
                f'{name}={value} is declared, but {stored} numbers are there'
            )
