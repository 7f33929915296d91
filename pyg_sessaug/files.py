r"""Files that are either whole or not there, and hold no code."""

import os
import os.path as osp
from typing import Any, Dict
from zipfile import ZipFile

import torch


def save_atomically(state: Dict[str, Any], path: str) -> None:
    r"""Writes tensors and plain values to a file, whole or not at all.

    Args:
        state (dict): Tensors and plain Python values.
        path (str): The file; an older one is replaced once the new one is
            complete.

    Raises:
        OSError: If the folder cannot be written to or the disk is full; an
            older file is kept.
    """
    folder = osp.dirname(osp.abspath(path))
    os.makedirs(folder, exist_ok=True)
    temporary = f'{path}.{os.getpid()}.part'
    try:
        with open(temporary, 'wb') as f:
            torch.save(state, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        if osp.exists(temporary):
            os.unlink(temporary)
        raise


def load_state(path: str, remedy: str) -> Dict[str, Any]:
    r"""Reads what :func:`save_atomically` wrote, running no code.

    Args:
        path (str): The file.
        remedy (str): What to do if it is damaged, for the error message.

    Raises:
        ValueError: If the file is truncated, damaged or of another kind.
    """
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()  # torch itself ignores checksums.
        if damaged is not None:
            raise ValueError(f'wrong checksum of {damaged}')
        state: Dict[str, Any] = torch.load(
            path, map_location='cpu', weights_only=True
        )
        if not isinstance(state, dict):
            raise ValueError(f'it holds a {type(state).__name__}')
    except FileNotFoundError:
        raise
    except Exception as error:  # A broken file raises nearly anything.
        raise ValueError(
            f'{path} is damaged or was not written by pyg_sessaug '
            f'({type(error).__name__}: {error}); {remedy}'
        ) from error
    return state
