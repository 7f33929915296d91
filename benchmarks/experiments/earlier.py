"""Runs of an earlier results.json, to be compared with new ones."""

import base64
import json
import zlib
from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor

# Ranks beyond it count as this one: no metric reads further down.
LOWEST = 21
# Settings that files have, which were written before there were these.
ADDED = {'dropout': 0.0}
# What these runs do not depend on.
UNAUGMENTED = ('base', 'nograph')
AUGMENTATION = (
    'num_clusters edge_p edge_power inject_p blur_p blur_std anneal '
    'augmented_weight_decay augmented_patience'
).split()


def pack(rank: Tensor) -> str:
    """Ranks as short text, those past 20 as 21."""
    data = rank.clamp(max=LOWEST).to(torch.uint8).numpy().tobytes()
    return base64.b85encode(zlib.compress(data, 9)).decode()


def unpack(text: str) -> Tensor:
    """What :func:`pack` was given."""
    data = zlib.decompress(base64.b85decode(text))
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).int()


def differing(old: Dict[str, Any], new: Dict[str, Any]) -> List[str]:
    """Settings that differ; what an older file does not know was off."""
    return [
        key
        for key, value in new.items()
        if old.get(key, ADDED.get(key)) != value
    ]


def check_same(
    place: str, old: Dict[str, Any], new: Dict[str, Any], remedy: str
) -> None:
    """Keeps runs of different settings apart."""
    for key in differing(old, new):
        raise ValueError(
            f'{place} holds runs with {key}={old.get(key)!r}, not '
            f'{new[key]!r}; {remedy}'
        )


def load_results(path: str) -> Dict[str, Any]:
    """What run.py wrote."""
    with open(path) as f:
        results: Dict[str, Any] = json.load(f)
    if not {'settings', 'metrics', 'runs'} <= results.keys():
        raise ValueError(f'{path} is no results.json of run.py; pass one')
    return results


def read(
    path: str, settings: Dict[str, Any]
) -> Dict[Tuple[int, str], Dict[str, Any]]:
    """Runs by seed and method, as :meth:`Experiment.run` returns them.

    Args:
        path: What run.py wrote.
        settings: The settings that it must have been run with. Where those
            of augmentations differ, base and nograph alone are read.
    """
    results = load_results(path)
    old = results['settings']
    check_same(
        path,
        old,
        {k: v for k, v in settings.items() if k not in AUGMENTATION},
        'include runs of the same settings',
    )
    same, runs = not differing(old, settings), {}
    for run in results['runs']:
        if not same and run['method'] not in UNAUGMENTED:
            continue
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
