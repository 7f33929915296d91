r"""Arguments of the command line, read before torch is imported."""

import argparse
import ast
import os.path as osp
import re
from typing import Any, List, Optional, Sequence, Tuple

from pyg_sessaug import __version__
from pyg_sessaug.registry import AUGMENTATIONS, DATASETS, NAMES, PRESETS
from pyg_sessaug.serving.options import (
    add_plot_options,
    add_recommend_options,
)

OWN = "(default: the model's own)"
PRESET = "(default: the preset's)"


# Texts that only a log of one's own needs:
OWN_LOG = {
    'session': 'column of the session (default: session_id)',
    'item': 'column of the item (default: item_id)',
    'time': 'column of the time, a number or ISO 8601 (default: time)',
    'category': 'column of the category (default: none)',
    'columns': 'all columns, A,B,..., of a text file without a header '
    '(default: its first line names them)',
    'delimiter': 'between the fields of a text file (default: a tab for '
    '.tsv, else a comma)',
    'time-format': "how times are spelt, such as '%%d/%%m/%%Y %%H:%%M:%%S' "
    '(default: ISO 8601)',
    'where': "rows to read, in SQL, such as event = 'view' (default: all)",
    'val-file': 'validation sessions, if split already (default: none)',
    'test-file': 'test sessions, if split already (default: none)',
}


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        # Where the default is computed, the help says how.
        if '(default:' in (action.help or ''):
            return action.help
        if action.required or not action.option_strings:
            return action.help
        return super()._get_help_string(action)


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    r"""Reads the arguments of the command line."""
    parser = make_parser()
    args, rest = parser.parse_known_args(argv)
    # argparse takes ids after options for unknown arguments.
    options = any(re.match(r'-(?!\d+$)', x) for x in rest)  # -3 may be an id.
    if '--' in rest:
        rest.remove('--')
        options = False
    if rest and (options or args.command != 'recommend'):
        text = f'unrecognized arguments: {" ".join(rest[:9])}'
        if all(map(osp.exists, rest)):  # As shells spell out a pattern.
            text += "; put a pattern in quotes, --log 'clicks/*.csv'"
        parser.error(text)
    if rest and args.items:
        parser.error(
            f'{args.items[-1]} and {rest[0]} stand in two places, and a '
            f'session in one; give --block and --allow again for each item'
        )
    if rest:
        args.items = rest
    return args


