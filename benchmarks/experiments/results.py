"""Files of results: JSON with its command and tables, ranks beside it."""

import json
import os
import os.path as osp
import shlex
import string
import sys
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Union

import numpy as np
import torch
from torch import Tensor

Table = List[List[str]]
# Ranks beyond it count as this one: no metric reads further down.
LOWEST = 21
# Options that say where things lie: how a command is shown in a clone.
PLACES = {
    '--root': 'data',
    '--run': 'runs',
    '--data': None,
    '--log': None,
    '--output': None,
    '--runs': None,
}
# Settings that files have, which were written before there were these.
ADDED = {'dropout': 0.0}


def command(script: str, argv: Optional[List[str]] = None) -> str:
    """The command that a script was called by, from the start, and without
    this machine's folders.
    """
    words = ['python', f'benchmarks/{script}']
    given = iter(sys.argv[1:] if argv is None else argv)
    for word in given:
        option, _, value = word.partition('=')
        if option not in PLACES:
            name = osp.basename(word) if osp.isabs(word) else word
            words += [name] * (word != '--resume')
            continue
        value = value or next(given, '')
        folder = PLACES[option]
        if folder is not None:
            words += [option, f'{folder}/{osp.basename(osp.normpath(value))}']
    return shlex.join(words)


def write(
    path: str,
    report: Dict[str, Any],
    table: Optional[str] = None,
    figure: Any = None,
) -> None:
    """Writes JSON, its tables as Markdown and a figure; prints the tables.

    Args:
        path: Of the JSON; the others stand beside it.
        report: Plain values without paths, with ``command`` and ``table``.
        table: Name of the file of tables, if not that of the JSON.
        figure: A figure of matplotlib.
    """
    folder, name = osp.split(path)
    stem = name.removesuffix('.json')
    os.makedirs(folder or '.', exist_ok=True)
    text = tables(report['table'])
    _replace(path, dumps(report))
    _replace(osp.join(folder, table or f'{stem}.md'), text + '\n')
    if figure is not None:
        figure.savefig(
            osp.join(folder, f'{stem}.png'),
            dpi=150,
            metadata={'Description': report['command']},
        )
    print(f'{text}\nWritten to {path}')


def dumps(report: Dict[str, Any]) -> str:
    """JSON with a line for each entry, and for each of a list."""

    def entry(value: Any, depth: int) -> str:
        space = '\n' + ' ' * depth
        if isinstance(value, dict) and value and depth < 3:
            lines = [
                f'{space}{json.dumps(k)}: {entry(x, depth + 1)}'
                for k, x in value.items()
            ]
            return '{' + ','.join(lines) + space[:-1] + '}'
        if isinstance(value, list) and any(
            isinstance(x, (dict, list)) for x in value
        ):
            lines = [space + entry(x, 3) for x in value]
            return '[' + ','.join(lines) + space[:-1] + ']'
        return json.dumps(value, allow_nan=False, ensure_ascii=False)

    return entry(report, 1) + '\n'


def load(path: str) -> Dict[str, Any]:
    """What run.py wrote."""
    with open(path) as f:
        results: Dict[str, Any] = json.load(f)
    if not {'settings', 'metrics', 'runs'} <= results.keys():
        raise ValueError(f'{path} is no results.json of run.py; pass one')
    return results


def write_ranks(path: str, runs: Dict[Tuple[int, str], Tensor]) -> None:
    """Writes the ranks of the test targets beside a file of results.

    They are ``rank``, ``[num_samples, num_runs]``, those past 20 as 21, with
    the ``seed`` and ``method`` of each run: runs agree on most samples, so
    that those of one sample, side by side, take little room.
    """
    rank = torch.stack(list(runs.values()), dim=1).clamp(max=LOWEST)
    seed, method = zip(*runs)
    part = f'{_beside(path)}.part'
    with open(part, 'wb') as f:
        np.savez_compressed(
            f, rank=rank.to(torch.uint8).numpy(), seed=seed, method=method
        )
    os.replace(part, _beside(path))


def load_ranks(path: str) -> Dict[Tuple[int, str], Tensor]:
    """What :func:`write_ranks` wrote beside a file of results."""
    beside = _beside(path)
    if not osp.exists(beside):
        raise ValueError(
            f'{path} has no ranks in {osp.basename(beside)} beside it, so '
            f'nothing can be compared; run its command again'
        )
    with np.load(beside) as file:
        keys = zip(file['seed'].tolist(), file['method'].tolist())
        rank = torch.from_numpy(file['rank']).int()
    return dict(zip(keys, rank.t()))


def check_same(
    place: str, old: Dict[str, Any], new: Dict[str, Any], remedy: str
) -> None:
    """Keeps runs of different settings apart; what an older file does not
    know was off.
    """
    for key, value in new.items():
        if old.get(key, ADDED.get(key)) != value:
            raise ValueError(
                f'{place} holds runs with {key}={old.get(key)!r}, not '
                f'{value!r}; {remedy}'
            )


def tables(table: Any, name: Optional[str] = None) -> str:
    """A table, one of several by its name, or all of several in Markdown."""
    if name is not None:
        table = table[name]
    several = table.values() if isinstance(table, dict) else [table]
    return '\n\n'.join(map(markdown, several))


def rows(
    records: Iterable[Any], cells: List[Tuple[str, Union[str, Callable]]]
) -> Table:
    """A table with a line for each record.

    Args:
        records: Dicts, or whatever the cells are made from.
        cells: The head of each column, and its cell as a function of the
            record or as a format string of its keys, where ``{x:.1%}`` is a
            share in percent without the sign, and None a dash.
    """

    def show(record: Any, cell: Union[str, Callable]) -> str:
        if callable(cell):
            return str(cell(record))
        return _Cells().vformat(cell, (), record)

    heads, made = zip(*cells)
    return [list(heads), *([show(x, c) for c in made] for x in records)]


class _Cells(string.Formatter):
    def format_field(self, value: Any, spec: str) -> str:
        if value is None:
            return '–'
        if spec.endswith('%'):
            value, spec = 100 * value, f'{spec[:-1]}f'
        return str(super().format_field(value, spec))


def markdown(lines: Table) -> str:
    widths = [max(map(len, column)) for column in zip(*lines)]
    rows = [
        '| ' + ' | '.join(map(str.ljust, line, widths)) + ' |'
        for line in lines
    ]
    rows.insert(1, '|' + '|'.join('-' * (width + 2) for width in widths) + '|')
    return '\n'.join(rows)


def _beside(path: str) -> str:
    return path.removesuffix('.json') + '.npz'


def _replace(path: str, text: str) -> None:
    """Writes a file whole or not at all."""
    with open(f'{path}.part', 'w') as f:
        f.write(text)
    os.replace(f'{path}.part', path)
