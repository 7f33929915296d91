r"""Algorithm 1 of the thesis: a model for each cluster of sessions."""

from typing import Any, Dict, List, Tuple, cast

import torch
from torch import Tensor
from torch.utils.data import Subset

from pyg_sessaug.evaluation import run_batches, session_vectors
from pyg_sessaug.nn import SessionModel, SwitchCase
from pyg_sessaug.training import fit, validation_loss


def fit_switch_case(
    model: SessionModel,
    train: Any,
    val: Any,
    num_clusters: int = 8,
    seed: int = 0,
    lr: float = 1e-4,
    **kwargs: Any,
) -> Tuple[SwitchCase, List[Dict[str, Any]]]:
    r"""Fine-tunes a copy of a trained model for each cluster of sessions.

    A Gaussian mixture is fitted to the session vectors of the validation
    samples, which the model was not trained on. Every sample belongs to its
    most probable component, and each cluster's model goes on training on the
    samples of that cluster. It keeps the weights of the global model where
    no epoch lowers the validation loss of the cluster, or where a split has
    no sample of it.

    Args:
        model (SessionModel): The global model, trained on :obj:`train`.
        train (SessionDataset): Training samples.
        val (SessionDataset): Validation samples.
        num_clusters (int): Number of clusters. (default: :obj:`8`)
        seed (int): All random numbers derive from it. (default: :obj:`0`)
        lr (float): Learning rate at the start, a tenth of that of
            training anew. (default: :obj:`1e-4`)
        **kwargs (optional): Further arguments of
            :func:`~pyg_sessaug.training.fit`, but for those of checkpoints.

    Returns:
        (SwitchCase, list): The ensemble, and a dict for each cluster: the
        number of its samples in ``train`` and ``val``, ``val_loss`` of the
        global model there (:obj:`None` without samples), ``history`` of
        training, and ``improved``, whether its weights are its own.
    """
    kwargs.setdefault('schedule', 'steps')  # Clusters are small by nature.
    if getattr(model, 'test_transform', None) is not None:
        kwargs.setdefault('transform', model.test_transform)
    torch.manual_seed(seed)
    ensemble = SwitchCase(model, num_clusters)
    ensemble.fit_clusters(session_vectors(model, val))
    clusters = []
    for own, samples, held_out in zip(
        cast(List[SessionModel], ensemble.models),
        _split(ensemble, train),
        _split(ensemble, val),
    ):
        about: Dict[str, Any] = {
            'train': len(samples),
            'val': len(held_out),
            'val_loss': None,
            'history': [],
            'improved': False,
        }
        if len(held_out) > 0:
            about['val_loss'] = validation_loss(model, held_out)
        if len(samples) > 0 and len(held_out) > 0:
            history = fit(own, samples, held_out, lr=lr, seed=seed, **kwargs)
            best = validation_loss(own, held_out)
            about.update(history=history, improved=best < about['val_loss'])
        if not about['improved']:
            own.load_state_dict(model.state_dict())
        clusters.append(about)
    return ensemble.eval(), clusters


def session_labels(ensemble: SwitchCase, dataset: Any) -> Tensor:
    r"""Cluster of every sample on plain graphs, ``[n]``, int64, on the CPU.

    Args:
        ensemble (SwitchCase): The ensemble.
        dataset (SessionDataset or Subset): The samples.
    """
    return run_batches(ensemble, ensemble.label, dataset, 500)


def _split(ensemble: SwitchCase, dataset: Any) -> 'List[Subset[Any]]':
    r"""The samples of each cluster."""
    label = session_labels(ensemble, dataset)
    return [
        Subset(dataset, (label == cluster).nonzero().view(-1).tolist())
        for cluster in range(ensemble.num_clusters)
    ]
