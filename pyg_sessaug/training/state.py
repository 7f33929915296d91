r"""What training must know to go on after an interruption."""

import os
import os.path as osp
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, List, Optional, Set

import torch
from filelock import FileLock, Timeout
from torch import Tensor

import pyg_sessaug
from pyg_sessaug.files import load_state, save_atomically
from pyg_sessaug.nn.interface import device_of
from pyg_sessaug.training.distributed import gather, rank, world_size

KEYS = {'settings', 'history', 'model', 'best', 'optimizer', 'scheduler'}


class TrainingState:
    r"""All that changes from epoch to epoch, and its file."""

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler,
        average: Optional[torch.nn.Module],
        settings: Dict[str, Any],
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.scheduler, self.settings = scheduler, settings
        self.average = average
        self.start: Optional[Dict[str, Tensor]] = None
        self.history: List[Dict[str, float]] = []
        self.best = copy_tensors(model.state_dict())

    @property
    def epoch(self) -> int:
        return len(self.history)

    def keep(self, weights: Dict[str, Tensor]) -> None:
        r"""Makes these the best; in place, as a table may be large."""
        for key, value in weights.items():
            self.best[key].copy_(value)

    def save(self, path: Optional[str]) -> None:
        if path is None:
            return
        cuda = device_of(self.model).type == 'cuda'
        rng = gather(torch.get_rng_state())
        cuda_rng = gather(torch.cuda.get_rng_state()) if cuda else None
        if rank() > 0:
            return
        save_atomically(
            {
                'version': pyg_sessaug.__version__,
                'settings': self.settings,
                'history': self.history,
                'model': self.model.state_dict(),
                'best': self.best,
                'optimizer': self.optimizer.state_dict(),
                'scheduler': self.scheduler.state_dict(),
                'average': self.average and self.average.state_dict(),
                'start': self.start,
                'rng': rng,
                'cuda_rng': cuda_rng,
            },
            path,
        )

    def restore(self, state: Dict[str, Any], path: str) -> None:
        for key in {**self.settings, **state['settings']}:
            old, new = state['settings'].get(key), self.settings.get(key)
            if old != new:
                raise ValueError(
                    f'{path} was made with {key}={old!r}, not {new!r}; use '
                    f'the same settings, or delete it to start anew'
                )
        self.history, self.best = state['history'], state['best']
        self.model.load_state_dict(state['model'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.scheduler.load_state_dict(state['scheduler'])
        if self.average is not None:
            self.average.load_state_dict(state['average'])
        # It may have been begun without a refit, from the model's own start.
        if self.start is not None and state['start'] is not None:
            self.start = state['start']
        rng, cuda_rng = state['rng'], state['cuda_rng']
        # Clones, because torch takes a row for the whole of its storage.
        torch.set_rng_state(rng.view(world_size(), -1)[rank()].clone())
        if cuda_rng is not None:
            cuda_rng = cuda_rng.view(world_size(), -1)[rank()]
            torch.cuda.set_rng_state(cuda_rng.clone())


def saved_state(path: Optional[str]) -> Optional[Dict[str, Any]]:
    r"""What :meth:`TrainingState.save` wrote, if it did.

    Args:
        path (str, optional): The file.

    Raises:
        ValueError: If the file is damaged, holds something else, or was
            written by another version.
    """
    if path is None or not osp.exists(path):
        return None
    remedy = 'delete it to start anew'
    state = load_state(path, remedy)
    if not KEYS <= set(state):
        raise ValueError(f'{path} holds no state of a training; {remedy}')
    # Version 0.1.0 did not write its own.
    version, own = state.get('version', '0.1.0'), pyg_sessaug.__version__
    if version != own:
        raise ValueError(
            f'{path} was written by pyg_sessaug {version}, and this is {own}; '
            f'finish the training with that version, or start anew without '
            f'resume (--resume)'
        )
    return state


_held: Set[str] = set()


@contextmanager
def alone(path: Optional[str]) -> Iterator[None]:
    r"""Keeps other trainings away from the same files, by a lock file.

    The lock ends with the process, however that ends. The first process
    holds it for all of a group, and may take it again within.

    Args:
        path (str, optional): The file; the lock is beside it, in
            ``{path}.lock``.

    Raises:
        BlockingIOError: If another training holds it.
        OSError: If the folder cannot be written to.
    """
    if path is None or rank() > 0:
        yield
        return
    path = osp.abspath(path)
    held = f'{path} by {os.getpid()}'
    if held in _held:
        yield
        return
    lock = FileLock(f'{path}.lock', timeout=0)
    try:
        os.makedirs(osp.dirname(path), exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise BlockingIOError(
            f'another process trains with {path} and holds '
            f'{lock.lock_file}; wait for it, end it, or name another '
            f'checkpoint (--output)'
        ) from error
    except OSError as error:
        raise OSError(
            error.errno, f'{error.strerror}; nothing was changed', path
        ) from error
    _held.add(held)
    try:
        yield
    finally:
        _held.remove(held)
        with suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()


def copy_tensors(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    r"""Copies of all tensors."""
    return {key: value.clone() for key, value in state.items()}