def make_parser() -> argparse.ArgumentParser:
    r"""The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog='python -m pyg_sessaug',
        description='Session-based recommendation from a log of clicks. '
        'COMMAND --help shows the options of a command.',
    )
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(
        dest='command', metavar='COMMAND', required=True
    )

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=text, description=text, formatter_class=_Help
        )
        command.add_argument(
            '--threads',
            type=positive,
            help="threads to compute with (default: torch's own)",
        )
        return command

    command = add('prepare', 'Read a log, prepare it and describe it.')
    _add_data(command)
    command.add_argument(
        '--json',
        action='store_true',
        help='describe it in JSON (default: in ten lines)',
    )
    command = add('train', 'Train a model and write a recommender file.')
    _add_data(command)
    _add_training(command)
    command = add('evaluate', 'Measure a recommender on the test sessions.')
    _add_recommender(command)
    _add_data(command, trained=True)
    text = 'lengths of the list'
    command.add_argument(
        '-k', nargs='+', type=positive, default=[20], help=text
    )
    command.add_argument(
        '--split', choices=['val', 'test'], default='test', help='sessions'
    )
    _add_device(command)
    _add_format(command)
    command = add('recommend', 'Recommend items to sessions.')
    _add_recommend(command)
    command = add('plot', 'Draw a recommender as a page of HTML.')
    _add_recommender(command)
    add_plot_options(command)
    return parser


def _add_data(parser: argparse.ArgumentParser, trained: bool = False) -> None:
    group = parser.add_argument_group(
        'data', 'a log of your own or a known data set'
    )
    which = group.add_mutually_exclusive_group(required=True)
    which.add_argument(
        '--log',
        metavar='FILE',
        help='log of your own: CSV, TSV (.tsv), Parquet or JSON lines '
        '(.jsonl), maybe packed by gzip or zstd; a folder, or a pattern in '
        "quotes, such as 'clicks/*.parquet' (default: none)",
    )
    which.add_argument(
        '--dataset', choices=DATASETS, help='known data set (default: none)'
    )
    add = group.add_argument
    add(
        '--root',
        help='folder for prepared files; that of a known data set has its '
        'files in raw/ (default: folder of the log, or data/DATASET)',
    )
    add(
        '--processed-root',
        help='other folder for prepared files (default: the one above)',
    )
    add(
        '--force-reload',
        action='store_true',
        help='prepare the data again, after the log has changed',
    )
    add(
        '--memory-limit',
        help='what reading holds in memory before it spills to disk '
        '(default: 1GiB)',
    )

    def add_option(name: str, text: str, **kwargs: Any) -> None:
        if trained:  # The file tells what it was trained with.
            text = text.partition(' (default: ')[0]
            text += ' (default: as in training)'
        add(f'--{name}', help=text, **kwargs)

    for name, text in OWN_LOG.items():
        add_option(name, text)
    drop = 'rows without an id or a time (default: error)'
    add_option('on-missing', drop, choices=['error', 'drop'])
    text = 'keep only the first of equal rows (default: keep all)'
    add_option('drop-duplicates', text, action='store_true', default=None)
    for name, kind, text in SPLITTING:
        add_option(name, text, type=kind)
    text = 'any sessions validate, or the newest, as many as test (default: '
    text += 'random)'
    add_option('val-split', text, choices=['random', 'time'])


def _add_training(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--output',
        type=osp.expanduser,
        default='recommender.pt',
        metavar='FILE',
        help='recommender file to write, whose folder is made if need be; '
        'while training, files that end in .part beside it hold the state '
        'after every epoch',
    )
    add(
        '--resume',
        action='store_true',
        help='go on from these .part files; needs the same options',
    )
    add(
        '--model',
        type=model_name,
        help=f'model: {", ".join(NAMES)}, or MODULE:CLASS of your own '
        '(default: that of INIT, else srgnn-plus for the presets quick and '
        'best and srgnn for others)',
    )
    add(
        '--init',
        type=osp.expanduser,
        help="recommender to go on from, such as yesterday's: vectors of "
        'items that it knows are copied, and new items start from the mean '
        "of those they are clicked with; the model's arguments are its own "
        'unless given (default: new weights)',
    )
    add(
        '--augment',
        choices=AUGMENTATIONS,
        default='none',
        help='; '.join(f'{k}: {x.text}' for k, x in AUGMENTATIONS.items()),
    )
    add('--num-clusters', type=positive, default=8, help='of gmm and kmeans')
    text = 'size of all vectors (default: 100, or that of INIT)'
    add('--hidden', type=positive, help=text)
    add('--num-layers', type=natural, help=f'message passing steps {OWN}')
    add(
        '--precision',
        choices=['auto', 'float32', 'bf16'],
        default='auto',
        help='of large products; auto: bf16 where the processor has it',
    )
    add('--scale', type=float, help=f'score by cosine times this scale {OWN}')
    add('--dropout', type=float, help=f'dropout of item vectors {OWN}')
    add(
        '--set',
        type=setting,
        action='append',
        metavar='NAME=VALUE',
        default=[],
        help='another argument of the model; may be given again '
        '(default: none)',
    )
    add(
        '--preset',
        choices=PRESETS,
        default='auto',
        help='settings of training, which the options below replace one by '
        f'one; {"; ".join(f"{k}: {v}" for k, v in PRESETS.items())}',
    )
    add('--epochs', type=positive, help=f'epochs at most {PRESET}')
    add('--batch-size', type=positive, help=f'samples per step {PRESET}')
    add('--lr', type=float, help=f'highest learning rate {PRESET}')
    add(
        '--decay-steps',
        type=positive,
        help='steps before the rate is cut to a tenth, again and again '
        f'{PRESET}',
    )
    text = 'scores of all items, or of a sample in each step, for large '
    text += 'catalogues (default: exact)'
    add('--loss', choices=['exact', 'sampled'], help=text)
    text = 'items in that sample (default: 2048)'
    add('--num-negatives', type=positive, help=text)
    add('--weight-decay', type=float, help=f'L2 penalty {PRESET}')
    add(
        '--patience',
        type=positive,
        help=f'epochs without improvement before stopping {PRESET}',
    )
    add(
        '--augmented-weight-decay',
        type=float,
        help='that with weights or blur, not with inject-same (default: as '
        'without, in thesis 1e-6)',
    )
    add(
        '--augmented-patience',
        type=positive,
        help='that with weights or blur, not with inject-same (default: as '
        'without, in thesis 4)',
    )
    add('--seed', type=natural, default=0, help='seed of all randomness')
    add('--quiet', action='store_true', help='show no progress')
    _add_device(parser)


def _add_recommend(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_recommender(parser)
    add(
        'items',
        nargs='*',
        metavar='ID',
        help='one session, item by item; none: sessions from standard '
        'input, one per line',
    )
    add(
        '-k',
        type=positive,
        default=20,
        help='items per session; all if there are fewer',
    )
    add(
        '--exclude-clicked',
        action='store_true',
        help='leave out items of the session',
    )
    add_recommend_options(parser)
    _add_device(parser)
    _add_format(parser)


def _add_recommender(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('recommender', help='file that train wrote')
    parser.add_argument(
        '--model',
        metavar='MODULE:CLASS',
        help='class of the model in it, if it is your own (default: one of '
        'this package)',
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--device',
        help='where to compute (default: cuda where there is one, else cpu)',
    )


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--format', choices=['text', 'json'], default='text', help='of output'
    )


def natural(text: str) -> int:
    r"""Reads an int that is not negative."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f'must be at least 0, got {text}')
    return value


