r"""Training of session models."""

import warnings
from typing import Any, Callable, Dict, List, Optional

from pyg_sessaug.counts import NeighborItems
from pyg_sessaug.counts.session_counts import SessionCounts
from pyg_sessaug.data.ids import check_ids
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.nn.interface import check_interface
from pyg_sessaug.training.distributed import rank
from pyg_sessaug.training.loop import Loop, Options, best_epoch
from pyg_sessaug.training.presets import FEW_STEPS, first_fall
from pyg_sessaug.training.sampled import LOSSES, check_sampled
from pyg_sessaug.training.schedule import SCHEDULES
from pyg_sessaug.training.state import alone, copy_tensors
from pyg_sessaug.transforms import NormalizeEdges
from pyg_sessaug.transforms.at_test import modules_within


def fit(
    model: Any,
    train: Any,
    val: Any,
    transform: Optional[Callable[..., Any]] = None,
    epochs: int = 20,
    batch_size: int = 100,
    lr: float = 1e-3,
    weight_decay: float = 1e-5,
    patience: int = 5,
    min_delta: float = 1e-4,
    decay_every: float = 2.0,
    decay_steps: Optional[int] = None,
    decay: float = 0.1,
    seed: Optional[int] = None,
    device: Optional[str] = None,
    checkpoint: Optional[str] = None,
    resume: bool = False,
    num_workers: int = 0,
    progress: bool = True,
    schedule: Optional[str] = None,
    warmup: int = 0,
    recency: Optional[float] = None,
    ema: Optional[float] = None,
    refit: Any = None,
    callback: Optional[Callable[[List[Dict[str, float]]], Any]] = None,
    loss: str = 'exact',
    num_negatives: int = 2048,
    negative_power: float = 0.75,
) -> List[Dict[str, float]]:
    r"""Trains a model by the protocol of SR-GNN and keeps its best epoch.

    Adam, with the learning rate multiplied by :obj:`decay` every
    :obj:`decay_every` epochs; stops once the validation loss has not
    improved for :obj:`patience` epochs. The model ends with the weights of
    the last epoch that improved it by more than :obj:`min_delta`, in the mode
    that it came in, so call :meth:`eval` before scoring with dropout.
    Validation graphs are plain, but for what :obj:`transform` does that says
    :obj:`at_test = True`; the model keeps it as its :obj:`test_transform`,
    which evaluation, recommendations and files take from there.

    Within a process group of :mod:`torch.distributed` every process takes
    its part of every batch; all call this function alike and get the same
    weights. With plain graphs and no dropout the losses are those of one
    process, but for rounding. The first process alone writes and prints.

    Args:
        model (SessionModel): The model, trained in place, or any
            :class:`torch.nn.Module` with :obj:`num_items` and :meth:`loss`.
        train (SessionDataset or Subset): Training samples.
        val (SessionDataset or Subset): Validation samples.
        transform (callable, optional): Applied to every training batch, or
            graph by graph unless it says :obj:`batchwise = True`, see
            :class:`~pyg_sessaug.SessionLoader`.
            (default: :obj:`None`, the transform of :obj:`train`, or
            :class:`~pyg_sessaug.transforms.NormalizeEdges` if it has none).
            If it, or a transform at any depth in its :obj:`transforms`,
            :obj:`filters` or :obj:`transform`, has a method
            :obj:`set_epoch`, as torch's samplers do, that gets the epoch,
            from 0, before each.
        epochs (int): Epochs at most. (default: :obj:`20`)
        batch_size (int): Samples per step, over all processes.
            (default: :obj:`100`)
        lr (float): Learning rate at the start. (default: :obj:`1e-3`)
        weight_decay (float): L2 penalty of Adam. (default: :obj:`1e-5`)
        patience (int): Epochs without improvement before stopping.
            (default: :obj:`5`)
        min_delta (float): Smallest decrease of the validation loss that
            counts as an improvement. (default: :obj:`1e-4`)
        decay_every (float): Epochs between two decays of the learning rate.
            (default: :obj:`2.0`)
        decay_steps (int, optional): Steps between two decays, in place of
            :obj:`decay_every`. (default: :obj:`None`)
        decay (float): Factor of each decay. (default: :obj:`0.1`)
        seed (int, optional): Seed of torch's generator, set before the first
            step. (default: :obj:`None`, which leaves the generator alone)
        device (str, optional): Where to train. (default: :obj:`None`, where
            the model is)
        checkpoint (str, optional): File that holds the state after every
            epoch; no two trainings share one. (default: :obj:`None`)
        resume (bool): Whether to go on from :obj:`checkpoint` if it exists;
            the result is that of an undisturbed run, bit for bit, by as many
            processes and threads. All arguments must be the same but
            :obj:`epochs` and :obj:`patience`. Transforms are the same if
            their classes are and what :mod:`pickle` would keep of them at
            epoch 0, functions if their code is; one of which this cannot be
            told takes no checkpoint. (default: :obj:`False`)
        num_workers (int): Processes that prepare batches.
            (default: :obj:`0`)
        progress (bool): Whether to show progress bars.
            (default: :obj:`True`)
        schedule (str, optional): :obj:`"steps"`, or :obj:`"cosine"` for a
            rate that falls to zero along half a cosine over all
            :obj:`epochs`, which then are a setting. (default: :obj:`None`,
            which is :obj:`"steps"` with a warning if they are few)
        warmup (int): Steps over which the rate rises at the start.
            (default: :obj:`0`)
        recency (float, optional): :math:`\tau`: as many samples an epoch,
            but newer sessions drawn more often, see
            :class:`~pyg_sessaug.training.schedule.RecencySampler`; choose it
            by validation on the newest sessions. (default: :obj:`None`, each
            sample once)
        ema (float, optional): Scores and keeps a moving average of the
            weights, this much of it old in every step, such as
            :obj:`0.999`. (default: :obj:`None`)
        refit (SessionDataset or Subset, optional): All training sessions,
            those of validation among them, as by :obj:`val_ratio=0`. Once
            validation has chosen the epoch, the model is trained anew on
            them for as many, from the same start, and keeps those weights;
            what it and :obj:`transform` count of training sessions, they
            count anew.
            (default: :obj:`None`)
        callback (callable, optional): Called after every epoch with the
            history so far, by the first process. (default: :obj:`None`)
        loss (str): :obj:`"exact"`, or :obj:`"sampled"` for large catalogues:
            each batch is compared with its own targets and
            :obj:`num_negatives` other items, and only items of the step are
            touched, which have no weight decay; see
            :func:`~pyg_sessaug.nn.sampled_cross_entropy`.
            Validation stays exact, on at most 20,000 samples. An average of
            weights (:obj:`ema`) touches all of them nevertheless.
            (default: :obj:`"exact"`)
        num_negatives (int): Items that a step draws. (default: :obj:`2048`)
        negative_power (float): Items are drawn by their number of targets to
            the power of this, 0 for equal probabilities.
            (default: :obj:`0.75`)

    Returns:
        list: One dict per epoch: ``epoch`` (from 1), ``lr``, ``train_loss``,
        ``val_loss``, ``seconds``. Those of :obj:`refit` follow, from epoch 1
        again, without ``val_loss``.

    Raises:
        ValueError: If a loss is not finite, the data has items beyond the
            model's, items of the splits are not the same, there is nothing
            to train on, the model cannot be trained on a sample of the
            items, or the checkpoint was made by other settings or another
            version.
        BlockingIOError: If another training has the checkpoint.

    Warns:
        UserWarning: If the learning rate falls before 2,000 steps, and
            neither :obj:`schedule` nor :obj:`decay_steps` was passed.
    """
    if epochs < 1 or patience < 1:
        raise ValueError(
            f'fit got epochs={epochs} and patience={patience}; pass at least '
            f'1 of each'
        )
    if decay_every <= 0 or (decay_steps is not None and decay_steps < 1):
        raise ValueError(
            f'fit got decay_every={decay_every} and '
            f'decay_steps={decay_steps}; pass a positive number'
        )
    if len(train) == 0 or len(val) == 0:
        raise ValueError(
            f'training needs samples in both splits, got {len(train)} for '
            f'training and {len(val)} for validation; raise fraction or '
            f'val_ratio'
        )
    if (
        schedule not in (None, *SCHEDULES)
        or warmup < 0
        or not (recency is None or recency > 0)
        or not (ema is None or 0 < ema < 1)
    ):
        raise ValueError(
            f'fit got schedule={schedule!r}, warmup={warmup}, '
            f'recency={recency} and ema={ema}; pass one of {SCHEDULES}, 0 or '
            f'more steps, a positive number, and one between 0 and 1'
        )
    if loss not in LOSSES or num_negatives < 1 or negative_power < 0:
        raise ValueError(
            f'fit got loss={loss!r}, num_negatives={num_negatives} and '
            f'negative_power={negative_power}; pass one of {LOSSES}, at '
            f'least 1 item, and a power of at least 0'
        )
    check_interface(model, 'num_items', 'loss')
    if loss == 'sampled':
        check_sampled(model)
    loader = SessionLoader(train)
    for samples in (val, refit):
        if samples is not None:
            check_ids(loader.item_ids, SessionLoader(samples).item_ids)
    fall = first_fall(len(train), batch_size, decay_every)
    whole = first_fall(len(train), batch_size, epochs)
    default = schedule is None and decay_steps is None and decay < 1
    if default and fall < min(FEW_STEPS, whole) and rank() == 0:
        warnings.warn(
            f'the learning rate first falls after {fall} steps, too few to '
            f"learn much; pass **preset('auto', train) of "
            f'pyg_sessaug.training, or decay_steps=13_000 with more epochs',
            stacklevel=2,
        )
    if device is not None:
        model.to(device)
    options = Options(
        batch_size,
        lr,
        weight_decay,
        min_delta,
        decay_every,
        decay_steps,
        decay,
        seed,
        schedule or 'steps',
        warmup,
        recency,
        ema,
        loss,
        num_negatives,
        negative_power,
    )
    transform = transform or loader.transform or NormalizeEdges()
    training = model.training
    more = (transform, options, epochs, num_workers, progress)
    with alone(checkpoint):
        loop = Loop(model, train, val, *more, callback)
        if refit is not None:
            loop.state.start = copy_tensors(model.state_dict())
        history = loop.run(epochs, patience, checkpoint, resume)
        model.load_state_dict(loop.state.best)
        if refit is not None:
            model.load_state_dict(loop.state.start)
            if hasattr(model, 'observe'):
                model.observe(refit)
            for module in modules_within(transform):
                if isinstance(module, (SessionCounts, NeighborItems)):
                    module.fit(refit)
            first = history
            called = callback and (lambda later: callback(first + later))
            again = Loop(model, refit, None, *more, called)
            if progress and rank() == 0:
                print('anew, on all training sessions:', flush=True)
            history = history + again.run(
                best_epoch(history, min_delta),
                float('inf'),
                None if checkpoint is None else f'{checkpoint}.refit',
                resume,
            )
            model.load_state_dict(again.state.best)
    model.train(training)
    return history
