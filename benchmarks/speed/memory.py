"""Memory of a process of its own, by Linux's account of it."""

import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable


def alone(function: Callable, *args: Any) -> Any:
    """Runs a function in a process of its own, so that peaks are its own."""
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        return pool.submit(function, *args).result()


# Not getrusage: its peak is at least that of the process that started this
# one.


def peak_mb() -> float:
    """The most memory that this process has held, in MiB."""
    return _status('VmHWM')


def held_mb() -> float:
    """The memory that this process holds now, in MiB."""
    return _status('VmRSS')


def _status(key: str) -> float:
    text = Path('/proc/self/status').read_text()
    return int(re.findall(rf'{key}:\s+(\d+)', text)[0]) / 1024
