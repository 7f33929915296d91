r"""Training of session models."""

import math
import time
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

import torch
from torch import Tensor
from torch.utils.data import Subset
from torch_geometric.data import Batch
from tqdm import tqdm

from pyg_sessaug.evaluation import check_items, run_batches
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.nn.interface import Learner, check_interface, device_of
from pyg_sessaug.training.describe import describe
from pyg_sessaug.training.distributed import (
    BatchParts,
    distributed_loss,
    from_first,
    part_sizes,
    rank,
    sum_over_processes,
    world_size,
)
from pyg_sessaug.training.state import (
    TrainingState,
    alone,
    copy_tensors,
    saved_state,
)
from pyg_sessaug.transforms import NormalizeEdges


def validation_loss(
    model: Learner,
    dataset: Any,
    batch_size: int = 500,
) -> float:
    r"""Mean cross-entropy per sample on plain graphs.

    Several processes share the work.
    """
    part = Subset(dataset, range(rank(), len(dataset), world_size()))

    def loss(batch: Batch) -> Tensor:
        return model.loss(batch) * batch.num_graphs

    losses = run_batches(model, loss, part, batch_size) if len(part) else []
    (total,) = sum_over_processes(sum(loss.item() for loss in losses))
    return total / len(dataset)


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
) -> List[Dict[str, float]]:
    r"""Trains a model by the protocol of SR-GNN and keeps its best epoch.

    Adam, with the learning rate multiplied by :obj:`decay` every
    :obj:`decay_every` epochs; stops once the validation loss has not
    improved for :obj:`patience` epochs. The model ends with the weights of
    the last epoch that improved it by more than :obj:`min_delta`, in the mode
    that it came in, so call :meth:`eval` before scoring with dropout.
    Validation graphs are plain.

    Within a process group of :mod:`torch.distributed` every process takes
    its part of every batch; all call this function alike and get the same
    weights. With plain graphs and no dropout the losses are those of one
    process, but for rounding. The first process alone writes and prints.

    Args:
        model (SessionModel): The model, trained in place, or any
            :class:`torch.nn.Module` with :obj:`num_items` and :meth:`loss`.
        train (SessionDataset or Subset): Training samples.
        val (SessionDataset or Subset): Validation samples.
        transform (callable, optional): Applied to every training batch.
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

    Returns:
        list: One dict per epoch: ``epoch`` (from 1), ``lr``, ``train_loss``,
        ``val_loss``, ``seconds``.

    Raises:
        ValueError: If a loss is not finite, the data has items beyond the
            model's, there is nothing to train on, or the checkpoint was made
            by other settings or another version.
        BlockingIOError: If another training has the checkpoint.
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
    check_interface(model, 'num_items', 'loss')
    if device is not None:
        model.to(device)
    batches: Dict[str, Any] = (
        {'batch_size': batch_size, 'shuffle': True}
        if world_size() == 1
        else {'batch_sampler': BatchParts(len(train), batch_size)}
    )
    loader = SessionLoader(
        train,
        transform=transform
        or SessionLoader(train).transform
        or NormalizeEdges(),
        num_workers=num_workers,
        **batches,
    )
    check_items(model, loader)
    training = model.training
    loss = distributed_loss(model)
    decay_steps = decay_steps or max(1, round(decay_every * len(loader)))
    optimizer = torch.optim.Adam(
        model.parameters(), lr=lr, weight_decay=weight_decay, fused=True
    )
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, decay_steps, decay)
    settings: Dict[str, Any] = {
        'samples': len(train),
        'batch_size': batch_size,
        'lr': lr,
        'weight_decay': weight_decay,
        'min_delta': min_delta,
        'decay_steps': decay_steps,
        'decay': decay,
        'seed': seed,
        **({'processes': world_size()} if world_size() > 1 else {}),
    }
    if checkpoint is not None:
        # An annealed transform is told by where it starts.
        tell_epoch(loader.transform, 0)
        settings['model'] = describe(model, trained=model)
        settings['transform'] = describe(loader.transform, trained=model)
        settings['data'] = describe(
            [loader.samples, SessionLoader(val, batch_size).samples]
        )
    run = TrainingState(model, optimizer, scheduler, settings)
    progress = progress and rank() == 0
    with alone(checkpoint):
        state = from_first(lambda: saved_state(checkpoint) if resume else None)
        if state is not None:
            run.restore(state, str(checkpoint))
        else:
            if seed is not None:
                torch.manual_seed(seed)
            if rank() > 0:  # What transforms and dropout draw is its own.
                torch.manual_seed(torch.initial_seed() + rank())
            run.save(checkpoint)
        try:
            while (
                run.epoch < epochs
                and run.epoch - best_epoch(run.history, min_delta) < patience
            ):
                start, rate = (
                    time.perf_counter(),
                    optimizer.param_groups[0]['lr'],
                )
                tell_epoch(loader.transform, run.epoch)
                sizes = part_sizes(len(train), batch_size)
                train_loss = _train_epoch(run, loss, loader, sizes, progress)
                val_loss = validation_loss(model, val)
                _check_finite('validation', val_loss, run.epoch + 1)
                run.history.append(
                    {
                        'epoch': run.epoch + 1,
                        'lr': rate,
                        'train_loss': train_loss,
                        'val_loss': val_loss,
                        'seconds': time.perf_counter() - start,
                    }
                )
                if best_epoch(run.history, min_delta) == run.epoch:
                    run.best = copy_tensors(model.state_dict())
                run.save(checkpoint)
                if progress:
                    tqdm.write(
                        f'epoch {run.epoch}: train loss {train_loss:.4f}, '
                        f'validation loss {val_loss:.4f}'
                    )
        except KeyboardInterrupt:
            if checkpoint is not None and rank() == 0:
                tqdm.write(
                    f'Interrupted after epoch {run.epoch}. {checkpoint} '
                    f'holds the state; call again with resume to go on.'
                )
            raise
    model.load_state_dict(run.best)
    model.train(training)
    return run.history


def tell_epoch(transform: Any, epoch: int) -> None:
    r"""Calls :obj:`set_epoch` of a transform and of all within it.

    Args:
        transform (callable): The transform; those within it are in its
            :obj:`transforms`, :obj:`filters` or :obj:`transform`.
        epoch (int): The epoch, from 0.
    """
    for name in ('transforms', 'filters', 'transform'):
        within = getattr(transform, name, ())
        for part in within if isinstance(within, Iterable) else [within]:
            tell_epoch(part, epoch)
    if hasattr(transform, 'set_epoch'):
        transform.set_epoch(epoch)


def best_epoch(
    history: List[Dict[str, float]], min_delta: float = 1e-4
) -> int:
    r"""The last epoch that improved on all before it, from 1.

    Args:
        history (list): What :func:`fit` returns.
        min_delta (float): Smallest decrease of the validation loss that
            counts as an improvement. (default: :obj:`1e-4`)

    Returns:
        int: The epoch whose weights the model has; 0 if there is none.
    """
    best, lowest = 0, math.inf
    for entry in history:
        if entry['val_loss'] < lowest - min_delta:
            best, lowest = int(entry['epoch']), entry['val_loss']
    return best


def _train_epoch(
    run: TrainingState,
    loss_of: Callable[[Batch], Tensor],
    loader: SessionLoader,
    sizes: Iterable[Tuple[int, int]],
    progress: bool,
) -> float:
    run.model.train()
    device = device_of(run.model)
    total, count, num_samples = 0.0, 0, 0
    # No bars in log files: None shows them on terminals alone.
    hide = None if progress else True
    bar = tqdm(loader, f'epoch {run.epoch + 1}', leave=False, disable=hide)
    for batch, (part, size) in zip(bar, sizes):
        loss = loss_of(batch.to(device))
        value = loss.item()
        _check_finite('training', value, run.epoch + 1)
        run.optimizer.zero_grad()
        # A process counts as much as the samples it has of the batch.
        loss.backward(loss.new_tensor(world_size() * part / size))
        run.optimizer.step()
        run.scheduler.step()
        total += value * part
        count += part
        num_samples += size
        bar.set_postfix(loss=f'{total / count:.4f}', refresh=False)
    (total,) = sum_over_processes(total)
    return total / num_samples


def _check_finite(kind: str, loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise ValueError(
            f'the {kind} loss became {loss} in epoch {epoch}; lower lr, or '
            f'look for NaN or infinite edge weights'
        )
