r"""Epochs of training, which may end and go on at any time."""

import math
import time
from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import RandomSampler, Subset
from torch_geometric.data import Batch
from tqdm import tqdm

from pyg_sessaug.data.progress import progress_bar, quietly
from pyg_sessaug.evaluation import check_items, run_batches
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.nn.interface import Learner, device_of
from pyg_sessaug.nn.models.session_model import to_device
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
from pyg_sessaug.training.presets import first_fall
from pyg_sessaug.training.sampled import part_of, row_adam, sampled_loss
from pyg_sessaug.training.schedule import by_recency, learning_rate
from pyg_sessaug.training.state import (
    TrainingState,
    saved_state,
)
from pyg_sessaug.transforms.at_test import at_test

History = List[Dict[str, float]]

# Steps between two looks at the losses on another device than the CPU.
READ_EVERY = 50


@dataclass(frozen=True)
class Options:
    r"""Arguments of :func:`~pyg_sessaug.training.fit` that change what an
    epoch does.
    """

    batch_size: int
    lr: float
    weight_decay: float
    min_delta: float
    decay_every: float
    decay_steps: Optional[int]
    decay: float
    seed: Optional[int]
    schedule: str
    warmup: int
    recency: Optional[float]
    ema: Optional[float]
    loss: str
    num_negatives: int
    negative_power: float


class Loop:
    r"""Trains a model, epoch by epoch.

    Args:
        model (torch.nn.Module): The model, trained in place.
        train (SessionDataset or Subset): Training samples.
        val (SessionDataset or Subset, optional): Validation samples;
            :obj:`None` keeps the last epoch.
        transform (callable): Applied to every training batch.
        options (Options): What an epoch does.
        horizon (int): Epochs that the schedule is made for.
        num_workers (int): Processes that prepare batches.
        progress (bool): Whether to show progress bars.
        callback (callable, optional): Called with the history after every
            epoch.
    """

    def __init__(
        self,
        model: Any,
        train: Any,
        val: Any,
        transform: Callable[..., Any],
        options: Options,
        horizon: int,
        num_workers: int,
        progress: bool,
        callback: Optional[Callable[[History], Any]],
    ) -> None:
        self.model, self.val, self.options = model, val, options
        self.transform, self.callback = transform, callback
        self.progress = progress and rank() == 0
        self.num_samples, size = len(train), options.batch_size
        sampler: Any = RandomSampler(range(len(train)))
        if options.recency is not None:
            sampler = by_recency(SessionLoader(train), options.recency)
        batches: Dict[str, Any] = {'batch_size': size, 'sampler': sampler}
        if world_size() > 1:
            batches = {'batch_sampler': BatchParts(sampler, size)}
        self.loader = SessionLoader(
            train, transform=transform, num_workers=num_workers, **batches
        )
        check_items(model, self.loader)
        lr, weight_decay = options.lr, options.weight_decay
        if options.loss == 'exact':
            self.loss = distributed_loss(model)
            parameters = model.parameters()
            optimizer = Adam(
                parameters, lr, weight_decay=weight_decay, fused=True
            )
        else:
            negatives = options.num_negatives, options.negative_power
            self.loss = sampled_loss(model, self.loader, sampler, *negatives)
            optimizer = row_adam(model, lr, weight_decay)
            if val is not None:
                self.val = part_of(val)
        steps = len(self.loader)
        self.decay_steps = options.decay_steps or first_fall(
            self.num_samples, size, options.decay_every
        )
        self.horizon = horizon * steps
        scheduler = learning_rate(
            optimizer,
            options.schedule,
            self.horizon,
            self.decay_steps,
            options.decay,
            options.warmup,
        )
        self.average: Any = None
        if options.ema is not None:
            mean = get_ema_multi_avg_fn(options.ema)
            self.average = AveragedModel(model, multi_avg_fn=mean)
        kept = at_test(transform)
        for network in (self.model, self.scored):
            if getattr(network, 'test_transform', None) is not kept:
                network.test_transform = kept
        self.state = TrainingState(
            model, optimizer, scheduler, self.average, {}
        )

    def settings(self) -> Dict[str, Any]:
        r"""Whatever changes the result, to tell whether a state is of it."""
        settings = asdict(self.options)
        settings.pop('decay_every')
        if self.options.loss == 'exact':
            for name in ('loss', 'num_negatives', 'negative_power'):
                settings.pop(name)
        settings['decay_steps'] = self.decay_steps
        settings['samples'] = self.num_samples
        if self.options.schedule == 'cosine':
            settings['steps of the schedule'] = self.horizon
        if world_size() > 1:
            settings['processes'] = world_size()
        # An annealed transform is told by where it starts.
        tell_epoch(self.transform, 0)
        settings['model'] = describe(self.model, trained=self.model)
        settings['transform'] = describe(self.transform, trained=self.model)
        samples = [self.loader.samples]
        if self.val is not None:
            samples.append(SessionLoader(self.val).samples)
        settings['data'] = describe(samples)
        return settings

    def run(
        self,
        epochs: int,
        patience: float,
        checkpoint: Optional[str],
        resume: bool,
    ) -> History:
        r"""Trains for so many epochs, or until none has improved for some."""
        run, seed = self.state, self.options.seed
        if checkpoint is not None:
            run.settings = self.settings()
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
            while run.epoch < epochs and run.epoch - self.best < patience:
                run.history.append(self.epoch(run.epoch + 1))
                if self.best == run.epoch:
                    run.keep(self.scored.state_dict())
                run.save(checkpoint)
                self.tell(run.history)
        except KeyboardInterrupt:
            if checkpoint is not None and rank() == 0:
                tqdm.write(
                    f'Interrupted after epoch {run.epoch}. {checkpoint} '
                    f'holds the state; call again with resume to go on.'
                )
            raise
        return run.history

    @property
    def scored(self) -> Any:
        r"""What validation measures: the model, or its average."""
        return self.model if self.average is None else self.average.module

    @property
    def best(self) -> int:
        r"""The epoch whose weights to keep."""
        history = self.state.history
        if self.val is None:
            return len(history)
        return best_epoch(history, self.options.min_delta)

    def epoch(self, number: int) -> Dict[str, float]:
        r"""Trains for one epoch and tells of it."""
        start = time.perf_counter()
        entry = {
            'epoch': number,
            'lr': self.state.optimizer.param_groups[0]['lr'],
        }
        tell_epoch(self.transform, number - 1)
        sizes = part_sizes(self.num_samples, self.options.batch_size)
        entry['train_loss'] = self._train(number, sizes)
        if self.val is not None:
            with quietly(not self.progress):
                entry['val_loss'] = validation_loss(self.scored, self.val)
            _check_finite('validation', [entry['val_loss']], number)
        return {**entry, 'seconds': time.perf_counter() - start}

    def _train(self, number: int, sizes: Iterable[Tuple[int, int]]) -> float:
        run = self.state
        self.model.train()
        device = device_of(self.model)
        bar = progress_bar(self.loader, f'epoch {number}', self.progress)
        # Elsewhere the host would wait for every loss that it reads.
        every = 1 if device.type == 'cpu' else READ_EVERY
        losses: List[Tuple[Tensor, int]] = []
        total, count, num_samples = 0.0, 0, 0

        def read() -> float:
            values = torch.stack([loss for loss, _ in losses]).tolist()
            _check_finite('training', values, number)
            read = sum(x * part for x, (_, part) in zip(values, losses))
            losses.clear()
            return read

        for batch, (part, size) in zip(bar, sizes):
            loss = self.loss(to_device(batch, device))
            run.optimizer.zero_grad()
            # A process counts as much as the samples it has of the batch.
            loss.backward(loss.new_full((), world_size() * part / size))
            losses.append((loss.detach(), part))
            count += part
            num_samples += size
            if len(losses) == every:
                total += read()
                mean = f'{total / count:.4f}'
                bar.set_postfix(loss=mean, refresh=False)
            run.optimizer.step()
            run.scheduler.step()
            if self.average is not None:
                self.average.update_parameters(self.model)
        if losses:
            total += read()
        (total,) = sum_over_processes(total)
        return total / num_samples

    def tell(self, history: History) -> None:
        r"""Prints the last epoch, and calls back."""
        entry = history[-1]
        if self.progress:
            val = entry.get('val_loss')
            more = '' if val is None else f', validation loss {val:.4f}'
            tqdm.write(
                f'epoch {entry["epoch"]}: train loss '
                f'{entry["train_loss"]:.4f}{more}'
            )
        if self.callback is not None and rank() == 0:
            self.callback(history)


