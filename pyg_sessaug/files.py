r"""Files that are either whole or not there, and hold no code."""

import hashlib
import os
import os.path as osp
import platform
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, List
from zipfile import BadZipFile, ZipFile

import numpy as np
import psutil
import torch
from filelock import FileLock


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
    save_together({path: state})


def save_together(states: Dict[str, Any]) -> None:
    r"""Writes files that belong together: all of them, or none.

    Args:
        states (dict): What :func:`save_atomically` takes, or an array for
            :func:`numpy.load`, or a function that writes to the path that it
            gets, by file. Links stay: what they point to is
            written. So do the permissions of a file that is replaced.

    Raises:
        OSError: If a folder cannot be written to, the disk is full, or a
            path is a device, a pipe or the like; older files are kept.
    """
    states = {osp.realpath(path): state for path, state in states.items()}
    for path in states:
        if osp.exists(path) and not osp.isfile(path):
            raise OSError(
                f'{path} is no regular file; name another file to write to'
            )
    temporary = {path: _temporary(path) for path in states}
    try:
        for path, state in states.items():
            _write(state, temporary[path], path)
            with suppress(FileNotFoundError):
                os.chmod(temporary[path], os.stat(path).st_mode & 0o7777)
        if len(states) > 1:  # Killed from here on, old and new do not mix.
            for path in states:
                with suppress(FileNotFoundError):
                    os.unlink(path)
        for path in states:
            os.replace(temporary[path], path)
    finally:
        for path in filter(osp.exists, temporary.values()):
            os.unlink(path)


def _temporary(path: str) -> str:
    r"""A name beside :obj:`path`, rid of what killed processes left there."""
    folder, name = osp.split(osp.abspath(path))
    os.makedirs(folder, exist_ok=True)
    prefix, suffix = f'{name}.{platform.node()[:32]}.', '.part'
    for other in os.listdir(folder):
        if other.startswith(prefix) and other.endswith(suffix):
            pid = other[len(prefix) : -len(suffix)]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                with suppress(FileNotFoundError):
                    os.unlink(osp.join(folder, other))
    return osp.join(folder, f'{prefix}{os.getpid()}{suffix}')


def _plain(value: Any) -> Any:
    r"""Numbers of numpy as those of Python, which alone are read again."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) is dict:
        return {_plain(k): _plain(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value


def _write(state: Any, temporary: str, path: str) -> None:
    if callable(state):
        state(temporary)
        return
    try:
        with open(temporary, 'wb') as f:
            if isinstance(state, np.ndarray):
                np.save(f, state)
            else:
                torch.save(_plain(state), f)
            f.flush()
            os.fsync(f.fileno())
    except (OSError, RuntimeError) as error:
        # After a write that failed, torch raises an error of its own.
        reason = error if isinstance(error, OSError) else error.__context__
        if not isinstance(reason, OSError):
            raise
        raise OSError(
            reason.errno, f'{reason.strerror}; nothing was changed', path
        ) from error


def sha256(path: str) -> str:
    r"""SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


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
            _check_sizes(archive, osp.getsize(path))
            damaged = archive.testzip()  # torch itself ignores checksums.
        if damaged is not None:
            raise ValueError(f'wrong checksum of {damaged}')
        state: Dict[str, Any] = torch.load(
            path, map_location='cpu', weights_only=True
        )
        if not isinstance(state, dict):
            raise ValueError(f'it holds a {type(state).__name__}')
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'there is no file {path}; {remedy}'
        ) from error
    except Exception as error:  # A broken file raises nearly anything.
        reason = f' ({type(error).__name__}: {error})'
        if isinstance(error, BadZipFile):  # Tells a user nothing.
            reason = ''
        raise ValueError(
            f'{path} is damaged or was not written by pyg_sessaug{reason}; '
            f'{remedy}'
        ) from error
    return state


def short_names(paths: List[str]) -> Dict[str, str]:
    r"""Paths by their last part, or by as much as tells them apart."""
    if len({osp.basename(x) for x in paths}) == len(paths):
        return {osp.basename(x): x for x in paths}
    folder = osp.commonpath(paths)
    return {osp.relpath(x, folder): x for x in paths}


def _check_sizes(archive: ZipFile, size: int) -> None:
    r"""Refuses what would take more memory than the file has bytes."""
    declared = sum(x.file_size for x in archive.infolist())
    if declared > size:
        raise ValueError(f'its {size} bytes declare {declared} bytes')


@contextmanager
def alone_in(folder: str, remedy: str) -> Iterator[None]:
    r"""Has other processes that write to a folder, made if need be, wait.

    Args:
        folder (str): The folder.
        remedy (str): What to do if it cannot be written to.
    """
    with explain_os_errors(f'write to {folder}', remedy):
        os.makedirs(folder, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError('permission denied')
        lock = FileLock(osp.join(folder, '.lock'))
        lock.acquire()
    try:
        yield
    finally:
        # Those who wait find the files there, or make them each.
        with suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()


@contextmanager
def explain_os_errors(action: str, remedy: str) -> Iterator[None]:
    r"""Says what could not be done, and what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(f'cannot {action}: {error}; {remedy}') from error
