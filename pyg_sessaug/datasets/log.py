r"""What all data sets made of a log of clicks share."""

import os.path as osp
from typing import Any, Callable, Dict, List, Optional, Tuple

from pyg_sessaug.datasets.base import SessionDataset
from pyg_sessaug.datasets.download import download
from pyg_sessaug.datasets.srgnn_files import (
    CATEGORY,
    REQUIRED,
    read_srgnn_files,
)

SOURCES = ('auto', 'log', 'srgnn')


class LogDataset(SessionDataset):
    r"""A data set prepared from a log of clicks or from SR-GNN's files.

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
        source (str): :obj:`"log"` for the official log, :obj:`"srgnn"` for
            SR-GNN's files (``all_train_seq.txt``, ``test.txt`` and
            optionally ``category.txt``), or :obj:`"auto"` for what
            :obj:`root/raw` holds. (default: :obj:`"auto"`)
        val_ratio (float): Share of the kept training sessions set apart for
            validation, in [0, 1). (default: :obj:`0.1`)
        seed (int): Seed of the draw of validation sessions.
            (default: :obj:`0`)
        url (str, optional): Folder to download from, in place of the known
            one. (default: :obj:`None`)
        **kwargs (optional): Further arguments of
            :class:`~pyg_sessaug.datasets.SessionDataset`.
    """
    #: Files of the official log: those needed, then the optional ones.
    log_names: Tuple[str, ...] = ()
    optional_log_names: Tuple[str, ...] = ()
    #: Where to get the official log.
    log_url: str = ''
    #: Where SR-GNN's files can be downloaded, and their SHA-256.
    srgnn_url: str = ''
    srgnn_sha256: Dict[str, str] = {}

    def __init__(
        self,
        root: str,
        split: str = 'train',
        transform: Optional[Callable] = None,
        pre_transform: Optional[Callable] = None,
        force_reload: bool = False,
        source: str = 'auto',
        val_ratio: float = 0.1,
        seed: int = 0,
        url: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        if source not in SOURCES:
            raise ValueError(
                f'{type(self).__name__}: unknown source {source!r}; choose '
                f'one of {list(SOURCES)}')
        self.root = osp.expanduser(root)
        self.url = url or self.srgnn_url
        self.source = source if source != 'auto' else self._find_source()
        super().__init__(root, split, transform, pre_transform, force_reload,
                         val_ratio=val_ratio, seed=seed, **kwargs)

    @property
    def settings(self) -> Dict[str, Any]:
        return dict(source=self.source, **super().settings)

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
                f'{self.raw_dir} holds both the log {log} and SR-GNN\'s '
                f'files {srgnn}; pass source="log" or source="srgnn"')
        return 'log' if log or not (srgnn or self.srgnn_sha256) else 'srgnn'

    @property
    def raw_file_names(self) -> List[str]:
        if self.source == 'srgnn':
            return [*REQUIRED, *self._present((CATEGORY, ))]
        return self._present(self.log_names + self.optional_log_names)

    def _download(self) -> None:
        needed = REQUIRED if self.source == 'srgnn' else self.log_names
        present = self._present(needed)
        prepared = all(map(osp.exists, self.processed_paths))
        if len(present) == len(needed) or (prepared and not present
                                           and not self.force_reload):
            return
        if present:
            missing = [x for x in needed if x not in present]
            raise FileNotFoundError(
                f'{self.raw_dir} holds {present} but not {missing}')
        self.download()

    def download(self) -> None:
        if self.source == 'log' or not self.srgnn_sha256:
            names = self.log_names if self.source == 'log' else REQUIRED
            raise FileNotFoundError(
                f'{type(self).__name__} cannot download {list(names)}; get '
                f'the files{self.log_url} and put them into {self.raw_dir}')
        for name, digest in self.srgnn_sha256.items():
            path = osp.join(self.raw_dir, name)
            if not osp.exists(path):
                download(f'{self.url}/{name}', path, digest)

    def prepare(self) -> Dict[str, Any]:
        return read_srgnn_files(self.raw_dir)
