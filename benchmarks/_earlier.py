"""Runs of an earlier results.json, to be compared with new ones."""

import base64
import json
import zlib
from typing import Any, Dict, Tuple

import torch
from torch import Tensor

# Ranks beyond it count as this one: no metric reads further down.
LOWEST = 255


def pack(rank: Tensor) -> str:
    """Ranks as short text, those past 254 as 255."""
    data = rank.clamp(max=LOWEST).to(torch.uint8).numpy().tobytes()
    return base64.b85encode(zlib.compress(data, 9)).decode()


def unpack(text: str) -> Tensor:
    """What :func:`pack` was given."""
    data = zlib.decompress(base64.b85decode(text))
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).int()


def check_same(
    place: str, old: Dict[str, Any], new: Dict[str, Any], remedy: str
) -> None:
    """Keeps runs of different settings apart."""
    for key, value in new.items():
        # What an older file does not know of was off: None or 0.
        if (old.get(key) or None) != (value or None):
            raise ValueError(
                f'{place} holds runs with {key}={old.get(key)!r}, not '
                f'{value!r}; {remedy}'
            )


def read(
    path: str, settings: Dict[str, Any]
) -> Dict[Tuple[int, str], Dict[str, Any]]:
    """Runs by seed and method, as :meth:`Experiment.run` returns them.

    Args:
        path: What run.py wrote.
        settings: The settings that it must have been run with.
    """
    with open(path) as f:
        results = json.load(f)
    check_same(
        path,
        results.get('settings', {}),
        settings,
        'include runs of the same settings',
    )
    runs = {}
    for run in results['runs']:
        if 'ranks' not in run:
            raise ValueError(
                f'{path} has no ranks for seed {run["seed"]}, '
                f'{run["method"]}, so nothing can be compared with it; run '
                f'it again'
            )
        runs[run['seed'], run['method']] = {
            'rank': unpack(run['ranks']),
            'history': run['epochs'],
            'weights': run['weights'],
            'test_seconds': run['test_seconds'],
            'commit': run['commit'],
        }
    return runs
