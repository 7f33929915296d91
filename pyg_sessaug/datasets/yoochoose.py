r"""YooChoose."""

import warnings
from dataclasses import replace
from typing import Any, Dict, Optional

import torch

from pyg_sessaug.data.sessions import Sessions, expand_ranges
from pyg_sessaug.datasets.clicks import Clicks
from pyg_sessaug.datasets.columns import read_log
from pyg_sessaug.datasets.log import LogDataset
from pyg_sessaug.datasets.text_files import Text
from pyg_sessaug.datasets.values import Column, Options

COLUMNS = ['session_id', 'timestamp', 'item_id', 'category']

# Training samples of the full log in SR-GNN's preparation:
FULL_SAMPLES = 23_670_982


class YooChoose(LogDataset):
    r"""Clicks of an online shop, from RecSys Challenge 2015.

    Reads the log ``yoochoose-clicks.dat`` or SR-GNN's files, which are
    downloaded (1/64) if :obj:`root/raw` has neither. From SR-GNN's files for
    1/64 there are 369,859 training samples (validation included), 55,898
    test samples, 557,248 clicks, 37,483 items (the vocabulary of the full
    log, half of them in none of these sessions) and 4.24 clicks per session;
    the 6.16 of the thesis' Table 4.2 is the average over samples, target
    included.

    In the log, the last day is for testing. As in SR-GNN's code, times are
    compared in whole seconds, a session has the time of its last row, and
    sessions exactly at the beginning of the last day are in neither split
    (:obj:`drop_boundary`). A click's category is 1 to 12, a brand (8 to 10
    digits), 0 if missing, or S for a special offer; an item's is the most
    frequent one over its training clicks, 0 and S apart, and -1 without any.

    Args:
        root (str): Folder with the raw files in :obj:`root/raw`.
        split (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"train"`)
        part (int): :obj:`64` keeps the newest 1/64 of the training samples,
            the vocabulary being that of all. The oldest session kept loses
            its longest samples if need be. SR-GNN's files hold one part;
            another is an error. (default: :obj:`64`)
        fraction (float): Newest share of these sessions to keep, in (0, 1].
            (default: :obj:`1.0`)
        **kwargs (optional): Further arguments of
            :class:`~pyg_sessaug.datasets.LogDataset`, with :obj:`test_days`
            (1), :obj:`drop_boundary` (:obj:`True`),
            :obj:`allow_missing_categories` (:obj:`True`) and, for a log,
            :obj:`drop_special` (:obj:`False`): whether to leave out clicks
            on special offers before all else.

    Warns:
        DeprecationWarning: If :obj:`fraction` is an int above 1, which is
            read as :obj:`part`, with :obj:`newest` as the share.

    Example:
        >>> from pyg_sessaug.datasets import YooChoose
        >>> train = YooChoose('data/yoochoose', part=1)
        >>> len(train) > train.sessions
        True
    """

    log_names = ('yoochoose-clicks.dat',)
    log_address = (
        'https://www.kaggle.com/datasets/chadgostopp/'
        'recsys-challenge-2015 (needs an account)'
    )
    log_defaults = {
        **LogDataset.log_defaults,
        'test_days': 1,
        'drop_boundary': True,
        'drop_special': False,
    }
    srgnn_url = (
        'https://raw.githubusercontent.com/chenjh1988/MTD/'
        'b471a6df5e09e8f179a2dbfd185571f74bb9311e/'
        'datasets/yoochoose1_64'
    )
    srgnn_sha256 = {
        'all_train_seq.txt': (
            '33af7c6292c6bd5080c2d694cce78e9b39a7eb987421a72b93edaae47204ece5'
        ),
        'test.txt': (
            '643fd2fa56a4fbc3daf1cf623146d3ba3897e96cfa9ff8f47b8062b159af6c6e'
        ),
    }

    def __init__(
        self,
        root: str,
        split: str = 'train',
        *args: Any,
        part: int = 64,
        fraction: float = 1.0,
        newest: Optional[float] = None,
        **kwargs: Any,
    ) -> None:
        if fraction > 1:
            part, fraction = fraction, 1.0  # type: ignore[assignment]
            _warn('fraction', 'an int is `part`', part)
        if newest is not None:
            fraction = newest
            _warn('newest', 'it is `fraction`', newest)
        if part < 1 or int(part) != part:
            raise ValueError(
                f'YooChoose: `part` 64 keeps the newest 1/64 of the training '
                f'samples, so it must be a positive int, got {part}; '
                f'`fraction` takes a share of the sessions'
            )
        self.part = int(part)
        kwargs.setdefault('allow_missing_categories', True)
        super().__init__(root, split, *args, fraction=fraction, **kwargs)

    @property
    def settings(self) -> Dict[str, Any]:
        # Under the names of version 0.1.0:
        settings = super().settings
        newest = settings.pop('fraction')
        younger = {
            key: settings.pop(key)
            for key in [*self.more_defaults, 'val_split', 'max_length']
            if key in settings
        }
        settings.update(fraction=self.part, newest=newest)
        return {**settings, **younger}

    def read_clicks(self) -> Clicks:
        path = self.raw_paths[0]
        clicks = read_log(
            [[path]],
            {
                'session': Column('session_id', 'int'),
                'item': Column('item_id', 'int'),
                'time': Column('timestamp', 'time'),
                'category': Column('category', 'text'),
            },
            Options(
                # SR-GNN's readme asks to add a header.
                Text(names=COLUMNS),
                memory_limit=self.memory_limit,
                folder=self.processed_dir,
            ),
        )
        names, code = clicks.category_names or [], clicks.category
        assert code is not None
        wrong = [x for x in names if x != 'S' and not x.isdecimal()]
        if wrong:
            raise ValueError(
                f'{path}: category {wrong[0]!r} is neither S nor a number'
            )
        # One more for code -1, an empty field.
        value = torch.tensor(
            [int(x) if x not in ('S', '0') else -1 for x in names] + [-1]
        )
        clicks = replace(
            clicks, date=clicks.time.floor(), category=value[code]
        )
        if 'S' in names and self.log_options['drop_special']:
            clicks = clicks.select(code != names.index('S'))
        return clicks

    def prepare_log(self) -> Dict[str, Any]:
        raw = super().prepare_log()
        count = raw['train'].num_samples // self.part
        if count == 0:
            raise ValueError(
                f'YooChoose: part={self.part} keeps none of '
                f'the {raw["train"].num_samples} training samples in '
                f'{self.raw_dir}; lower it'
            )
        raw['train'] = newest_samples(raw['train'], count)
        return raw

    def prepare(self) -> Dict[str, Any]:
        raw = super().prepare()
        if self.source == 'srgnn':
            self._check_part(raw['train'].num_samples)
        return raw

    def _check_part(self, num_samples: int) -> None:
        # SR-GNN's list keeps the session whole that its cut runs through.
        held = next(
            (f for f in (1, 4) if 0 <= num_samples - FULL_SAMPLES // f < 1000),
            64,
        )
        if self.part != held:
            raise ValueError(
                f'YooChoose: part={self.part}, but the files '
                f'in {self.raw_dir} hold 1/{held}; pass part={held}, or '
                f'use the official log'
            )


def newest_samples(sessions: Sessions, count: int) -> Sessions:
    r"""Keeps the newest samples, as SR-GNN's code cuts YooChoose.

    There the samples of a session stand longest first, so the session that
    the cut runs through keeps its shortest prefixes: it is truncated.

    Args:
        sessions (Sessions): Oldest first, all prefixes being samples.
        count (int): Samples to keep, at least 1.
    """
    last = (sessions.length - 1).cumsum(0)
    surplus = int(last[-1]) - count
    if surplus <= 0:
        return sessions
    first = int(torch.searchsorted(last, surplus, right=True))
    length = sessions.length[first:].clone()
    length[0] = last[first] - surplus + 1
    click, _, _ = expand_ranges(sessions.ptr[first:-1], length)
    time = sessions.time
    return Sessions.from_lengths(
        sessions.item[click], length, None if time is None else time[click]
    )


def _warn(name: str, text: str, value: Any) -> None:
    warnings.warn(
        f'YooChoose: {name}={value} is of version 0.1; {text} now',
        DeprecationWarning,
        stacklevel=3,
    )
