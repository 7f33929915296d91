r"""What training must know to go on after an interruption."""

import hashlib
import os.path as osp
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor
from torch_geometric.transforms import Compose

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
        settings: Dict[str, Any],
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.scheduler, self.settings = scheduler, settings
        self.history: List[Dict[str, float]] = []
        self.best = copy_tensors(model.state_dict())

    @property
    def epoch(self) -> int:
        return len(self.history)

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
                'settings': self.settings,
                'history': self.history,
                'model': self.model.state_dict(),
                'best': self.best,
                'optimizer': self.optimizer.state_dict(),
                'scheduler': self.scheduler.state_dict(),
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
        ValueError: If the file is damaged or holds something else.
    """
    if path is None or not osp.exists(path):
        return None
    remedy = 'delete it to start anew'
    state = load_state(path, remedy)
    if not KEYS <= set(state):
        raise ValueError(f'{path} holds no state of a training; {remedy}')
    return state


def tensor_digest(value: Any) -> str:
    r"""A digest of the tensors in a transform, which its name does not tell.

    Args:
        value (any): A transform. Of containers and of this package's objects
            all is read; what others hold may change in training.
    """
    digest = hashlib.sha256()

    def read(value: Any) -> None:
        if isinstance(value, Tensor):
            raw = value.detach().cpu().reshape(-1).view(torch.uint8)
            digest.update(raw.numpy().tobytes())
        elif isinstance(value, dict):
            read(list(value.values()))
        elif isinstance(value, (list, tuple)):
            for part in value:
                read(part)
        elif isinstance(value, Compose) or (
            type(value).__module__.split('.')[0] == __name__.split('.')[0]
            and hasattr(value, '__dict__')
        ):
            read(vars(value))

    read(value)
    return digest.hexdigest()[:16]


def copy_tensors(state: Dict[str, Tensor]) -> Dict[str, Tensor]:
    r"""Copies of all tensors."""
    return {key: value.clone() for key, value in state.items()}
