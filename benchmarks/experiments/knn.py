"""Recommenders that only count: popularity, co-occurrence, neighbours."""

from itertools import groupby
from typing import Iterator, NamedTuple, Tuple

import numpy as np
import torch
from torch import Tensor

from pyg_sessaug.data.sessions import Sessions

# Weight of the click at place i of n, both from 1, in the similarity ...
WEIGHTING = {
    'same': lambda i, n: np.ones(i.size),
    'div': lambda i, n: i / n,
    'linear': lambda i, n: np.maximum(0.0, 1 - 0.1 * (n - i)),
    'quadratic': lambda i, n: (i / n) ** 2,
    'log': lambda i, n: 1 / np.log10(n - i + 1.7),
}
# ... and of a neighbour whose newest shared click is the step-th from the end.
WEIGHTING_SCORE = {
    'same': lambda step: np.ones(step.size),
    'div': lambda step: 1 / step,
    'linear': lambda step: np.maximum(0.0, 1 - 0.1 * step),
    'quadratic': lambda step: 1 / step**2,
    'log': lambda step: 1 / np.log10(step + 1.7),
}


class VSKNN(NamedTuple):
    """Parameters of the neighbours, with session-rec's defaults.

    Args:
        k: Neighbours that vote.
        sample_size: Newest sessions they are sought among.
        weighting: Decay of older clicks in the similarity.
        weighting_score: Decay of neighbours that share older clicks only.
        idf_weighting: How much rarer items are preferred; 0: not at all.
    """

    k: int = 100
    sample_size: int = 1000
    weighting: str = 'div'
    weighting_score: str = 'div'
    idf_weighting: float = 0.0


