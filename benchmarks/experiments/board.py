"""The rows of the leaderboard: their file and their tables."""

import json
import os.path as osp
from typing import Any, Dict, List, Optional

from filelock import FileLock
from torch import Tensor

from benchmarks.experiments.results import (
    Table,
    load_ranks,
    rows,
    write,
    write_ranks,
)

Setting = Dict[str, Any]
METRICS = ('HR@20', 'MRR@20', 'NDCG@20')
#: What papers say, and what chose their epoch.
PUBLISHED = {
    'diginetica': {
        'srgnn': (50.73, 17.59, 'test'),
        'tagnn': (51.31, 18.03, 'test'),
        'niser': (53.39, 18.72, 'validation'),
        'gcegnn': (54.22, 19.04, 'test'),
        'sgnnhn': (55.67, 19.45, 'test'),
    },
    'yoochoose': {
        'srgnn': (70.57, 30.94, 'test'),
        'tagnn': (71.02, 31.12, 'test'),
        'niser': (71.27, 31.61, 'validation'),
        'sgnnhn': (72.06, 32.61, 'test'),
    },
}


def read(path: str) -> List[Setting]:
    """The rows of a file, if there is one."""
    if not osp.exists(path):
        return []
    with open(path) as f:
        found: List[Setting] = json.load(f)['rows']
    return found


def done(path: str, key: Setting) -> bool:
    """Whether there is a row already."""
    return any(key.items() <= row.items() for row in read(path))


def add(
    path: str,
    words: str,
    row: Setting,
    ranks: Optional[Tensor] = None,
) -> None:
    """Writes one more row, and the ranks of its targets beside all others;
    several processes may.
    """
    with FileLock(f'{path}.lock'):
        found = [*read(path), row]
        if ranks is not None:
            beside = f'{path[:-5]}-{row["data"]}.json'
            known = (
                load_ranks(beside) if osp.exists(f'{beside[:-5]}.npz') else {}
            )
            name = row['model'] + ' refit' * row['refit']
            write_ranks(beside, {**known, (row['seed'], name): ranks})
        found.sort(key=lambda x: (x['data'], -x['NDCG@20']))
        report = {
            'command': words,
            'about': f'{len(found)} rows',
            'table': {x: table(found, x) for x in {y['data'] for y in found}},
            'rows': found,
        }
        write(path, report)


def table(found: List[Setting], dataset: str) -> Table:
    """The rows of a data set, the best first."""
    mine = [x for x in found if x['data'] == dataset]
    if 'seed' not in mine[0]:
        return rows(
            mine,
            [
                ('model', '{model}'),
                ('settings', lambda x: told(x['settings'])),
                ('trained on (%)', '{fraction:.0%}'),
                *((f'validation {x} (%)', f'{{{x}:.2f}}') for x in METRICS),
                ('minutes', '{minutes:.0f}'),
            ],
        )
    known = PUBLISHED.get(dataset, {})

    def published(row: Setting) -> str:
        if row['model'] not in known:
            return '–'
        hit, reciprocal, by = known[row['model']]
        return f'{hit:.2f} / {reciprocal:.2f}, by {by}'

    return rows(
        mine,
        [
            ('model', lambda x: x['model'] + ', refit' * x['refit']),
            ('seed', '{seed}'),
            ('HR@20 (%)', '{HR@20:.2f} [{low:.2f}, {high:.2f}]'),
            ('MRR@20 (%)', '{MRR@20:.2f}'),
            ('NDCG@20 (%)', '{NDCG@20:.2f}'),
            ('minutes', '{minutes:.0f}'),
            ('published HR@20 / MRR@20, epoch', published),
        ],
    )


def told(setting: Setting) -> str:
    return ', '.join(f'{k} {v}' for k, v in setting.items()) or 'defaults'
