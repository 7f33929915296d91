r"""The data set that all session data sets share."""

import hashlib
import json
import os
import os.path as osp
import tempfile
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, Dataset

from pyg_sessaug.graphs import SessionGraphs
from pyg_sessaug.sessions import Sessions

SPLITS = ('train', 'val', 'test')


class SessionDataset(Dataset):
    r"""A split of click sessions, every prefix of which is one graph.

    What is stored are the sessions, flat; graphs are gathered when asked
    for, so memory grows with clicks.

    Args:
        root (str): Folder with the raw files in :obj:`root/raw`.
        split (str): :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"train"`)
        transform (callable, optional): Applied at every access.
            (default: :obj:`None`)
        pre_transform (callable, optional): Applied before
            :obj:`transform` whenever a graph is built, since no graph is
            ever stored. (default: :obj:`None`)
        force_reload (bool): Whether to prepare the files again.
            (default: :obj:`False`)
        fraction (float): Newest share of the training sessions to keep, in
            (0, 1]; vocabulary and test set stay whole.
            (default: :obj:`1.0`)
        val_ratio (float): Share of the kept training sessions set apart for
            validation, in [0, 1). (default: :obj:`0.1`)
        seed (int): Seed of the draw of validation sessions.
            (default: :obj:`0`)
        processed_root (str, optional): Folder for prepared files where
            :obj:`root` cannot be written to. (default: :obj:`None`, which
            is :obj:`root`)
    """
    def __init__(
        self,
        root: str,
        split: str = 'train',
        transform: Optional[Callable] = None,
        pre_transform: Optional[Callable] = None,
        force_reload: bool = False,
        fraction: float = 1.0,
        val_ratio: float = 0.1,
        seed: int = 0,
        processed_root: Optional[str] = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(
                f'unknown split {split!r}; choose one of {list(SPLITS)}')
        self.split = split
        self.fraction, self.val_ratio, self.seed = fraction, val_ratio, seed
        self.processed_root = processed_root or root
        super().__init__(root, transform, force_reload=force_reload)
        self.pre_transform = pre_transform
        self._load(self.processed_paths[SPLITS.index(split)])

    @property
    def settings(self) -> Dict[str, Any]:
        r"""Every argument that changes the prepared data."""
        return dict(fraction=self.fraction, val_ratio=self.val_ratio,
                    seed=self.seed)

    @property
    def processed_dir(self) -> str:
        return osp.join(self.processed_root, 'processed')

    @property
    def processed_file_names(self) -> List[str]:
        name = ','.join(f'{k}={v}' for k, v in self.settings.items())
        return [f'{split},{name}.pt' for split in SPLITS]

    def prepare(self) -> Dict[str, Any]:
        r"""Reads the raw files.

        Returns:
            dict: :obj:`train` and :obj:`test` (:class:`Sessions`, oldest
            session first), :obj:`item_ids` [num_items] int64 and
            :obj:`categories` [num_items] int64 or :obj:`None`.
        """
        raise NotImplementedError

    def process(self) -> None:
        raw = self.prepare()
        train = raw['train']
        count = max(1, round(train.num_sessions * self.fraction))
        newest = torch.arange(train.num_sessions - count, train.num_sessions)
        generator = torch.Generator().manual_seed(self.seed)
        order = newest[torch.randperm(count, generator=generator)]
        num_val = int(count * self.val_ratio)
        parts = {
            'train': train.select(order[num_val:].sort()[0]),
            'val': train.select(order[:num_val].sort()[0]),
            'test': raw['test'],
        }
        seen = torch.zeros(raw['item_ids'].numel(), dtype=torch.bool)
        seen[parts['train'].item] = True
        common = {
            'item_ids': raw['item_ids'], 'categories': raw['categories'],
            'seen_items': seen, 'settings': json.dumps(self.settings)}
        for part, path in zip(parts.values(), self.processed_paths):
            save_atomically({**vars(part), **common}, path)

    def _load(self, path: str) -> None:
        state = torch.load(path, weights_only=True)
        if json.loads(state.pop('settings')) != json.loads(
                json.dumps(self.settings)):
            raise ValueError(
                f'{path} was made by other arguments than its name says; '
                f'pass force_reload=True to prepare it again')
        self.item_ids: Tensor = state.pop('item_ids')
        self.categories: Optional[Tensor] = state.pop('categories')
        self.seen_items: Tensor = state.pop('seen_items')
        self.flat_sessions = Sessions(**state)
        self._graphs: Optional[SessionGraphs] = None

    @property
    def graphs(self) -> SessionGraphs:
        r"""Node and edge lists, made at first use."""
        if self._graphs is None:
            self._graphs = SessionGraphs(self.flat_sessions)
        return self._graphs

    def len(self) -> int:
        return self.flat_sessions.num_samples

    def get(self, idx: int) -> Data:
        data = self.graphs.data(idx)
        return data if self.pre_transform is None else self.pre_transform(
            data)

    def get_batch(self, index: Tensor) -> Batch:
        r"""Graphs of the given samples, before :obj:`transform`.

        Args:
            index (Tensor): Sample numbers, ``[B]``, int64, of the whole
                split, whatever slice of it this data set is.
        """
        batch = self.graphs.batch(index)
        return batch if self.pre_transform is None else self.pre_transform(
            batch)

    @property
    def num_items(self) -> int:
        r"""Size of the vocabulary, the same for all splits."""
        return self.item_ids.numel()

    @property
    def num_classes(self) -> int:
        r"""The targets are items: :attr:`num_items`."""
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


def save_atomically(state: Dict[str, Any], path: str) -> None:
    r"""Writes a file that is either whole or not there."""
    os.makedirs(osp.dirname(path), exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=osp.dirname(path))
    try:
        with os.fdopen(handle, 'wb') as f:
            torch.save(state, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
