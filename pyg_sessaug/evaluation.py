r"""Evaluation of session models."""

from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Optional,
    Sequence,
    Union,
)

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch

from pyg_sessaug.data.ids import check_ids
from pyg_sessaug.data.progress import progress_bar
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.metrics import (
    list_metrics,
    ranking_metrics,
    target_rank,
    top_items,
)
from pyg_sessaug.nn.interface import Ranker, check_interface, device_of
from pyg_sessaug.nn.models.session_model import to_device
from pyg_sessaug.transforms.at_test import ScoredGraphs

# Evaluation holds the scores of so many session-item pairs at a time.
MAX_SCORES = 2**25

# Or of so many clicks, as many for each session as the longest has.
MAX_CLICKS = 2**14


def batch_size_of(model: Ranker) -> int:
    r"""How many sessions are scored at once, bounded by memory."""
    return max(1, min(128, MAX_SCORES // model.num_items))


def split_sessions(length: Sequence[int], batch_size: int) -> List[range]:
    r"""Cuts a row of sessions into batches, bounded by clicks: a session has
    no more nodes or edges.

    Args:
        length (list of int): Clicks of each session.
        batch_size (int): Sessions of a batch at most.
    """
    batches: List[range] = []
    start = longest = 0
    for i, size in enumerate(length):
        longest = max(longest, size)
        # Some models pad all sessions to the longest.
        clicks = (i + 1 - start) * longest
        if i > start and (i - start == batch_size or clicks > MAX_CLICKS):
            batches.append(range(start, i))
            start, longest = i, size
    if len(length) > 0:
        batches.append(range(start, len(length)))
    return batches


def rank_samples(
    model: Any,
    dataset: Any,
    batch_size: Optional[int] = None,
    progress: bool = True,
) -> Tensor:
    r"""Rank of every sample's target among all items, on plain graphs or
    those of the model's :obj:`test_transform`.

    Args:
        model (SessionModel or pyg_sessaug.Recommender): The model, or
            whatever has :obj:`num_items` and :meth:`score`; moved to no other
            device. The ids of a recommender must be those of the data.
        dataset (SessionDataset or Subset): The samples; their own transform
            is not used.
        batch_size (int, optional): Samples scored at once.
            (default: :obj:`None`, bounded by memory and catalogue size)
        progress (bool): Whether a terminal shows a bar where it takes over
            five seconds. (default: :obj:`True`)
    """
    model = _scorer(model, dataset)

    def ranks(batch: Batch) -> Tensor:
        return target_rank(model.score(batch), batch.y)

    return run_batches(model, ranks, dataset, batch_size, progress)


def _scorer(model: Any, dataset: Any) -> Any:
    r"""The model, of a recommender its own, once its ids are the data's."""
    if not hasattr(model, 'score') and hasattr(model, 'item_ids'):
        check_ids(model.item_ids, SessionLoader(dataset).item_ids)
        model = model.model
    check_interface(model, 'num_items', 'score')
    return model


def session_vectors(
    model: Ranker,
    dataset: Any,
    batch_size: int = 500,
    progress: bool = True,
) -> Tensor:
    r"""Session vector of every sample, ``[num_samples, d]``, on the CPU.

    Args:
        model (SessionModel): The model.
        dataset (SessionDataset or Subset): The samples.
        batch_size (int): Samples at once. (default: :obj:`500`)
        progress (bool): Whether a terminal shows a bar where it takes over
            five seconds. (default: :obj:`True`)
    """
    run: Any = model
    return run_batches(model, run, dataset, batch_size, progress)


@torch.no_grad()
def run_batches(
    model: Ranker,
    run: Callable[[Batch], Tensor],
    dataset: Any,
    batch_size: Optional[int],
    progress: bool = True,
) -> Tensor:
    r"""Runs a function of a model, in evaluation mode, on plain graphs or
    those of its :obj:`test_transform`.

    Args:
        model (SessionModel): The model, or whatever has :obj:`num_items` and
            :meth:`score`; moved to no other device.
        run (callable): Takes a batch on the device of the model and returns
            any number of rows, ``[n, ...]``.
        dataset (SessionDataset or Subset): The samples; their own transform
            is not used.
        batch_size (int, optional): Samples at once; fewer if they are long.
            :obj:`None` is bounded by memory and catalogue size.
        progress (bool): Whether a terminal shows a bar where it takes over
            five seconds. (default: :obj:`True`)

    Returns:
        Tensor: The rows of all batches, one after another, on the CPU.
    """
    if len(dataset) == 0:
        raise ValueError('cannot evaluate on a data set without samples')
    if batch_size is None:
        batch_size = batch_size_of(model)
    device = device_of(model)
    network = model if isinstance(model, torch.nn.Module) else None
    modules = [] if network is None else list(network.modules())
    modes = [(module, module.training) for module in modules]
    samples = SessionLoader(dataset)
    check_items(model, samples)
    loader = SessionLoader(
        dataset,
        batch_sampler=split_sessions(samples.num_clicks.tolist(), batch_size),
        transform=ScoredGraphs(model),
    )
    bar = progress_bar(loader, 'evaluate', progress)
    if network is not None:
        network.eval()
    try:
        parts = (run(to_device(batch, device)) for batch in bar)
        return _concatenate(parts, len(dataset))
    finally:
        for module, training in modes:
            module.training = training


def _concatenate(parts: Iterable[Tensor], expected: int) -> Tensor:
    r"""Joins rows on the CPU as they come, :obj:`expected` of them or any
    other number.
    """
    # A list of small results would keep the memory of all scores: each lies
    # where those of its batch were freed, and leaves too little room there
    # for those of the next.
    rows, count = torch.empty(0), 0
    for part in parts:
        end = count + part.size(0)
        if count == 0:
            size = max(end, expected)
            rows = part.new_empty((size, *part.shape[1:]), device='cpu')
        elif end > rows.size(0):
            rows = torch.cat([rows, rows.new_empty(rows.size())])
        rows[count:end] = part
        count = end
    return rows[:count]


def check_items(model: Ranker, loader: SessionLoader) -> None:
    r"""Raises if the data has items that the model does not know.

    Args:
        model (SessionModel): The model.
        loader (SessionLoader): The data.
    """
    if loader.num_items > model.num_items:
        raise ValueError(
            f'the data has {loader.num_items} items, but the '
            f'{type(model).__name__} was made for {model.num_items}; make it '
            f'with num_items={loader.num_items}'
        )


def evaluate(
    model: Any,
    dataset: Any,
    k: Union[int, Sequence[int]] = 20,
    batch_size: Optional[int] = None,
    progress: bool = True,
) -> Dict[str, float]:
    r"""Hit rate, mean reciprocal rank and NDCG over the full catalogue, and
    how much of it the lists cover, with items how popular.

    Graphs are plain whatever transform the data set has, but for what the
    model was trained with that says :obj:`at_test = True`: it keeps that as
    its :obj:`test_transform`. Equal scores rank the lower item index first.

    Args:
        model (SessionModel or Recommender): The model, alone or with its
            ids, which then must be those of the data.
        dataset (SessionDataset or Subset): The samples.
        k (int or list): Length of the recommendation list, or several.
            (default: :obj:`20`)
        batch_size (int, optional): Samples scored at once.
            (default: :obj:`None`, bounded by memory and catalogue size)
        progress (bool): Whether a terminal shows a bar where it takes over
            five seconds. (default: :obj:`True`)

    Returns:
        dict: ``HR@k`` (the papers' P@k), ``MRR@k`` and ``NDCG@k`` for each,
        in [0, 1], see :func:`~pyg_sessaug.metrics.ranking_metrics`;
        ``Coverage@k``, the share of all items that are in a list, and
        ``Popularity@k``, the mean number of clicks in the training split of
        the items in the lists, see
        :func:`~pyg_sessaug.metrics.list_metrics`.

    Raises:
        ValueError: If a score is not finite, there is no sample, :obj:`k`
            is not positive, the data has items beyond the model's, or other
            ones than the recommender.
    """
    ranking_metrics(torch.ones(1), k)  # Refuses lengths before the work.
    model = _scorer(model, dataset)
    lengths = [k] if isinstance(k, int) else list(k)
    exposure = {
        length: torch.zeros(model.num_items, dtype=torch.long)
        for length in lengths
    }

    def ranks(batch: Batch) -> Tensor:
        score = model.score(batch)
        rank = target_rank(score, batch.y)
        best = top_items(score, max(lengths))[1].cpu()
        for length, lists in exposure.items():
            item = best[:, :length].flatten()
            lists.index_add_(0, item, torch.ones_like(item))
        return rank

    rank = run_batches(model, ranks, dataset, batch_size, progress)
    popularity = SessionLoader(dataset).popularity
    popularity = F.pad(popularity, (0, model.num_items - popularity.numel()))
    metrics = ranking_metrics(rank, lengths)
    metrics.update(list_metrics(exposure, popularity))
    return metrics
