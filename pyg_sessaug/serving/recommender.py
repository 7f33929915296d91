r"""Recommendations for sessions of raw item ids."""

import os
from typing import (
    Any,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_sessaug.evaluation import batch_size_of, split_sessions
from pyg_sessaug.files import save_atomically
from pyg_sessaug.metrics import top_lists
from pyg_sessaug.nn.interface import (
    Ranker,
    check_interface,
    device_of,
    item_vectors,
)
from pyg_sessaug.serving.model_file import load_recommender, model_state
from pyg_sessaug.serving.update import update
from pyg_sessaug.serving.vocabulary import Id, Vocabulary, plain_list
from pyg_sessaug.transforms.at_test import scored_batch


class Recommendations(NamedTuple):
    r"""What to recommend to one session.

    Args:
        items (list): Raw ids, the best first.
        scores (list, optional): Score of each of them, if asked for: that of
            the model, or the popularity if :obj:`fallback`.
        unknown (list): Ids of the session that the recommender does not
            know; they were left out.
        fallback (bool): Whether these are the most popular items, because
            the session has no known one.
    """

    items: List[Id]
    scores: Optional[List[float]]
    unknown: List[Any]
    fallback: bool


class Recommender:
    r"""A trained model that takes and gives raw item ids.

    Example:
        >>> from pyg_sessaug import Recommender
        >>> from pyg_sessaug.nn import SRGNN
        >>> Recommender(SRGNN(2, 8), ['shoes', 'socks']).save('shop.pt')
        >>> shop = Recommender.load('shop.pt')
        >>> shop.recommend(['shoes', 'bag'], k=2).unknown
        ['bag']

    Args:
        model (SessionModel): The model, or whatever has :obj:`num_items`
            and :meth:`score`; recommendations are computed where it is.
        item_ids (Tensor or list): Raw id of each item, ``[num_items]`` int64
            or strings, as :obj:`item_ids` of a data set.
        popularity (Tensor, optional): How popular each item is,
            ``[num_items]``, such as its clicks in training. What sessions
            without a known item get is ranked by it.
            (default: :obj:`None`, they get nothing)
        about (dict, optional): Plain values that are saved along, such as
            where the data is from. (default: :obj:`None`)
        max_length (int, optional): Clicks of a session to look at, the last
            ones, as :obj:`max_length` of a data set.
            (default: :obj:`None`, all)

    Raises:
        ValueError: If there are not as many ids or popularities as the model
            has items, an id occurs twice, a popularity is not finite, or
            :obj:`max_length` not positive.
    """

    def __init__(
        self,
        model: Ranker,
        item_ids: Union[Tensor, Sequence[Id]],
        popularity: Optional[Tensor] = None,
        about: Optional[Dict[str, Any]] = None,
        max_length: Optional[int] = None,
    ) -> None:
        check_interface(model, 'num_items', 'score')
        if max_length is not None and max_length < 1:
            raise ValueError(
                f'Recommender got max_length={max_length}; pass at least 1'
            )
        self.model: Any = model
        self._vocabulary = Vocabulary(item_ids)
        self.popularity = None if popularity is None else popularity.cpu()
        self.about = about or {}
        self.max_length = max_length
        self._popular: Optional[Tensor] = None
        if len(self.item_ids) != model.num_items:
            raise ValueError(
                f'Recommender got {len(self.item_ids)} item_ids for a model '
                f'of {model.num_items} items; pass the item_ids of the data '
                f'set it was trained on'
            )
        if self.popularity is not None and self.popularity.size() != (
            model.num_items,
        ):
            raise ValueError(
                f'Recommender got popularity of shape '
                f'{list(self.popularity.size())}; pass [{model.num_items}]'
            )
        if self.popularity is not None and not bool(
            self.popularity.isfinite().all()
        ):
            bad = int((~self.popularity.isfinite()).nonzero()[0])
            raise ValueError(
                f'Recommender got the popularity {self.popularity[bad]} of '
                f'the item {self.item_ids[bad]!r}; pass finite numbers'
            )

    @property
    def item_ids(self) -> List[Id]:
        r"""Raw id of each item."""
        return self._vocabulary.ids

    @classmethod
    def from_dataset(cls, model: Ranker, dataset: Any) -> 'Recommender':
        r"""Takes ids and popularity from the training split.

        Args:
            model (SessionModel): The model.
            dataset (SessionDataset): The split it was trained on; popularity
                counts all its clicks.
        """
        if dataset.split != 'train':
            raise ValueError(
                f'Recommender.from_dataset got the {dataset.split} split; '
                f'pass the training split'
            )
        return cls(
            model,
            dataset.item_ids,
            dataset.popularity,
            {
                'dataset': type(dataset).__name__,
                'settings': dict(dataset.settings),
                'raw_sha256': dict(dataset.raw_sha256),
            },
            dataset.max_length,
        )

    def recommend(
        self,
        sessions: Any,
        k: int = 20,
        exclude_clicked: bool = False,
        block: Iterable[Id] = (),
        return_scores: bool = False,
        allow: Optional[Iterable[Id]] = None,
    ) -> Union[Recommendations, List[Recommendations]]:
        r"""The best items for one session or many.

        Equal scores rank the item of lower index first. Ids that are not
        known are skipped and reported; a session without a known id gets
        the most popular items.

        Args:
            sessions (list): One session, which is a list of raw ids in order
                of click, or a list of sessions. An empty list is one session
                without clicks.
            k (int): Items per session; fewer if there are no more.
                (default: :obj:`20`)
            exclude_clicked (bool): Whether to leave out the items of the
                session. (default: :obj:`False`)
            block (list): Raw ids never to recommend, such as items out of
                stock; those not known do no harm. (default: :obj:`()`)
            return_scores (bool): Whether to return scores.
                (default: :obj:`False`)
            allow (list, optional): Raw ids to choose from, such as what is
                in stock; those not known do no harm. What is blocked stays
                so. (default: :obj:`None`, all items)

        Returns:
            Recommendations: For one session; a list of them for a list of
            sessions.

        Raises:
            ValueError: If :obj:`k` is not positive or a score is not finite.
            TypeError: If :obj:`sessions` is no list, such as a set, which
                has no order, or something else than ids is where ids should
                be, booleans among them.

        Warns:
            UserWarning: If an unknown id, blocked ones included, is a string
                where all ids are integers, or the other way round.
        """
        if k < 1:
            raise ValueError(f'Recommender got k={k}; pass at least 1')
        sessions = plain_list(sessions)
        one = not any(isinstance(x, (list, tuple)) for x in sessions)
        lists = [sessions] if one else sessions
        whole, unknown = self._vocabulary.look_up(lists)
        known = whole
        if self.max_length is not None:
            known = [session[-self.max_length :] for session in known]
        left_out = whole if exclude_clicked else [[] for _ in whole]
        blocked = self._vocabulary.indices(block)
        if allow is not None:
            excluded = torch.ones(len(self.item_ids), dtype=torch.bool)
            excluded[self._vocabulary.indices(allow)] = False
            excluded[blocked] = True
            blocked = excluded.nonzero().view(-1)

        # Indices and scores of the items for each session:
        best: List[Tuple[List[int], List[float]]] = [([], [])] * len(known)
        if not all(known):
            best = [self._most_popular(k, blocked)] * len(known)
        rows = [i for i, session in enumerate(known) if session]
        length = [len(known[i]) for i in rows]
        for batch in split_sessions(length, batch_size_of(self.model)):
            chunk = [rows[i] for i in batch]
            own = [left_out[i] for i in chunk]
            found = self._score([known[i] for i in chunk], k, blocked, own)
            for i, ranking in zip(chunk, found):
                best[i] = ranking
        result = [
            Recommendations(
                [self.item_ids[i] for i in index],
                list(score) if return_scores else None,
                missing,
                fallback=not session,
            )
            for (index, score), missing, session in zip(best, unknown, known)
        ]
        return result[0] if one else result

    def update(self, log: Any) -> Dict[str, int]:
        r"""Counts newer sessions, without training.

        Popularity, and models that only count, alone or in a blend, are then
        as if they had counted these sessions too; networks stay as they are.
        Clicks on items that are not known are left out, and then sessions
        with fewer than two clicks.

        .. code-block:: python

            options = dict(test_days=0, val_ratio=0.0, min_item_clicks=1)
            today = SessionLog('shop', file='today.csv', **options)
            recommender.update(today)

        Args:
            log (SessionDataset): Newer sessions; any passed twice count so.

        Returns:
            dict: How many ``sessions`` and ``clicks`` were counted, how many
            clicks are on ``unknown`` items, and how many sessions were left
            out as ``short``, with fewer than two others.

        Raises:
            ValueError: If none of the items is known.
        """
        self._popular = None
        return update(self, log)

    @torch.no_grad()
    def similar_items(self, item: Id, k: int = 20) -> Recommendations:
        r"""The items whose vectors are closest to that of an item; of a
        blend, those of its first network.

        Args:
            item (int or str): Its raw id.
            k (int): Items to return; fewer if there are no more.
                (default: :obj:`20`)

        Returns:
            Recommendations: Other items and the cosines, the largest first.

        Raises:
            ValueError: If the item is not known, or :obj:`k` not positive.
            TypeError: If the model has no item vectors, as counts.
        """
        if k < 1:
            raise ValueError(f'Recommender got k={k}; pass at least 1')
        vectors = item_vectors(self.model)
        index = self._vocabulary.find(item)
        if index is None:
            raise ValueError(
                f'Recommender does not know the item {item!r}; its ids are '
                f'such as {self.item_ids[0]!r}'
            )
        table = F.normalize(vectors, dim=1)
        cosine = (table @ table[index]).unsqueeze(0)
        cosine[0, index] = -torch.inf
        ((items, cosines),) = top_lists(cosine, k)
        return Recommendations(
            [self.item_ids[i] for i in items], cosines, [], fallback=False
        )

    def save(self, path: Union[str, 'os.PathLike[str]']) -> None:
        r"""Writes all of it to one file, whole or not at all.

        Args:
            path (str): The file; an older one is replaced.

        Raises:
            ValueError: If an argument of the model cannot be told, or a
                module of it was replaced.
        """
        from pyg_sessaug import __version__

        save_atomically(
            {
                'version': __version__,
                **model_state(self.model),
                'item_ids': self.item_ids,
                'popularity': self.popularity,
                'about': self.about,
                'max_length': self.max_length,
            },
            os.fspath(path),
        )

    @classmethod
    def load(
        cls,
        path: Union[str, 'os.PathLike[str]'],
        device: str = 'cpu',
        model: Optional[type] = None,
    ) -> 'Recommender':
        r"""Reads what :meth:`save` wrote, running no code of the file.

        Args:
            path (str): The file.
            device (str): Where to put the model. (default: :obj:`"cpu"`)
            model (type, optional): Class of the model, for one of your own.
                (default: :obj:`None`, one of this package)

        Raises:
            ValueError: If the file is damaged or holds something else.
            FileNotFoundError: If there is no such file.
        """
        restored, state = load_recommender(os.fspath(path), model)
        return cls(restored.to(device).eval(), **state)

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}({type(self.model).__name__}, '
            f'num_items={self.model.num_items}, '
            f'popularity={self.popularity is not None})'
        )

    @torch.inference_mode()
    def _score(
        self,
        sessions: List[List[int]],
        k: int,
        blocked: Tensor,
        left_out: List[List[int]],
    ) -> List[Tuple[List[int], List[float]]]:
        model = self.model
        device = device_of(model)
        batch = scored_batch(model, sessions)
        if device.type != 'cpu':  # Which alone takes a while to find out.
            batch = batch.to(device)
        training = getattr(model, 'training', False)
        if training:  # Or a millisecond goes into the modes of modules.
            model.eval()
        score = model.score(batch)
        if training:
            model.train()
        for row, items in enumerate(left_out):
            if items:
                score[row, items] = -torch.inf
        if blocked.numel() > 0:
            score[:, blocked.to(device)] = -torch.inf
        return top_lists(score, k)

    def _most_popular(
        self, k: int, blocked: Tensor
    ) -> Tuple[List[int], List[float]]:
        if self.popularity is None:
            return [], []
        if self._popular is None:  # Counts are often equal: one full sort.
            self._popular = self.popularity.argsort(
                descending=True, stable=True
            )
        index = self._popular[: k + blocked.numel()]
        index = index[~torch.isin(index, blocked)][:k]
        return index.tolist(), self.popularity[index].tolist()
