r"""Options of ``recommend`` and ``plot``, read before torch is imported."""

import argparse
import re
import sys
from typing import Any, Callable, Dict, List, Optional


def add_plot_options(parser: argparse.ArgumentParser) -> None:
    r"""Adds what to draw, and where."""
    parser.add_argument(
        '--output',
        metavar='FILE',
        help='page to write (default: that of the recommender, as .html)',
    )
    parser.add_argument(
        '--session',
        nargs='+',
        metavar='ID',
        default=[],
        help='items of a session to show (default: one along the '
        'recommendations)',
    )
    parser.add_argument(
        '--max-items',
        type=int,
        default=500,
        help='items on the map, the most popular',
    )


def add_recommend_options(parser: argparse.ArgumentParser) -> None:
    r"""Adds what to choose from and how sessions are written."""
    add = parser.add_argument
    add(
        '--block',
        action='append',
        metavar='ID',
        default=[],
        help='item never to recommend; may be given again (default: none)',
    )
    add(
        '--block-file',
        metavar='FILE',
        help='the same, one id per line (default: none)',
    )
    add(
        '--allow',
        action='append',
        metavar='ID',
        default=[],
        help='item to choose from, such as what is in stock; may be given '
        'again (default: all items)',
    )
    add(
        '--allow-file',
        metavar='FILE',
        help='the same, one id per line (default: all items)',
    )
    add(
        '--input',
        metavar='FILE',
        help='sessions in a table, CSV, TSV, Parquet or JSON lines (.jsonl), '
        'maybe packed by gzip or zstd: a row for each click, or a list of '
        'items in each row (default: standard input)',
    )
    add(
        '--output',
        metavar='FILE',
        help='table of answers, CSV, TSV, Parquet or JSON lines: '
        'session, rank, item, score, and whether it is only a popular one '
        '(default: none)',
    )
    for name, text in (
        ('session', 'of the session, which is carried through'),
        ('item', 'of the item, or of the list of items'),
        ('time', 'of the time; without one, rows are in order'),
        ('time-format', '(of that) as for train'),
    ):
        add(
            f'--{name}',
            help=f'column {text} (default: as in training)',
        )
    add(
        '--where',
        metavar='SQL',
        help='condition that rows of that table must meet (default: as in '
        'training, where the table has its columns)',
    )
    add(
        '--session-gap',
        type=seconds,
        help='seconds without a click after which a new session begins in '
        'that table: the clicks after the last such pause are answered; inf '
        'for all (default: as in training, where the table has times)',
    )
    add(
        '--delimiter',
        type=separator,
        help='between the fields of that table (default: a tab for .tsv, else '
        'as in training)',
    )
    add(
        '--separator',
        type=separator,
        help='one character between the ids of a session, in and out; an id '
        'that holds it stands in double quotes (default: spaces)',
    )


def separator(text: str) -> str:
    r"""Reads one character."""
    text = {'\\t': '\t'}.get(text, text)  # As shells pass it on.
    if len(text) != 1 or text in '"\r\n':
        raise argparse.ArgumentTypeError(
            f'{text!r} is not one character between ids'
        )
    return text


def seconds(text: str) -> float:
    r"""Reads a positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no positive number of seconds'
        )
    return value


def chosen_items(
    option: str,
    args: argparse.Namespace,
    item_ids: List[Any],
    to_id: Callable[[str], Any],
) -> Optional[List[Any]]:
    r"""Items to block or to allow; :obj:`None` without such an option.

    Args:
        option (str): :obj:`"block"` or :obj:`"allow"`.
        args (argparse.Namespace): Arguments of the command.
        item_ids (list): The ids that are known.
        to_id (callable): The id that a text is.

    Raises:
        ValueError: If none of those to allow is known.
    """
    texts, path = getattr(args, option), getattr(args, f'{option}_file')
    if path is not None:
        with open(path, encoding='utf-8-sig') as f:
            texts = [*texts, *(x.strip() for x in f if x.strip())]
    elif not texts:
        return None
    ids = [to_id(x) for x in texts]
    known = set(item_ids)
    missing = [x for x in ids if x not in known]
    if missing:
        more = f' and {len(missing) - 10} more' * (len(missing) > 10)
        print(
            f'unknown items to {option}: {missing[:10]}{more}', file=sys.stderr
        )
    if option == 'allow' and len(missing) == len(ids):
        raise ValueError(
            f'none of the {len(ids)} items to allow is known; ids are such '
            f'as {item_ids[0]!r}'
        )
    return ids


def table_options(
    args: argparse.Namespace, settings: Dict[str, Any]
) -> Dict[str, Any]:
    r"""How to read a table of sessions, as the log of the training unless
    said otherwise.

    Args:
        args (argparse.Namespace): Arguments of the command.
        settings (dict): Those of the data that the model was trained on.

    Raises:
        ValueError: If there is no table to read, or none to write.
    """
    if args.input is None or args.output is None or args.items:
        raise ValueError(
            '--input and --output belong together, and take no session of '
            'arguments'
        )
    names = dict(session='session_id', item='item_id', time='time')
    tsv = re.search(r'\.tsv(\.gz|\.zst)?$', args.input)
    delimiter = '\t' if tsv else settings.get('delimiter', ',')
    if args.delimiter is not None:
        delimiter = args.delimiter
    unit = settings.get('time_unit')
    return dict(
        columns={
            key: getattr(args, key) or settings.get(key, name)
            for key, name in names.items()
        },
        needs_time=args.time is not None or args.session_gap is not None,
        where=args.where or settings.get('where'),
        needs_where=args.where is not None,
        delimiter=delimiter,
        time_format=args.time_format or settings.get('time_format'),
        # Settings hold 1 where none was given, too.
        time_unit=None if unit == 1.0 else unit,
        session_gap=args.session_gap or settings.get('session_gap'),
    )
