"""Peak memory of a piece of work, measured in a process of its own."""

import multiprocessing
from typing import Any, Callable, Dict, Tuple

import torch


def measured_apart(
    prepare: Callable[[], Tuple[int, Callable]],
) -> Dict[str, Any]:
    """Memory of work over a catalogue.

    Args:
        prepare: Makes what is not counted as the work's, and returns the
            number of items and the work.

    Returns:
        dict: ``num_items``, ``peak_mb`` that the work needs above what stood
        before it, and ``process_mb`` of the whole process; None where the
        system does not tell.
    """
    context = multiprocessing.get_context('spawn')
    receive, send = context.Pipe(False)
    process = context.Process(
        target=_measure, args=(prepare, torch.get_num_threads(), send)
    )
    process.start()
    process.join()
    if not receive.poll():
        raise RuntimeError('the process that measures memory failed')
    return receive.recv()


def _measure(prepare: Callable, threads: int, send: Any) -> None:
    torch.set_num_threads(threads)
    num_items, work = prepare()
    before = _status('VmRSS')
    work()
    peak = _status('VmHWM')
    known = before is not None and peak is not None
    send.send(
        {
            'num_items': num_items,
            'peak_mb': round(peak - before) if known else None,
            'process_mb': round(peak) if known else None,
        }
    )


def _status(key: str) -> Any:
    """Megabytes by Linux's account of this process."""
    try:
        with open('/proc/self/status') as f:
            for line in f:
                if line.startswith(key):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None