class Index:
    """Which session holds which items, and the other way round.

    Args:
        sessions: Training sessions, oldest first.
        num_items: Size of the catalogue.
    """

    def __init__(self, sessions: Sessions, num_items: int) -> None:
        self.num_items, self.num_sessions = num_items, sessions.num_sessions
        item = sessions.item.numpy()
        self.clicks = np.bincount(item, minlength=num_items)
        session = np.repeat(
            np.arange(self.num_sessions), sessions.length.numpy()
        )
        session, item = np.divmod(
            np.unique(session * num_items + item), num_items
        )
        self.items = item
        self.items_ptr = _pointers(session, self.num_sessions)
        # Stable, so the sessions of an item stay oldest first.
        self.sessions = session[item.argsort(kind='stable')]
        self.sessions_ptr = _pointers(item, num_items)
        # Most clicks first, of equally many the lower index.
        order = (-self.clicks).argsort(kind='stable')
        self.pop_rank = np.empty(num_items, dtype=np.int64)
        self.pop_rank[order] = np.arange(1, num_items + 1)
        self._scratch = np.empty(
            max(num_items, self.num_sessions), dtype=np.int64
        )

    def last(self, key: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Where the last entry equal to each stands, and all last entries."""
        place = np.arange(key.size)
        self._scratch[key] = place  # Of equal keys the last is kept.
        owner = self._scratch[key]
        return owner, (owner == place).nonzero()[0]

    def items_of(self, session: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Distinct items of the sessions, and how many each session has."""
        start, end = self.items_ptr[session], self.items_ptr[session + 1]
        return self.items[_ranges(start, end - start)], end - start


def _pointers(owner: np.ndarray, size: int) -> np.ndarray:
    count = np.bincount(owner, minlength=size)
    return np.concatenate([[0], count.cumsum()])


def _ranges(start: np.ndarray, count: np.ndarray) -> np.ndarray:
    shift = np.repeat(start - count.cumsum() + count, count)
    return shift + np.arange(shift.size)


def prefixes(sessions: Sessions) -> Iterator[Tuple[np.ndarray, int]]:
    """Clicks and target of each sample."""
    item, target = sessions.item.numpy(), sessions.target
    start = sessions.ptr[sessions.session_of(target)]
    for begin, end in zip(start.tolist(), target.tolist()):
        yield item[begin:end], int(item[end])


def sparse_rank(
    target: int, item: np.ndarray, score: np.ndarray, num_items: int
) -> int:
    """Rank of the target where all items but those given score 0.

    Of items with equal scores the one with the lower index ranks first.

    Args:
        target: The target item.
        item: Distinct items, in any order.
        score: Their scores.
        num_items: Size of the catalogue.
    """
    own = score[item == target].sum()  # 0 where it is not among them.
    lower = item < target
    rank = 1 + np.count_nonzero((score > own) | ((score == own) & lower))
    if own < 0:
        rank += num_items - item.size - int(target not in item)
    elif own == 0:
        rank += target - np.count_nonzero(lower)
    return int(rank)


def rank_pop(index: Index, sessions: Sessions) -> Tensor:
    """Ranks where the most clicked items of training come first."""
    target = sessions.item[sessions.target].numpy()
    return torch.from_numpy(index.pop_rank[target])


def rank_spop(index: Index, sessions: Sessions) -> Tensor:
    """The same behind the items of the session, most clicked in it first."""
    rank = []
    for clicks, target in prefixes(sessions):
        own = index.pop_rank[target]
        item, count = np.unique(clicks, return_counts=True)
        behind = index.pop_rank[item] > own
        found = count[item == target]
        if found.size == 0:
            rank.append(own + np.count_nonzero(behind))
        else:
            ahead = (count > found) | ((count == found) & ~behind)
            rank.append(np.count_nonzero(ahead))  # Itself included.
    return torch.from_numpy(np.array(rank, dtype=np.int64))


def rank_cooccurrence(index: Index, sessions: Sessions) -> Tensor:
    """Ranks by the sessions that hold both the last click and the item.

    The last click itself counts 0. Each item's counts are made once, when
    all samples that end with it are ranked.
    """
    item = sessions.item.numpy()
    target = sessions.target.numpy()
    rank = np.empty(target.size, dtype=np.int64)
    newest = item[target - 1]
    order = newest.argsort(kind='stable').tolist()
    for last, samples in groupby(order, lambda sample: newest[sample]):
        begin, end = index.sessions_ptr[last : last + 2]
        held, _ = index.items_of(index.sessions[begin:end])
        held = held[held != last]
        owner, kept = index.last(held)
        count = np.bincount(owner, minlength=held.size)[kept]
        for i in samples:
            rank[i] = sparse_rank(
                item[target[i]], held[kept], count, index.num_items
            )
    return torch.from_numpy(rank)


def rank_vsknn(index: Index, sessions: Sessions, options: VSKNN) -> Tensor:
    """Ranks by what the most similar sessions hold.

    Args:
        index: The training sessions.
        sessions: The samples.
        options: Parameters.
    """
    factor = np.ones(index.num_items)
    if options.idf_weighting:
        # Clicks, where the textbook has sessions: as session-rec does.
        idf = np.log(index.num_sessions / np.maximum(1, index.clicks))
        factor += options.idf_weighting * idf
    rank = []
    for clicks, target in prefixes(sessions):
        session, weight = neighbours(index, clicks, options)
        item, count = index.items_of(session)
        owner, kept = index.last(item)
        vote = np.repeat(weight, count)
        score = np.bincount(owner, vote, minlength=item.size)[kept]
        item = item[kept]
        rank.append(
            sparse_rank(target, item, score * factor[item], index.num_items)
        )
    return torch.tensor(rank)


def neighbours(
    index: Index, clicks: np.ndarray, options: VSKNN
) -> Tuple[np.ndarray, np.ndarray]:
    """The most similar sessions, oldest first, and the weight of their votes.

    Of equally similar sessions newer ones are preferred.

    Args:
        index: The training sessions.
        clicks: Items of the current session.
        options: Parameters.
    """
    # An item stands where it was last clicked.
    place = index.last(clicks)[1]
    start = index.sessions_ptr[clicks[place]]
    end = index.sessions_ptr[clicks[place] + 1]
    # A session among the newest of all is among the newest of its item.
    count = np.minimum(end - start, options.sample_size)
    session = index.sessions[_ranges(end - count, count)]
    weight = WEIGHTING[options.weighting](place + 1, clicks.size)
    owner, kept = index.last(session)
    similarity = np.bincount(
        owner, np.repeat(weight, count), minlength=session.size
    )[kept]
    # The last entry of a session is that of its newest shared click.
    step = np.repeat(clicks.size - place, count)[kept]
    session = session[kept]
    chosen = _largest(session, options.sample_size)
    chosen &= similarity > 0
    session, similarity, step = (
        x[chosen] for x in (session, similarity, step)
    )
    if session.size > options.k:
        border = np.partition(similarity, -options.k)[-options.k]
        chosen = similarity > border
        equal = (similarity == border).nonzero()[0]
        room = options.k - np.count_nonzero(chosen)
        chosen[equal[_largest(session[equal], room)]] = True
        session, similarity, step = (
            x[chosen] for x in (session, similarity, step)
        )
    order = session.argsort()
    decay = WEIGHTING_SCORE[options.weighting_score](step)
    return session[order], (similarity * decay)[order]


def _largest(value: np.ndarray, k: int) -> np.ndarray:
    """Which of the distinct values are among the k largest."""
    if value.size <= k:
        return np.ones(value.size, dtype=bool)
    return value >= np.partition(value, -k)[-k]
