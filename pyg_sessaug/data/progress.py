r"""Bars of work that takes long."""

from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any, Callable, Iterator

from tqdm import tqdm

# Seconds before a bar appears: what is done by then needs none.
DELAY = 5
# Seconds between two questions how far a query is.
INTERVAL = 0.5
_QUIET = ContextVar('quiet', default=False)


@contextmanager
def quietly(quiet: bool = True) -> Iterator[None]:
    r"""Hides all bars within, if wanted."""
    token = _QUIET.set(quiet or _QUIET.get())
    try:
        yield
    finally:
        _QUIET.reset(token)


def progress_bar(
    work: Any, text: str, progress: bool = True, **kwargs: Any
) -> Any:
    r"""Work with a bar of its rate and the time left, shown in a terminal
    where it takes over five seconds, and gone when it is done.

    Args:
        work (iterable, optional): What to go through; :obj:`None` where the
            bar is moved by its :meth:`update`.
        text (str): What is done.
        progress (bool): Whether to show it at all. (default: :obj:`True`)
        **kwargs (optional): Further arguments of :class:`tqdm.tqdm`.
    """
    # None hides it where there is no terminal.
    hide = None if progress and not _QUIET.get() else True
    return tqdm(work, text, leave=False, delay=DELAY, disable=hide, **kwargs)


@contextmanager
def watched(percent: Callable[[], float], text: str) -> Iterator[None]:
    r"""Shows a bar of work that others do, one after another.

    Args:
        percent (callable): How much of the present one is done, negative
            where that is not known; called in another thread.
        text (str): What is done.
    """
    bar = progress_bar(None, text, total=100)
    if bar.disable:
        yield
        return
    done = Event()

    def watch(bar: Any) -> None:
        while not done.wait(INTERVAL):
            now = max(0, int(percent()))
            if now < bar.n:  # The next one
                bar.close()
                bar = progress_bar(None, text, total=100)
            bar.update(now - bar.n)
        bar.close()

    thread = Thread(target=watch, args=[bar], daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def iterations(model: Any, text: str) -> Iterator[None]:
    r"""Shows a bar of the iterations of a model of sklearn, which tells of
    each on standard output and may need fewer than it is allowed.

    Args:
        model (sklearn.base.BaseEstimator): What is fitted.
        text (str): What to call it.
    """
    with progress_bar(None, text, total=model.max_iter) as bar:
        if bar.disable:
            yield
            return

        def move(line: str) -> None:
            bar.update(line.strip().startswith('Iteration'))

        told = {'verbose': 1}
        if 'verbose_interval' in model.get_params():
            told['verbose_interval'] = 1
        before = {name: getattr(model, name) for name in told}
        model.set_params(**told)
        out = SimpleNamespace(write=move, flush=lambda: None)
        try:
            with redirect_stdout(out):
                yield
        finally:
            model.set_params(**before)
