r"""The data set that all session data sets share."""

import hashlib
import json
import os
import os.path as osp
import re
from abc import ABC, abstractmethod
from contextlib import suppress
from importlib import import_module
from typing import Any, Callable, Dict, List, Optional, Union

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, Dataset

from pyg_sessaug.data.graphs import SessionGraphs, graph_by_graph
from pyg_sessaug.data.sessions import Sessions, count_items, take
from pyg_sessaug.datasets.report import (
    check_prepared,
    find_repeats,
    make_report,
)
from pyg_sessaug.files import (
    alone_in,
    explain_os_errors,
    load_state,
    save_together,
    sha256,
    short_names,
)

SPLITS = ('train', 'val', 'test')
ELSEWHERE = (
    'pass `processed_root` (--processed-root) to keep prepared files elsewhere'
)
AGAIN = 'pass force_reload=True (--force-reload) to prepare it again'


class SessionDataset(Dataset, ABC):
    r"""A split of click sessions, every prefix of which is one graph.

    Sessions are stored flat, and graphs gathered when asked for. Items are
    ``0 ... num_items - 1``, the same in all splits.
    A subclass implements :meth:`prepare`; one of
    :class:`~pyg_sessaug.datasets.LogDataset` needs less.

    Args:
        root (str): Folder with the raw files in :obj:`root/raw`.
        split (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"train"`)
        transform (callable, optional): Applied at every access.
            (default: :obj:`None`)
        pre_transform (callable, optional): Applied before
            :obj:`transform`, at every access too. (default: :obj:`None`)
        force_reload (bool): Whether to prepare the files again.
            (default: :obj:`False`)
        fraction (float): Newest share of the training sessions to keep, in
            (0, 1]; vocabulary and test set stay whole.
            (default: :obj:`1.0`)
        val_ratio (float): Share of the kept training sessions set apart for
            validation, in [0, 1). (default: :obj:`0.1`)
        seed (int): Seed of the draw of validation sessions.
            (default: :obj:`0`)
        processed_root (str, optional): Folder for prepared files.
            (default: :obj:`None`, which is :obj:`root`)
        val_split (str): :obj:`"random"` draws validation sessions, as
            published; :obj:`"time"` takes the newest kept training sessions,
            as many as the test set has (:obj:`val_ratio` of them without a
            test set, and none if that is 0). (default: :obj:`"random"`)
        max_length (int, optional): Clicks of a session to keep, the last
            ones. (default: :obj:`None`, all)

    Raises:
        ValueError: If an argument is out of its range, the raw files do not
            hold what they should, or the prepared files are broken or not of
            these raw files.
        OSError: If files cannot be read or written.

    Example:
        >>> from pyg_sessaug.datasets import MultimodalSessions
        >>> len(MultimodalSessions('data', num_sessions=100, num_items=30)[:9])
        9
    """

    #: Raw id of each item, int64 ``[num_items]``, or a list where raw ids
    #: are strings.
    item_ids: Union[Tensor, List[str]]
    #: Category of each item from 0, ``[num_items]`` int64, -1 where it is
    #: not known; :obj:`None` without categories.
    categories: Optional[Tensor]
    #: Items clicked in the training split, ``[num_items]`` bool.
    seen_items: Tensor
    #: SHA-256 of each raw file that the data was prepared from.
    raw_sha256: Dict[str, str]
    #: The sessions of this split, oldest first.
    flat_sessions: Sessions
    #: What was read, left out and prepared; empty in files of version 0.1.
    report: Dict[str, Any]

    def __init__(
        self,
        root: str,
        split: str = 'train',
        transform: Optional[Callable[..., Any]] = None,
        pre_transform: Optional[Callable[..., Any]] = None,
        force_reload: bool = False,
        fraction: float = 1.0,
        val_ratio: float = 0.1,
        seed: int = 0,
        processed_root: Optional[str] = None,
        val_split: str = 'random',
        max_length: Optional[int] = None,
    ) -> None:
        name = type(self).__name__
        if split not in SPLITS:
            raise ValueError(
                f'{name}: unknown split {split!r}; choose one of {SPLITS}'
            )
        if not 0 < fraction <= 1:
            raise ValueError(
                f'{name}: the newest share of training sessions must be in '
                f'(0, 1], got {fraction}'
            )
        if not 0 <= val_ratio < 1:
            raise ValueError(
                f'{name}: `val_ratio` must be in [0, 1), got {val_ratio}'
            )
        if val_split not in ('random', 'time'):
            raise ValueError(
                f'{name}: `val_split` must be "random" or "time", got '
                f'{val_split!r}'
            )
        if max_length is not None and max_length < 2:
            raise ValueError(
                f'{name}: `max_length` must be at least 2, got {max_length}'
            )
        self.split, self.max_length = split, max_length
        self.val_split = val_split
        self.fraction, self.val_ratio, self.seed = fraction, val_ratio, seed
        self.root = root = osp.expanduser(os.fspath(root))
        self.processed_root = osp.expanduser(processed_root or root)
        self._graphs: Optional[SessionGraphs] = None
        self._popularity: Optional[Tensor] = None
        super().__init__(root, transform, force_reload=force_reload)
        self.pre_transform = pre_transform
        path = self.processed_paths[SPLITS.index(split)]
        for _ in range(100):
            with suppress(FileNotFoundError):
                return self._load(path)
            self._process()  # Another process is preparing them again.
        self._load(path)

    @property
    def settings(self) -> Dict[str, Any]:
        r"""Every argument that changes the prepared data."""
        settings: Dict[str, Any] = dict(
            fraction=self.fraction, val_ratio=self.val_ratio, seed=self.seed
        )
        # Younger options do not rename what was prepared without them.
        younger = {'val_split': 'random', 'max_length': None}
        for key, default in younger.items():
            if getattr(self, key) != default:
                settings[key] = getattr(self, key)
        return settings

    @property
    def raw_file_names(self) -> List[str]:
        return []

    @property
    def processed_dir(self) -> str:
        return osp.join(self.processed_root, 'processed')

    @property
    def processed_file_names(self) -> List[str]:
        text = json.dumps(self.settings)
        # Readable, and unique where it is cut or has characters replaced.
        name = ','.join(f'{k}={v}' for k, v in self.settings.items())
        name = re.sub(r'[^\w.,=-]+', '_', name, flags=re.ASCII)[:160]
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return [f'{split},{name},{digest}.pt' for split in SPLITS]

    @abstractmethod
    def prepare(self) -> Dict[str, Any]:
        r"""Reads the raw files.

        Returns:
            dict: :obj:`train` and :obj:`test` (:class:`Sessions`, oldest
            session first), :obj:`item_ids` ([num_items] int64, or a list of
            strings), :obj:`categories` ([num_items] int64 from 0, -1 where
            not known, or :obj:`None`), and optionally :obj:`val` in place of
            a share of :obj:`train`, and a :obj:`report` dict.
        """

    def process(self) -> None:
        raw = self.prepare()
        check_prepared(type(self).__name__, raw)
        parts, num_items = self._split(raw), len(raw['item_ids'])
        report = make_report(parts, num_items, raw.get('report', {}))
        seen = count_items(parts['train'].kept, num_items) > 0
        common = {
            **{key: raw[key] for key in ('item_ids', 'categories')},
            'seen_items': seen,
            'settings': json.dumps(self.settings),
            'raw': {
                name: [osp.getsize(path), sha256(path)]
                for name, path in short_names(self.raw_paths).items()
            },
            'report': json.dumps(report),
            'version': import_module('pyg_sessaug').__version__,
        }
        with explain_os_errors(f'write to {self.processed_dir}', ELSEWHERE):
            save_together(
                {
                    path: {**part.state(), **common}
                    for part, path in zip(parts.values(), self.processed_paths)
                }
            )

    def _split(self, raw: Dict[str, Any]) -> Dict[str, Sessions]:
        test, total = raw['test'], raw['train'].num_sessions
        count = max(1, round(total * self.fraction))
        newest = torch.arange(total - count, total)
        num_val, order = 0, newest
        if 'val' not in raw:
            num_val = int(count * self.val_ratio)
            order = newest.flip(0)
            if self.val_split == 'random':
                generator = torch.Generator().manual_seed(self.seed)
                order = newest[torch.randperm(count, generator=generator)]
            elif test.num_sessions > 0 and self.val_ratio > 0:
                num_val = test.num_sessions
                if num_val >= count:
                    raise ValueError(
                        f'val_split="time" takes {num_val} sessions, as the '
                        f'test set has, of {count}; pass "random"'
                    )
        masks = torch.zeros(2, total, dtype=torch.bool)
        masks[0, order[num_val:]] = True
        masks[1, order[:num_val]] = True
        train, val = take(dict(vars(raw.pop('train'))), list(masks))
        parts = {'train': train, 'val': raw.get('val', val), 'test': test}
        if self.max_length is None:
            return parts
        return {k: v.last_clicks(self.max_length) for k, v in parts.items()}

    def _process(self) -> None:
        # PyG's own records `pre_transform`, which no file depends on here.
        if self.force_reload or not all(map(osp.exists, self.processed_paths)):
            # Before hours of reading, not after:
            with alone_in(self.processed_dir, ELSEWHERE):
                # Another process may have made them meanwhile.
                paths = self.processed_paths
                if self.force_reload or not all(map(osp.exists, paths)):
                    self.process()

    def _load(self, path: str) -> None:
        state, remedy = load_state(path, AGAIN), AGAIN
        try:
            settings, raw = state.pop('settings'), state.pop('raw')
            self.item_ids = state.pop('item_ids')
            self.categories = state.pop('categories')
            self.seen_items = state.pop('seen_items')
            self.report = json.loads(state.get('report', '{}'))
            self.flat_sessions = Sessions.from_state(state)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{path} holds no sessions ({type(error).__name__}: '
                f'{error}); {remedy}'
            ) from error
        if settings != json.dumps(self.settings):
            raise ValueError(
                f'{path} was prepared by {settings} and not by '
                f'{json.dumps(self.settings)}; {remedy}'
            )
        # Raw files may be gone, but not others than the prepared ones.
        paths = short_names([x for x in self.raw_paths if osp.exists(x)])
        present = {name: osp.getsize(x) for name, x in paths.items()}
        known = {name: size for name, (size, _) in raw.items()}
        if present and present != known:
            other = sorted({x for x, _ in known.items() ^ present.items()})
            raise ValueError(
                f'{path} is of other raw files: {other[:5]} differ; {remedy}'
            )
        for name, raw_path in paths.items():
            # Untouched files are not read: a log may have gigabytes. A copy
            # may bring an old time of change, but is a new file.
            changed = max(osp.getmtime(raw_path), osp.getctime(raw_path))
            if changed <= osp.getmtime(path):
                continue
            if sha256(raw_path) != raw[name][1]:
                raise ValueError(
                    f'{path} was prepared from another {raw_path}, though of '
                    f'the same size; {remedy}'
                )
        if self.flat_sessions.num_samples == 0:
            less = dict(train='fraction', val='val_ratio', test='test_days')
            raise ValueError(
                f'the {self.split} split of {self.root} has no samples; raise '
                f'`{less[self.split]}` or use more data'
            )
        self.raw_sha256 = {name: value for name, (_, value) in raw.items()}

    @property
    def graphs(self) -> SessionGraphs:
        r"""The graphs of all samples."""
        if self._graphs is None:
            number = torch.arange(self.sessions)
            if self.split != 'train':
                number.fill_(-1)
            self._graphs = SessionGraphs(self.flat_sessions, number)
        return self._graphs

    def len(self) -> int:
        return self.flat_sessions.num_samples

    def get(self, idx: int) -> Data:
        data = self.graphs.data(idx)
        return data if self.pre_transform is None else self.pre_transform(data)

    def get_batch(self, index: Tensor) -> Batch:
        r"""Graphs of the given samples, before :obj:`transform`.

        Args:
            index (Tensor): Sample numbers of the whole split, ``[B]``, int64.
        """
        early = self.pre_transform
        if graph_by_graph(early):
            graphs = map(self.get, index.tolist())
            return Batch.from_data_list([*graphs], ['click_index'])
        batch = self.graphs.batch(index)
        return batch if early is None else early(batch)

    @property
    def num_items(self) -> int:
        r"""Size of the vocabulary, the same for all splits."""
        return len(self.item_ids)

    @property
    def num_categories(self) -> Optional[int]:
        r"""Number of item categories; :obj:`None` without categories."""
        if self.categories is None:
            return None
        return int(self.categories.max()) + 1

    @property
    def num_classes(self) -> int:
        r"""The targets are items, :attr:`num_items`."""
        return self.num_items

    @property
    def clicks(self) -> int:
        r"""Clicks of this split, targets included."""
        return self.flat_sessions.num_clicks

    @property
    def sessions(self) -> int:
        r"""Sessions of this split."""
        return self.flat_sessions.num_sessions

    @property
    def average_length(self) -> float:
        r"""Clicks per session of this split."""
        return self.clicks / self.sessions

    @property
    def categories_per_session(self) -> Optional[float]:
        r"""Distinct item categories per session of this split."""
        if self.categories is None:
            return None
        session = torch.repeat_interleave(self.flat_sessions.length)
        category = self.categories[self.flat_sessions.item]
        key = session * (int(self.categories.max()) + 1) + category
        return key[category >= 0].unique().numel() / self.sessions

    @property
    def popularity(self) -> Tensor:
        r"""Clicks of each item in the training split, ``[num_items]`` int64;
        other splits read its file at first use.
        """
        if self._popularity is None:
            item = self.flat_sessions.kept
            if self.split != 'train':
                item = load_state(self.processed_paths[0], AGAIN)['item']
            self._popularity = count_items(item, self.num_items)
        return self._popularity

    @property
    def unseen_target_share(self) -> float:
        r"""Share of targets never clicked in the training split."""
        sessions = self.flat_sessions
        seen = self.seen_items[sessions.item[sessions.target]]
        return 1 - float(seen.double().mean())

    @property
    def repeat_share(self) -> float:
        r"""Share of targets that were clicked before in their session."""
        repeats = find_repeats(self.flat_sessions)
        return float(repeats[self.flat_sessions.target].double().mean())
