r"""Sessions as lines of text, and what is recommended to them."""

import codecs
import io
import json
import re
import sys
from typing import Any, Callable, Iterator, List, Optional

from pyg_sessaug.serving.recommender import Recommendations
from pyg_sessaug.serving.vocabulary import Id

MOST_LINES = 512  # They share the products with the item table.
BLOCK = 1 << 16  # Bytes


def answer_lines(
    blocks: Iterator[List[str]],
    ask: Callable[..., Any],
    to_id: Callable[[str], Id],
    separator: Optional[str] = None,
    as_json: bool = False,
) -> None:
    r"""Prints a line for each session; what is wrong with it to standard
    error.

    Args:
        blocks (iterator): Lists of lines, as of :func:`read_blocks`. All of
            a list are answered before the next is asked for.
        ask (callable): As
            :meth:`~pyg_sessaug.serving.recommender.Recommender.recommend`.
        to_id (callable): The id that a text is.
        separator (str, optional): Between ids, one character.
            (default: :obj:`None`, any white space)
        as_json (bool): Whether to print all that is known of the session as
            an object of JSON. (default: :obj:`False`)
    """
    number = 0
    for lines in blocks:
        sessions = [
            [to_id(x) for x in split_ids(line, separator)] for line in lines
        ]
        answers = []
        for result in ask(sessions, return_scores=as_json):
            number += 1
            if as_json:
                answers.append(json.dumps(result._asdict()))
                continue
            wrong = _complaints(result, separator)
            if wrong:
                print(f'session {number}: {"; ".join(wrong)}', file=sys.stderr)
            answers.append(join_ids(result.items, separator))
        print('\n'.join(answers), flush=True)


def read_blocks(stream: Any, encoding: str = 'utf-8') -> Iterator[List[str]]:
    r"""Lines that have come, at most so many at a time; waits only if there
    is none.

    Args:
        stream (io.BufferedIOBase): The bytes, as of ``sys.stdin.buffer``.
        encoding (str): How they spell texts; those that are none belong to
            an unknown id. (default: :obj:`"utf-8"`)
    """
    begun: List[str] = []  # A line that is not there as a whole
    first = True
    decoder = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder(encoding)('backslashreplace'), True
    )
    block = b'-'
    while block:
        block = stream.read1(BLOCK)
        head, *lines = decoder.decode(block, final=not block).split('\n')
        begun.append(head)
        if not lines:
            continue
        whole = [''.join(begun), *lines[:-1]]
        begun = [lines[-1]]
        if first:
            whole[0] = whole[0].removeprefix('\ufeff')
            first = False
        for start in range(0, len(whole), MOST_LINES):
            yield whole[start : start + MOST_LINES]
    rest = ''.join(begun)
    if first:
        rest = rest.removeprefix('\ufeff')
    if rest:
        yield [rest]


def split_ids(line: str, separator: Optional[str] = None) -> List[str]:
    r"""The ids of a line. One in double quotes may hold the separator, and
    quotes that are doubled; any other quote is part of an id.

    Args:
        line (str): The line, without its end or with it.
        separator (str, optional): Between ids, one character.
            (default: :obj:`None`, any white space)
    """
    line = line.rstrip('\r\n')
    if not line.strip():
        return []
    if separator is None:
        fields = re.findall(r'"((?:[^"]|"")*)"(?!\S)|(\S+)', line)
    else:
        end = re.escape(separator)
        blanks = rf'[^\S{end}]*'
        fields = re.findall(
            rf'{blanks}(?:"((?:[^"]|"")*)"{blanks}|([^{end}]*)){end}',
            line + separator,
        )
    return [
        text.strip() or quoted.replace('""', '"') for quoted, text in fields
    ]


def join_ids(ids: List[Id], separator: Optional[str] = None) -> str:
    r"""A line that :func:`split_ids` reads again.

    Args:
        ids (list): Ids.
        separator (str, optional): Between ids, one character.
            (default: :obj:`None`, a blank)
    """

    def quote(text: str) -> str:
        apart = re.search(r'\s', text) if separator is None else None
        if (
            apart
            or text != text.strip()
            or text.startswith('"')
            or (separator is not None and separator in text)
        ):
            return '"' + text.replace('"', '""') + '"'
        return text

    return (separator or ' ').join(quote(str(x)) for x in ids)


def _complaints(
    result: Recommendations, separator: Optional[str]
) -> List[str]:
    parts = [f'unknown items {result.unknown}'] if result.unknown else []
    if result.fallback:
        parts.append('no known item, these are the most popular ones')
    unknown = ''.join(map(str, result.unknown))
    between = [x for x in ',;|' if x in unknown]
    if between and separator is None:
        parts.append(f"ids separated so need --separator '{between[0]}'")
    return parts
