r"""Models as plain values, for files that hold no code."""

from typing import Any, Dict, List, Type, Union

import torch

from pyg_sessaug.nn import SRGNN, TAGNN, SessionModel, SwitchCase

#: Models that a file can be restored to, by the name of their class.
MODELS: Dict[str, Type[SessionModel]] = {'SRGNN': SRGNN, 'TAGNN': TAGNN}
SETTINGS = (
    'num_items',
    'hidden_channels',
    'num_layers',
    'precision',
    'scale',
    'dropout',
    'transform_target',
    'num_channels',
)


def model_state(model: Union[SessionModel, SwitchCase]) -> Dict[str, Any]:
    r"""Class, settings and weights of a model.

    Args:
        model (SessionModel or SwitchCase): One of :obj:`MODELS`, or an
            ensemble of one.

    Returns:
        dict: ``model`` (the name of its class), ``settings`` (the arguments
        of the class, and ``num_clusters`` of an ensemble) and ``weights``,
        on the CPU.

    Raises:
        ValueError: If the model or a module of it is none of this package's.
    """
    weights = {key: value.cpu() for key, value in model.state_dict().items()}
    clusters = {}
    if isinstance(model, SwitchCase):
        clusters['num_clusters'] = model.num_clusters
        model = model.model
    name = type(model).__name__
    if MODELS.get(name) is not type(model):
        raise ValueError(
            f'Recommender cannot save a {name}, only {list(MODELS)}; '
            f'save its state_dict() yourself'
        )
    for part in replaced_modules(model):
        raise ValueError(
            f'Recommender cannot save a {name} whose `{part}` was replaced; '
            f'save its state_dict() yourself'
        )
    return {
        'model': name,
        'settings': {**settings_of(model), **clusters},
        'weights': weights,
    }


def settings_of(model: SessionModel) -> Dict[str, Any]:
    r"""The arguments that a model was made with."""
    return {
        key: getattr(model, key) for key in SETTINGS if hasattr(model, key)
    }


def replaced_modules(model: SessionModel) -> List[str]:
    r"""Names of modules that are not of the class that the model's class
    gives them, or are not there.
    """
    with torch.device('meta'):  # Neither memory nor random numbers.
        fresh = type(model)(**settings_of(model))
    kinds = [
        {name: type(x) for name, x in module.named_modules()}
        for module in (model, fresh)
    ]
    return [
        name
        for name in {**kinds[0], **kinds[1]}
        if kinds[0].get(name) is not kinds[1].get(name)
    ]


def restore_model(state: Dict[str, Any]) -> Union[SessionModel, SwitchCase]:
    r"""The model that :func:`model_state` described.

    Args:
        state (dict): What it returned; other keys do no harm.

    Raises:
        KeyError: If the class is unknown.
        TypeError: If the class has other settings.
        RuntimeError: If weights are missing or of other shapes.
    """
    settings = dict(state['settings'])
    num_clusters = settings.pop('num_clusters', None)
    base = MODELS[state['model']](**settings)
    model: Union[SessionModel, SwitchCase] = (
        base if num_clusters is None else SwitchCase(base, num_clusters)
    )
    model.load_state_dict(state['weights'])
    return model
