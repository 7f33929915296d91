"""Options that scripts share, and how help shows them."""

import argparse
from typing import Any, Dict, Optional

from benchmarks.experiments.datasets import DATASETS


def natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f'{text} is negative')
    return value


def positive(text: str) -> int:
    if natural(text) == 0:
        raise argparse.ArgumentTypeError('must be at least 1, got 0')
    return int(text)


def fraction(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f'must be in (0, 1], got {text}')
    return value


SHARED: Dict[str, Dict[str, Any]] = {
    'dataset': {'choices': DATASETS, 'default': 'diginetica'},
    'root': {'help': 'folder with the raw files in raw/, only read if they '
                     'are there; data/DATASET without it'},
    'fraction': {'type': fraction, 'default': 1.0,
                 'help': 'newest share of the training sessions to keep'},
    'seed': {'type': int, 'default': 0, 'help': 'of all random numbers'},
    'threads': {'type': positive, 'help': "of torch; torch's own without"},
    'output': {'help': 'where results go'},
}  # fmt: skip


def parser(
    description: Any, shared: str = '', epilog: str = '', **kwargs: Any
) -> argparse.ArgumentParser:
    """A parser with shared options, by their names, and further defaults."""
    made = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=_Help
    )
    for name in shared.split():
        made.add_argument(f'--{name}', **SHARED[name])
    made.set_defaults(**kwargs)
    return made


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows every default but None, of which the help text tells, and leaves
    lists as they are written.
    """

    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        if action.default is None or action.nargs == 0:
            return action.help
        return super()._get_help_string(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if '\n  ' in text:
            return text
        return super()._fill_text(text, width, indent)
