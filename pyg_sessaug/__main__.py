r"""Command line: ``python -m pyg_sessaug COMMAND``, see ``--help``.

Prepares a log of clicks, trains a model on it by Algorithm 3, measures it and
recommends items to sessions of raw ids. Help, the version and errors of usage
come before torch is imported.
"""

import os
import shlex
import sys
import warnings
from typing import Optional, Sequence

from pyg_sessaug.arguments import parse_args


def main(argv: Optional[Sequence[str]] = None) -> None:
    r"""Runs a command.

    Args:
        argv (list, optional): Its arguments. (default: :obj:`None`, those
            of the process)
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    args = parse_args(argv)
    from pyg_sessaug.commands import run  # Imports torch.

    try:
        run(args)
    except BrokenPipeError:  # Whoever read the output has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (ValueError, TypeError, OSError, ImportError) as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        again = [x for x in argv if x != '--resume']
        again += ['--resume'] * (args.command == 'train')
        command = shlex.join(['python', '-m', 'pyg_sessaug', *again])
        print(f'\nInterrupted. Go on with: {command}', file=sys.stderr)
        sys.exit(130)


if __name__ == '__main__':
    warnings.formatwarning = lambda message, *_: f'warning: {message}\n'
    main()
