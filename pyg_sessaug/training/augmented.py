r"""Algorithm 3 of the thesis: a base model, then one on augmented graphs."""

import os
import os.path as osp
from typing import Any, Callable, Dict, List, Optional

import torch
from torch import Tensor
from torch_geometric.transforms import Compose
from tqdm import tqdm

from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.clusters.item_clusters import METHODS
from pyg_sessaug.nn.models.session_model import SessionModel
from pyg_sessaug.registry import AUGMENTATIONS
from pyg_sessaug.training import fit
from pyg_sessaug.training.distributed import from_first, rank
from pyg_sessaug.training.state import saved_state
from pyg_sessaug.transforms import (
    ClusterDistance,
    GaussianBlur,
    ItemDistance,
    NormalizeEdges,
    VertexInjection,
)

WITHOUT_BASE = ('blur', 'inject-same')


def fit_augmented(
    make_model: Callable[[], SessionModel],
    train: Any,
    val: Any,
    augment: str = 'none',
    num_clusters: int = 8,
    seed: int = 0,
    weight_decay: float = 1e-5,
    patience: int = 5,
    augmented_weight_decay: float = 1e-6,
    augmented_patience: int = 4,
    checkpoint: Optional[str] = None,
    resume: bool = False,
    **kwargs: Any,
) -> 'tuple[SessionModel, Dict[str, List[Dict[str, float]]]]':
    r"""Trains a model by Algorithm 3.

    Distances and clusters come from the item embeddings of a base model,
    which is trained first on plain graphs; a fresh model is then trained on
    augmented ones. Blur alone and injected items need no base model, and
    plain graphs no other. Injected items are trained on with the weight
    decay and patience of plain graphs.

    Args:
        make_model (callable): Returns a model with new weights.
        train (SessionDataset): Training samples.
        val (SessionDataset): Validation samples.
        augment (str): One of :obj:`AUGMENTATIONS`. (default: :obj:`"none"`)
        num_clusters (int): Clusters of :obj:`"gmm"` and :obj:`"kmeans"`.
            (default: :obj:`8`)
        seed (int): All random numbers derive from it. (default: :obj:`0`)
        weight_decay (float): Of training on plain graphs.
            (default: :obj:`1e-5`)
        patience (int): Of training on plain graphs. (default: :obj:`5`)
        augmented_weight_decay (float): Of training on augmented graphs.
            (default: :obj:`1e-6`)
        augmented_patience (int): Of training on augmented graphs.
            (default: :obj:`4`)
        checkpoint (str, optional): Beginning of the names of the files that
            hold the state, see :func:`checkpoint_files`.
            (default: :obj:`None`)
        resume (bool): Whether to go on from these files. Once the augmented
            training has begun, the base model stays as it was, whatever
            :obj:`epochs`. (default: :obj:`False`)
        **kwargs (optional): Further arguments of
            :func:`~pyg_sessaug.training.fit`.

    Returns:
        (SessionModel, dict): The model, and the history of each training by
        its name, ``base`` or ``augmented``.
    """
    check_augmentation(augment, train, num_clusters)
    files: Dict[str, Optional[str]] = dict.fromkeys(
        ['base', 'clusters', 'augmented']
    )
    if checkpoint is not None:
        files.update(checkpoint_files(checkpoint, augment))
        if not resume and rank() == 0:
            remove_checkpoints(checkpoint, augment)
    kwargs.update(seed=seed, resume=resume)
    histories = {}
    embedding = None
    say = kwargs.get('progress', True) and rank() == 0
    if augment not in WITHOUT_BASE:
        torch.manual_seed(seed)
        model = make_model()
        if say:
            tqdm.write('base model, on plain graphs:')
        histories['base'] = fit(
            model,
            train,
            val,
            NormalizeEdges(),
            weight_decay=weight_decay,
            patience=patience,
            checkpoint=files['base'],
            **{**kwargs, **_epochs_of_base(files, resume)},
        )
        if augment == 'none':
            return model, histories
        embedding = model.item_embedding.detach().cpu()

    torch.manual_seed(seed)
    transform = training_transform(
        augment, train, embedding, num_clusters, files['clusters'], resume
    )
    torch.manual_seed(seed)
    model = make_model()
    if augment == 'inject-same':
        augmented_weight_decay = weight_decay
        augmented_patience = patience
    if say:
        tqdm.write(f'augmented model, {AUGMENTATIONS[augment]}:')
    histories['augmented'] = fit(
        model,
        train,
        val,
        transform,
        weight_decay=augmented_weight_decay,
        patience=augmented_patience,
        checkpoint=files['augmented'],
        **kwargs,
    )
    return model, histories


def _epochs_of_base(
    files: Dict[str, Optional[str]], resume: bool
) -> Dict[str, int]:
    r"""Epochs that the base model has, if others have followed from it."""

    def read() -> Dict[str, int]:
        augmented = files['augmented']
        if not resume or augmented is None or not osp.exists(augmented):
            return {}
        base = saved_state(files['base'])
        return {} if base is None else {'epochs': len(base['history'])}

    return from_first(read)


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


