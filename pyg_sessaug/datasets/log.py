r"""What all data sets made of a log of clicks share."""

import os.path as osp
from abc import abstractmethod
from typing import Any, Callable, Dict, List, Optional, Tuple

from torch import Tensor

from pyg_sessaug.datasets.base import SessionDataset
from pyg_sessaug.datasets.download import download
from pyg_sessaug.datasets.preprocess import Clicks, prepare_clicks
from pyg_sessaug.datasets.srgnn_files import (
    CATEGORY,
    REQUIRED,
    read_srgnn_files,
)

SOURCES = ('auto', 'log', 'srgnn')


class LogDataset(SessionDataset):
    r"""A data set prepared from a log of clicks or from SR-GNN's files.

    A subclass names the files of its log in :attr:`log_names` and implements
    :meth:`read_clicks`. For a CSV or Parquet file there is
    :class:`~pyg_sessaug.datasets.SessionLog`.

    A log is filtered, split and indexed as
    :func:`~pyg_sessaug.datasets.preprocess.prepare_clicks` says. Its rows may
    stand in any order, and equal rows are clicks of their own. SR-GNN's files
    hold the result of that, so nothing is filtered again: their vocabulary is
    1 to the largest id, and the options of logs are errors.

    Args:
        root (str): Folder with the raw files in :obj:`root/raw`.
        split (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"train"`)
        transform (callable, optional): Applied at every access.
            (default: :obj:`None`)
        pre_transform (callable, optional): Applied before
            :obj:`transform` at every access. (default: :obj:`None`)
        force_reload (bool): Whether to prepare the files again.
            (default: :obj:`False`)
        source (str): :obj:`"log"` for the log, :obj:`"srgnn"` for SR-GNN's
            files (``all_train_seq.txt``, ``test.txt`` and optionally
            ``category.txt``), or :obj:`"auto"` for what :obj:`root/raw`
            holds. (default: :obj:`"auto"`)
        val_ratio (float): Share of the kept training sessions set apart for
            validation, in [0, 1). (default: :obj:`0.1`)
        seed (int): Seed of the draw of validation sessions.
            (default: :obj:`0`)
        fraction (float): Newest share of the training sessions to keep, in
            (0, 1]. (default: :obj:`1.0`)
        processed_root (str, optional): Folder for prepared files.
            (default: :obj:`None`, which is :obj:`root`)
        url (str, optional): Address of a folder to download from, in place
            of the known one. (default: :obj:`None`)
        allow_missing_categories (bool): Whether items may be without a
            category where others have one; theirs is -1.
            (default: :obj:`False`)
        **log_options (optional): How to prepare a log:
            :obj:`min_item_clicks` (5), :obj:`test_days` (7),
            :obj:`drop_boundary` (:obj:`False`) and :obj:`session_gap`
            (:obj:`None`), the arguments of
            :func:`~pyg_sessaug.datasets.preprocess.prepare_clicks`.
    """

    #: Files of the log, each plain or ``.gz``; those needed, then the rest.
    log_names: Tuple[str, ...] = ()
    optional_log_names: Tuple[str, ...] = ()
    #: Where a user gets the log.
    log_address: str = 'its publisher'
    #: Options of :meth:`prepare_log`.
    log_defaults: Dict[str, Any] = dict(
        min_item_clicks=5, test_days=7, drop_boundary=False, session_gap=None
    )
    #: Where SR-GNN's files are, and their SHA-256.
    srgnn_url: str = ''
    srgnn_sha256: Dict[str, str] = {}

    def __init__(
        self,
        root: str,
        split: str = 'train',
        transform: Optional[Callable[..., Any]] = None,
        pre_transform: Optional[Callable[..., Any]] = None,
        force_reload: bool = False,
        source: str = 'auto',
        val_ratio: float = 0.1,
        seed: int = 0,
        fraction: float = 1.0,
        processed_root: Optional[str] = None,
        url: Optional[str] = None,
        allow_missing_categories: bool = False,
        **log_options: Any,
    ) -> None:
        name = type(self).__name__
        if source not in SOURCES:
            raise ValueError(
                f'{name}: unknown source {source!r}; choose one of '
                f'{list(SOURCES)}'
            )
        unknown = [x for x in log_options if x not in self.log_defaults]
        if unknown:
            raise TypeError(
                f'{name} has no argument {unknown}; its options for logs '
                f'are {list(self.log_defaults)}'
            )
        self.log_options = {**self.log_defaults, **log_options}
        for key, allow_none in [
            ('min_item_clicks', False),
            ('test_days', False),
            ('session_gap', True),
        ]:
            value = self.log_options[key]
            if not (allow_none and value is None) and not value > 0:
                raise ValueError(
                    f'{name}: `{key}` must be positive, got {value}'
                )
        self.root = osp.expanduser(root)
        self.url = url or self.srgnn_url
        self.allow_missing_categories = allow_missing_categories
        self.source = source if source != 'auto' else self._find_source()
        useless = [
            x for x in log_options if log_options[x] != self.log_defaults[x]
        ]
        if self.source == 'srgnn' and useless:
            raise ValueError(
                f"{name}: SR-GNN's files in {self.raw_dir} are prepared "
                f'already; {useless} need the log'
            )
        super().__init__(
            root,
            split,
            transform,
            pre_transform,
            force_reload,
            fraction,
            val_ratio,
            seed,
            processed_root,
        )

    @property
    def settings(self) -> Dict[str, Any]:
        settings = dict(
            source=self.source,
            **super().settings,
            allow_missing_categories=self.allow_missing_categories,
        )
        if self.source == 'log':
            settings.update(self.log_options)
        return settings

    @abstractmethod
    def read_clicks(self) -> Clicks:
        r"""Reads the log."""

    def prepare_log(self) -> Dict[str, Any]:
        r"""Prepares the log; see :meth:`prepare`."""
        clicks = self.read_clicks()
        options = {
            key: self.log_options[key] for key in LogDataset.log_defaults
        }
        try:
            return prepare_clicks(clicks, **options)
        except ValueError as error:
            raise ValueError(f'{self.raw_paths[0]}: {error}') from error

    def prepare(self) -> Dict[str, Any]:
        raw = (
            self.prepare_log()
            if self.source == 'log'
            else read_srgnn_files(self.raw_dir)
        )
        categories, ids = raw['categories'], raw['item_ids']
        if categories is not None and not self.allow_missing_categories:
            lacking = (categories < 0).nonzero().view(-1).tolist()
            if lacking:
                ids = ids.tolist() if isinstance(ids, Tensor) else ids
                raise ValueError(
                    f'{self.raw_dir}: {len(lacking)} items have no category, '
                    f'such as {[ids[i] for i in lacking[:5]]}; add them, or '
                    f'pass allow_missing_categories=True to give them -1'
                )
        return raw

    def _present(self, names: Tuple[str, ...]) -> List[str]:
        found = []
        for name in names:
            for file_name in [name, f'{name}.gz']:
                if osp.exists(osp.join(self.raw_dir, file_name)):
                    found.append(file_name)
                    break
        return found

    def _find_source(self) -> str:
        log, srgnn = self._present(self.log_names), self._present(REQUIRED)
        if log and srgnn:
            raise ValueError(
                f"{self.raw_dir} holds both the log {log} and SR-GNN's "
                f'files {srgnn}; pass source="log" or source="srgnn"'
            )
        return 'log' if log or not (srgnn or self.srgnn_sha256) else 'srgnn'

    @property
    def raw_file_names(self) -> List[str]:
        if self.source == 'srgnn':
            return [*REQUIRED, *self._present((CATEGORY,))]
        return self._present(self.log_names + self.optional_log_names)

    def _download(self) -> None:
        needed = REQUIRED if self.source == 'srgnn' else self.log_names
        present = self._present(needed)
        prepared = all(map(osp.exists, self.processed_paths))
        if len(present) == len(needed) or (
            prepared and not present and not self.force_reload
        ):
            return
        if present:
            missing = [x for x in needed if x not in present]
            raise FileNotFoundError(
                f'{self.raw_dir} holds {present} but not {missing}'
            )
        self.download()

    def download(self) -> None:
        if self.source == 'log' or not self.srgnn_sha256:
            names = self.log_names if self.source == 'log' else REQUIRED
            raise FileNotFoundError(
                f'{type(self).__name__} cannot download {list(names)}; get '
                f'the files from {self.log_address} and put them into '
                f'{self.raw_dir}'
            )
        for name, digest in self.srgnn_sha256.items():
            path = osp.join(self.raw_dir, name)
            if not osp.exists(path):
                download(f'{self.url}/{name}', path, digest)
