"""Peak memory, measured in a process of its own."""

import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Callable

import psutil


def alone(function: Callable, *args: Any) -> Any:
    """Runs a function in a process of its own, so that peaks are its own."""
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        return pool.submit(function, *args).result()


def peak_mb() -> float:
    """The most memory that this process has held, in MiB (on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def held_mb() -> float:
    """The memory that this process holds now, in MiB."""
    return psutil.Process().memory_info().rss / 2**20
