"""Writes the tables in benchmarks/results/ into the pages that quote them.

A page quotes a file between ``<!-- results: NAME -->`` and
``<!-- end of results -->``, NAME.json being a file there, or one of its
tables by ``<!-- results: NAME#TABLE -->``. Whatever wrote the file put its
tables in, and a line about them. A sentence quotes one number between ``<!--
value: NAME#KEYS FORMAT -->`` and ``<!-- end -->``, KEYS being what leads to it
in the file, with dots between, such as ``latency.0.median_ms``, and FORMAT as
in Python. ``rows.model=srgnn&part=step.ms`` is of the first row that has these
values, wherever it stands.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, List, Match, Tuple

from benchmarks.experiments.results import tables

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
QUOTE = re.compile(
    r'(<!-- results: ([^\s#]+)(?:#(\S+))? -->\n).*?(<!-- end of results -->)',
    re.DOTALL,
)
VALUE = re.compile(r'(<!-- value: (\S+?)#(.+?) (\S+) -->).*?(<!-- end -->)')


def render(page: str) -> str:
    """The page with every quoted table as its file has it."""

    def quote(match: 'Match[str]') -> str:
        begin, name, table, end = match.groups()
        path, report = load(name)
        where = f'`{path.relative_to(ROOT)}`'
        about = '; '.join(filter(None, [report.get('about'), where]))
        text = tables(report['table'], table)
        return f'{begin}\n{text}\n\n({about})\n\n{end}'

    def value(match: 'Match[str]') -> str:
        begin, name, keys, style, end = match.groups()
        _, found = load(name)
        for key in keys.split('.'):
            found = enter(found, key)
        return f'{begin}{found:{style}}{end}'

    return VALUE.sub(value, QUOTE.sub(quote, page))


def enter(found: Any, key: str) -> Any:
    """What a key leads to: a name, a place in a list, or values of a row."""
    if not isinstance(found, list):
        return found[key]
    if '=' not in key:
        return found[int(key)]
    wanted = dict(pair.split('=') for pair in key.split('&'))
    for row in found:
        # 1.0 is written as 1: a point would begin another key.
        told = {k: f'{x:g}' if isinstance(x, float) else str(x)
                for k, x in row.items() if k in wanted}  # fmt: skip
        if told == wanted:
            return row
    raise KeyError(key)


def load(name: str) -> Tuple[Path, Any]:
    """A file of results and its path."""
    path = RESULTS / f'{name}.json'
    if not path.exists():
        raise ValueError(
            f'a page quotes {path.name}, which is not in {RESULTS.name}/; '
            f'copy what its command wrote there'
        )
    return path, json.loads(path.read_text('utf-8'))


def pages() -> List[Path]:
    """The pages that may quote results."""
    docs = ROOT / 'docs' / 'source'
    readmes = [ROOT / 'README.md', ROOT / 'benchmarks' / 'README.md']
    return [*readmes, *sorted(docs.glob('**/*.md'))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--check', action='store_true', help='fail if a page is out of date'
    )
    check = parser.parse_args().check
    for path in pages():
        old = path.read_text('utf-8')
        new = render(old)
        if new != old and check:
            sys.exit(f'{path.name} is out of date; run benchmarks/render.py')
        if new != old:
            path.write_text(new, 'utf-8')


if __name__ == '__main__':
    main()
