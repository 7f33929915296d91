"""The rows of the leaderboard: their file and their tables."""

import json
import os.path as osp
from operator import itemgetter
from statistics import mean, stdev
from typing import Any, Callable, Dict, List, Optional

from filelock import FileLock
from torch import Tensor

from benchmarks.experiments.results import (
    Table,
    load_ranks,
    rows,
    write,
    write_ranks,
)
from pyg_sessaug.registry import COUNTS, MODELS

Setting = Dict[str, Any]
NAMES = {
    'diginetica': 'Diginetica',
    'yoochoose': 'YooChoose 1/64',
    'yoochoose_100k': 'YooChoose, newest 100,000',
}
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


def read(path: str, part: str = 'rows') -> List[Setting]:
    """The rows of a file, if there is one."""
    if not osp.exists(path):
        return []
    with open(path) as f:
        found: List[Setting] = json.load(f).get(part, [])
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
        found.sort(key=lambda x: (x['data'], -(x['NDCG@20'] or 0)))
        report = {
            'command': words,
            'about': f'{len(found)} rows on all data sets',
            'table': {x: table(found, x) for x in {y['data'] for y in found}},
            'rows': found,
        }
        if 'seed' in row:
            report['table']['front'] = front(found)
        write(path, report)


def over_seeds(found: List[Setting]) -> List[Setting]:
    """A line for each model and its settings: means over seeds, the best
    first.
    """
    groups: Dict[str, List[Setting]] = {}
    for row in found:
        key = [row[x] for x in ('data', 'model', 'refit', 'settings')]
        groups.setdefault(repr(key), []).append(row)
    lines = []
    for rows_of in groups.values():
        line = {**rows_of[0], 'seeds': len(rows_of)}
        for name in (*METRICS, *(f'val {x}' for x in METRICS), 'minutes'):
            values = [x[name] for x in rows_of]
            line[name] = None if None in values else mean(values)
        if len(rows_of) > 1:
            line['deviation'] = stdev(x['HR@20'] for x in rows_of)
        lines.append(line)
    return sorted(lines, key=lambda x: -(x['NDCG@20'] or 0))


def table(found: List[Setting], dataset: str) -> Table:
    """The lines of a data set, the best first."""
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

    def interval(row: Setting) -> str:
        text = '{HR@20:.2f}'
        if row['seeds'] > 1:
            text += ' ± {deviation:.2f}'
        elif row['low'] is not None:
            text += ' [{low:.2f}, {high:.2f}]'
        return text.format(**row)

    def published(row: Setting) -> str:
        if row['model'] not in known:
            return '–'
        hit, reciprocal, by = known[row['model']]
        return f'{hit:.2f} / {reciprocal:.2f}, by {by}'

    return rows(
        over_seeds(mine),
        [
            ('model', lambda x: x['model'] + ', refit' * x['refit']),
            ('seeds', '{seeds}'),
            ('HR@20 (%)', interval),
            ('MRR@20 (%)', '{MRR@20:.2f}'),
            ('NDCG@20 (%)', '{NDCG@20:.2f}'),
            ('minutes', '{minutes:.0f}'),
            ('published HR@20 / MRR@20, epoch', published),
        ],
    )


def front(found: List[Setting]) -> Table:
    """What a data set comes to: one model, and a blend, each the one that
    validation likes best, and that refitted where it was.
    """

    known = over_seeds(found)

    def best(data: str, kind: Callable[[str], bool]) -> List[Setting]:
        mine = [x for x in known if x['data'] == data and x['val NDCG@20']]
        mine = [x for x in mine if kind(x['model'])]
        mine.sort(key=itemgetter('val NDCG@20', 'refit'))
        same = itemgetter('model', 'settings')
        mine = [x for x in mine if same(x) == same(mine[-1])]
        return sorted(mine, key=itemgetter('refit'))[-1:]

    def is_blend(name: str) -> bool:
        return name.startswith('blend')

    def is_one(name: str) -> bool:
        return not (is_blend(name) or name in COUNTS or 'shuffled' in name)

    lines = [
        {'data': data, 'kind': kind, 'row': row, 'counts': counts}
        for data in sorted({x['data'] for x in found})
        for counts in best(data, lambda x: x in COUNTS)
        for kind, inside in (('one model', is_one), ('blend', is_blend))
        for row in best(data, inside)
    ]

    def published(line: Setting) -> str:
        told = PUBLISHED.get(line['data'])
        if told is None:
            return '–'
        name, (hit, reciprocal, by) = max(told.items(), key=itemgetter(1))
        name = MODELS[name].rpartition(':')[2]
        return f'{hit:.2f} / {reciprocal:.2f} ({name}, epoch by {by})'

    def about(line: Setting) -> str:
        return f'{NAMES.get(line["data"], line["data"])}, {line["kind"]}'

    text = '{%s[HR@20]:.2f} / {%s[MRR@20]:.2f}'
    named = text.replace('%s', 'row') + ' ({row[model]})'
    return rows(
        lines,
        [
            ('data', about),
            ('published', published),
            ('ours', named),
            ('counts alone', text.replace('%s', 'counts')),
            ('minutes to train', '{row[minutes]:.0f}'),
        ],
    )


def told(setting: Setting) -> str:
    return ', '.join(f'{k} {v}' for k, v in setting.items()) or 'defaults'
