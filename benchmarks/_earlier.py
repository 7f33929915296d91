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
    for key, value in settings.items():
        old = results.get('settings', {}).get(key)
        # What an older file does not know of was off: None or 0.
        if (old or None) != (value or None):
            raise ValueError(
                f'{path} holds runs with {key}={old!r}, not {value!r}; '
                f'include runs of the same settings'
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