def positive(text: str) -> int:
    r"""Reads an int of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be at least 1, got {text}')
    return value


def model_name(text: str) -> str:
    r"""Reads the name of a model, or ``module:Class``."""
    if text not in NAMES and not re.fullmatch(r'[\w.]+:\w+', text):
        raise argparse.ArgumentTypeError(
            f'no model {text!r}; choose from {", ".join(NAMES)}, or name '
            f'MODULE:CLASS'
        )
    return text


def setting(text: str) -> Tuple[str, Any]:
    r"""Reads ``name=value``; `true` and `false` are booleans, and what is no
    Python literal is a text.
    """
    name, equals, value = text.partition('=')
    if not (name.isidentifier() and equals):
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=VALUE')
    literal = {'true': 'True', 'false': 'False'}.get(value.lower(), value)
    try:
        return name, ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return name, value


# How a log is filtered and split: option, type, help.
# fmt: off
SPLITTING: List[Tuple[str, Any, str]] = [
    ('time-unit', float,
     'seconds per unit of a numeric time (default: by its size)'),
    ('min-item-clicks', positive,
     'items with fewer clicks are left out (default: 5)'),
    ('min-session-length', positive,
     'sessions with fewer clicks are left out (default: 2)'),
    ('max-length', positive,
     'last clicks of a session to keep (default: all)'),
    ('session-gap', float,
     'seconds without a click after which a new session begins (default: '
     'sessions are those of the log)'),
    ('test-days', float,
     'length of the test period at the end of the log, 0 for none (default: '
     '7, yoochoose: 1)'),
    ('test-from', str,
     'date at which the test period begins (default: none)'),
    ('test-ratio', float,
     'newest share of the sessions to test on (default: none)'),
    ('fraction', float,
     'newest share of the training sessions to keep; with yoochoose, of '
     'those in its part (default: 1)'),
    ('part', positive,
     'of yoochoose: 64 is the newest 1/64 of its samples (default: 64)'),
    ('val-ratio', float,
     'share of the training sessions for validation (default: 0.1)'),
]
# fmt: on