def validation_loss(
    model: Learner,
    dataset: Any,
    batch_size: int = 500,
) -> float:
    r"""Mean cross-entropy per sample, on plain graphs or those of the model's
    :obj:`test_transform`.

    Several processes share the work.
    """
    part = Subset(dataset, range(rank(), len(dataset), world_size()))

    def loss(batch: Batch) -> Tensor:
        return model.loss(batch).view(1) * batch.num_graphs

    losses = torch.zeros(0)
    if len(part) > 0:
        losses = run_batches(model, loss, part, batch_size)
    (total,) = sum_over_processes(sum(losses.tolist()))
    return total / len(dataset)


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


def best_epoch(history: History, min_delta: float = 1e-4) -> int:
    r"""The last epoch that improved on all before it, from 1.

    Args:
        history (list): What :func:`~pyg_sessaug.training.fit` returns; what
            has no validation loss does not count.
        min_delta (float): Smallest decrease of the validation loss that
            counts as an improvement. (default: :obj:`1e-4`)

    Returns:
        int: The epoch that validation chose; 0 if there is none.
    """
    best, lowest = 0, math.inf
    for entry in history:
        loss = entry.get('val_loss', math.inf)
        if loss < lowest - min_delta:
            best, lowest = int(entry['epoch']), loss
    return best


def _check_finite(kind: str, losses: List[float], epoch: int) -> None:
    for loss in losses:
        if not math.isfinite(loss):
            raise ValueError(
                f'the {kind} loss became {loss} in epoch {epoch}; lower lr, '
                f'or look for NaN or infinite edge weights'
            )
