r"""OTTO."""

from dataclasses import replace
from typing import Any, Iterable, Sequence, Union

import torch
from torch import Tensor

from pyg_sessaug.datasets.clicks import Clicks
from pyg_sessaug.datasets.columns import CHUNK, LogTable
from pyg_sessaug.datasets.log import LogDataset
from pyg_sessaug.datasets.reading import (
    Source,
    connect,
    explain,
    file_sql,
    packing,
    quote,
)
from pyg_sessaug.datasets.text_files import ANEW
from pyg_sessaug.datasets.values import Column, Options

EVENT_TYPES = ('clicks', 'carts', 'orders')


class Otto(LogDataset):
    r"""Events of an online shop, from OTTO's RecSys data set.

    Reads ``train.jsonl`` or ``train.jsonl.gz`` as published, or SR-GNN's
    files if someone made them. A session of the log is all that a user did
    in four weeks; :obj:`session_gap=3600` cuts it wherever an hour passes
    without an event. The last 7 days are for testing. There are no
    categories.

    Args:
        root (str): Folder with the raw files in :obj:`root/raw`.
        split (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"train"`)
        **kwargs (optional): Further arguments of
            :class:`~pyg_sessaug.datasets.LogDataset`, with
            :obj:`event_types` (:obj:`["clicks"]`): which of
            :obj:`"clicks"`, :obj:`"carts"` and :obj:`"orders"` to read; the
            others are left out, and an event of any other type is an error.

    Example:
        >>> from pyg_sessaug.datasets import Otto
        >>> train = Otto('data/otto')
        >>> len(train) > train.sessions
        True
    """

    log_names = ('train.jsonl',)
    log_address = (
        'https://www.kaggle.com/datasets/otto/recsys-dataset '
        '(needs an account)'
    )
    log_defaults = {**LogDataset.log_defaults, 'event_types': ['clicks']}

    def __init__(
        self,
        *args: Any,
        event_types: Union[str, Iterable[str]] = ('clicks',),
        **kwargs: Any,
    ) -> None:
        types = {event_types} if isinstance(event_types, str) else event_types
        types = set(types or ())
        if not types or types - set(EVENT_TYPES):
            raise ValueError(
                f'Otto: unknown `event_types` {event_types!r}; choose from '
                f'{list(EVENT_TYPES)}'
            )
        kwargs['event_types'] = [x for x in EVENT_TYPES if x in types]
        super().__init__(*args, **kwargs)

    def read_clicks(self) -> Clicks:
        clicks = _read_events(
            self.raw_paths[0],
            self.log_options['event_types'],
            Options(memory_limit=self.memory_limit, folder=self.processed_dir),
        )
        return replace(clicks, time=_seconds(clicks.time))


def _seconds(time: Tensor) -> Tensor:
    r"""Milliseconds as seconds, float64, in the memory of 64 bits."""
    time = time.long()
    seconds = time.view(torch.float64)
    for whole, part in zip(time.split(CHUNK), seconds.split(CHUNK)):
        part.copy_(whole.double().div_(1000))
    return seconds


def _read_events(path: str, types: Sequence[str], options: Options) -> Clicks:
    lines = (
        f"read_json({file_sql(path)}, format='newline_delimited', "
        f"compression='{packing(path)}', columns={{'session': 'JSON', "
        f"'events': 'STRUCT(aid JSON, ts JSON, type VARCHAR)[]'}})"
    )
    # A line without events would leave no row to complain of.
    events = (
        f'(select line, session, unnest(case when events is null then '
        f'[null] else events end, recursive := true) from (select '
        f'row_number() over () as line, * from {lines}))'
    )
    chosen = ', '.join(map(quote, types))
    others = [quote(x) for x in EVENT_TYPES if x not in types] or ['null']
    relation = (
        f'(select line, type, session::VARCHAR as session, case when type in '
        f'({chosen}) then aid::VARCHAR end as aid, ts::VARCHAR as ts from '
        f'{events} where not coalesce(type in ({", ".join(others)}), false))'
    )
    columns = {
        'session': Column('session', 'int'),
        'item': Column('aid', 'int'),
        'time': Column('ts', 'int'),
    }
    names = {column.name: column.name for column in columns.values()}
    limit = options.memory_limit
    with connect(options.folder, limit, [path]) as con, explain(path):
        table = LogTable(con, columns, options)
        table.load(path, 0, Source(relation, names, {}, 1, None, True))
        bad = table.sql(
            'select n from log where session is null or item is null or '
            'time is null order by n limit 1'
        )
        if bad:
            ((line, kind),) = table.sql(
                f'select line, type from (select *, row_number() over () as n '
                f'from {relation}) where n = {bad[0][0] + 1}'
            )
            if kind is not None and kind not in types:
                raise ValueError(
                    f'{path}: line {line} has an event of type {kind!r}, '
                    f'which is none of {list(EVENT_TYPES)}; correct it, or '
                    f'remove such events'
                )
            raise ValueError(
                f'{path}: line {line} is not {{"session": ..., "events": '
                f'[{{"aid": ..., "ts": ..., "type": ...}}, ...]}} with '
                f'64-bit integers; {ANEW}'
            )
        if table.report['read'] == 0:
            raise ValueError(f'{path} has no events of type {list(types)}')
        return table.clicks()
