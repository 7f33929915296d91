r"""Algorithm 3 of the thesis: a base model, then one on augmented graphs."""

import os
import os.path as osp
from typing import Any, Callable, Dict, List, Optional

import torch
from tqdm import tqdm

from pyg_sessaug.nn.models.session_model import SessionModel
from pyg_sessaug.registry import AUGMENTATIONS, Augmentation
from pyg_sessaug.training.augmentations import (
    Source,
    check_augmentation,
    derive,
    training_transform,
)
from pyg_sessaug.training.distributed import from_first, rank
from pyg_sessaug.training.fit import fit
from pyg_sessaug.training.loop import best_epoch
from pyg_sessaug.training.state import alone, saved_state

History = List[Dict[str, float]]


def fit_augmented(
    make_model: Callable[[], SessionModel],
    train: Any,
    val: Any,
    augment: str = 'none',
    num_clusters: int = 8,
    seed: int = 0,
    checkpoint: Optional[str] = None,
    resume: bool = False,
    **kwargs: Any,
) -> 'tuple[SessionModel, Dict[str, History]]':
    r"""Trains a model by Algorithm 3.

    Distances and clusters come from the item embeddings of a base model,
    which is trained first on plain graphs; a fresh model is then trained on
    augmented ones, from the same weights and on the same order of samples.
    Blur alone and injected items need no base model, and plain graphs no
    other. ``benchmarks/run.py`` trains by the same functions and seeds.

    Args:
        make_model (callable): Returns a model with new weights.
        train (SessionDataset): Training samples.
        val (SessionDataset): Validation samples.
        augment (str): One of :obj:`AUGMENTATIONS`. (default: :obj:`"none"`)
        num_clusters (int): Clusters of :obj:`"gmm"` and :obj:`"kmeans"`.
            (default: :obj:`8`)
        seed (int): All random numbers derive from it. (default: :obj:`0`)
        checkpoint (str, optional): Beginning of the names of the files that
            hold the state, see :func:`checkpoint_files`.
            (default: :obj:`None`)
        resume (bool): Whether to go on from these files. Once the augmented
            training has begun, the base model stays as it was, whatever
            :obj:`epochs`. (default: :obj:`False`)
        **kwargs (optional): Further arguments of :func:`fit_one`.

    Returns:
        (SessionModel, dict): The model, and the history of each training by
        its name, ``base`` or ``augmented``.

    Raises:
        ValueError: If the data cannot be augmented like that; and what
            :func:`~pyg_sessaug.training.fit` raises.
    """
    augmentation = check_augmentation(augment, train, num_clusters)
    plain = AUGMENTATIONS['none']
    files: Dict[str, Optional[str]] = dict.fromkeys(
        ['base', 'clusters', 'augmented']
    )
    if checkpoint is not None:
        files.update(checkpoint_files(checkpoint, augment))
    kwargs.update(resume=resume)
    histories = {}
    source = Source(train, None, num_clusters, seed, files['clusters'], resume)
    say = kwargs.get('progress', True) and rank() == 0
    with alone(checkpoint):
        if checkpoint is not None and not resume and rank() == 0:
            remove_checkpoints(checkpoint, augment)
        if augmentation.from_base or augmentation == plain:
            model = new_model(make_model, seed)
            if say:
                tqdm.write('base model, on plain graphs:')
            histories['base'] = fit_one(
                plain,
                model,
                train,
                val,
                training_transform(plain),
                seed,
                checkpoint=files['base'],
                **{**kwargs, **_as_before(files, resume)},
            )
            if augmentation == plain:
                return model, histories
            source.embedding = model.item_embedding.detach().cpu()
        weights = source.weights(augmentation)
        model = new_model(make_model, seed)
        if say:
            tqdm.write(f'augmented model, {augmentation.text}:')
        histories['augmented'] = fit_one(
            augmentation,
            model,
            train,
            val,
            training_transform(augmentation, weights),
            seed,
            checkpoint=files['augmented'],
            **kwargs,
        )
    return model, histories


def new_model(make: Callable[[], Any], seed: int) -> Any:
    r"""A model as all methods of a seed start, lest a lucky start pass for a
    gain.

    Args:
        make (callable): Returns a model with new weights.
        seed (int): The seed.
    """
    torch.manual_seed(derive(seed, 'base', 'model'))
    return make()


def fit_one(
    augmentation: Augmentation,
    model: Any,
    train: Any,
    val: Any,
    transform: Callable[..., Any],
    seed: int = 0,
    weight_decay: float = 1e-5,
    patience: int = 5,
    augmented_weight_decay: float = 1e-6,
    augmented_patience: int = 4,
    **kwargs: Any,
) -> History:
    r"""Trains a model by the settings of an augmentation; all methods of a
    seed have one order of samples.

    Args:
        augmentation (Augmentation): Tells which weight decay and patience.
        model (SessionModel): The model, trained in place.
        train (SessionDataset): Training samples.
        val (SessionDataset): Validation samples.
        transform (callable): See :func:`training_transform`.
        seed (int): All random numbers derive from it. (default: :obj:`0`)
        weight_decay (float): Of training on plain graphs and with injected
            items. (default: :obj:`1e-5`)
        patience (int): Likewise. (default: :obj:`5`)
        augmented_weight_decay (float): Of training with weights or blur.
            (default: :obj:`1e-6`)
        augmented_patience (int): Likewise. (default: :obj:`4`)
        **kwargs (optional): Further arguments of
            :func:`~pyg_sessaug.training.fit`.

    Returns:
        list: What :func:`~pyg_sessaug.training.fit` returns.
    """
    if 'weight_decay' in augmentation.augmented:
        weight_decay = augmented_weight_decay
    if 'patience' in augmentation.augmented:
        patience = augmented_patience
    return fit(
        model,
        train,
        val,
        transform,
        weight_decay=weight_decay,
        patience=patience,
        seed=derive(seed, 'base', 'training'),
        **kwargs,
    )


def checkpoint_files(checkpoint: str, augment: str) -> Dict[str, str]:
    r"""Files of :func:`fit_augmented`, by what they hold.

    Args:
        checkpoint (str): Beginning of their names.
        augment (str): The augmentation.
    """
    return {
        'base': f'{checkpoint}.base.part',
        'clusters': f'{checkpoint}.{augment}.clusters.part',
        'augmented': f'{checkpoint}.{augment}.part',
    }


def remove_checkpoints(checkpoint: str, augment: str) -> None:
    r"""Deletes the files of a finished :func:`fit_augmented`."""
    files = checkpoint_files(checkpoint, augment)
    for path in [*files.values(), f'{files["base"]}.refit']:
        if osp.exists(path):
            os.unlink(path)


def _as_before(
    files: Dict[str, Optional[str]], resume: bool
) -> Dict[str, int]:
    r"""What leaves the base model as it was, if others have followed it."""

    def read() -> Dict[str, int]:
        augmented = files['augmented']
        if not resume or augmented is None or not osp.exists(augmented):
            return {}
        base = saved_state(files['base'])
        if base is None:
            return {}
        history, settings = base['history'], base['settings']
        if settings['schedule'] == 'cosine':  # Its epochs are a setting.
            best = best_epoch(history, settings['min_delta'])
            return {'patience': max(1, len(history) - best)}
        return {'epochs': len(history)}

    return from_first(read)