def check_augmentation(
    augment: str, train: Any, num_clusters: int = 8
) -> None:
    r"""Refuses what a data set cannot be augmented by, before training.

    Args:
        augment (str): One of :obj:`AUGMENTATIONS`.
        train (SessionDataset): Training samples.
        num_clusters (int): Clusters of :obj:`"gmm"` and :obj:`"kmeans"`.
            (default: :obj:`8`)

    Raises:
        ValueError: If it is unknown, needs categories that are not there, or
            more items than were seen in training.
    """
    if augment not in AUGMENTATIONS:
        raise ValueError(
            f'unknown augmentation {augment!r}; choose one of '
            f'{list(AUGMENTATIONS)}'
        )
    known = train.num_categories or 0
    if augment in ('category', 'inject-same') and known == 0:
        raise ValueError(
            f'the augmentation {augment!r} needs a data set with categories '
            f'of items; name their column, or choose another'
        )
    seen = int(train.seen_items.sum())
    if augment in METHODS and not 1 <= num_clusters <= seen:
        raise ValueError(
            f'num_clusters={num_clusters} must be between 1 and the {seen} '
            f'items seen in training'
        )


def training_transform(
    augment: str,
    train: Any,
    embedding: Optional[Tensor] = None,
    num_clusters: int = 8,
    path: Optional[str] = None,
    resume: bool = False,
) -> Compose:
    r"""What a training batch goes through.

    Args:
        augment (str): One of :obj:`AUGMENTATIONS`.
        train (SessionDataset): Training samples; clusters are fitted on the
            items seen there, and items of no known category share one.
        embedding (Tensor, optional): Item embeddings of the base model,
            ``[num_items, d]``. (default: :obj:`None`)
        num_clusters (int): Clusters of :obj:`"gmm"` and :obj:`"kmeans"`.
            (default: :obj:`8`)
        path (str, optional): File to keep the clusters in.
            (default: :obj:`None`)
        resume (bool): Whether to take them from there.
            (default: :obj:`False`)
    """
    check_augmentation(augment, train, num_clusters)
    if augment == 'none':
        return Compose([NormalizeEdges()])
    if augment == 'blur':
        return Compose([NormalizeEdges(), GaussianBlur()])
    if augment == 'inject-same':
        injection = VertexInjection(
            train.categories, mask=train.seen_items, same=True
        )
        return Compose([injection, NormalizeEdges()])
    if embedding is None:
        raise ValueError(f'the augmentation {augment!r} needs an embedding')
    if augment == 'i2i':
        weights: Any = ItemDistance(embedding)
        return Compose([weights, NormalizeEdges(), GaussianBlur()])
    clusters = from_first(
        lambda: _clusters(
            augment, train, embedding, num_clusters, path, resume
        )
    )
    weights = ClusterDistance(clusters)
    return Compose([weights, NormalizeEdges(), GaussianBlur()])


def _clusters(
    augment: str,
    train: Any,
    embedding: Tensor,
    num_clusters: int,
    path: Optional[str],
    resume: bool,
) -> ItemClusters:
    if path is not None and resume and osp.exists(path):
        clusters = ItemClusters.load(path)
        if augment in METHODS and clusters.num_clusters != num_clusters:
            raise ValueError(
                f'{path} was made with num_clusters='
                f'{clusters.num_clusters}, not {num_clusters}; use the same '
                f'settings, or delete it to start anew'
            )
    else:
        clusters = fit_clusters(
            augment,
            embedding,
            train.seen_items,
            train.categories,
            num_clusters,
        )
    if path is not None:
        clusters.save(path)
    return clusters


def fit_clusters(
    augment: str,
    embedding: Tensor,
    seen: Tensor,
    categories: Optional[Tensor] = None,
    num_clusters: int = 8,
) -> ItemClusters:
    r"""Clusters of items by an augmentation that needs them.

    Args:
        augment (str): :obj:`"gmm"`, :obj:`"kmeans"` or :obj:`"category"`.
        embedding (Tensor): Item embeddings of the base model,
            ``[num_items, d]``.
        seen (Tensor): Items seen in training, ``[num_items]``, bool.
        categories (Tensor, optional): Category of each item, ``[num_items]``
            int64; items of no known one, -1, share one more.
            (default: :obj:`None`)
        num_clusters (int): Clusters of :obj:`"gmm"` and :obj:`"kmeans"`.
            (default: :obj:`8`)
    """
    if augment != 'category':
        return ItemClusters.fit(embedding, augment, num_clusters, seen)
    if categories is None:
        raise ValueError("'category' needs categories of items; pass them")
    categories = categories.where(categories >= 0, categories.max() + 1)
    return ItemClusters.from_categories(embedding, categories, seen)


def remove_checkpoints(checkpoint: str, augment: str) -> None:
    r"""Deletes the files of a finished :func:`fit_augmented`."""
    for path in checkpoint_files(checkpoint, augment).values():
        if osp.exists(path):
            os.unlink(path)
