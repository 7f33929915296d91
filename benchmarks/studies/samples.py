"""Which test samples are shown, and of what categories they are."""

import argparse
from typing import Any, Dict, Tuple

import torch
from torch import Tensor

from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.options import natural, positive
from pyg_sessaug.comparison import per_session
from pyg_sessaug.datasets import SessionDataset


def draw_samples(dataset: SessionDataset, size: int) -> Tensor:
    """Samples of different sessions, drawn at random, in ascending order.

    Prefixes of one session are so alike that they would be each other's
    nearest points on a map.

    Args:
        dataset: The data set.
        size: How many to draw; all sessions if there are fewer.
    """
    session = per_session(dataset)
    order = torch.randperm(len(dataset))
    # The first sample of each session in a random order of samples:
    first = torch.full((int(session.max()) + 1,), len(dataset))
    first.scatter_reduce_(
        0, session[order], torch.arange(len(dataset)), 'amin'
    )
    chosen = order[first[torch.randperm(first.numel())[:size]]]
    return chosen.sort()[0]


def neighbor_share(
    vectors: Tensor, label: Tensor, k: int = 10
) -> Tuple[float, float]:
    """How often the nearest vectors have the same label.

    Args:
        vectors: ``[N, d]``.
        label: ``[N]``, int64 or bool.
        k: Number of nearest vectors.

    Returns:
        (float, float): The mean share, and what it would be if the labels
        were dealt at random.
    """
    same = []
    for i, part in enumerate(vectors.split(1024)):
        distance = torch.cdist(part, vectors)
        own = torch.arange(len(part))
        distance[own, own + 1024 * i] = torch.inf
        near = distance.topk(k, largest=False)[1]
        own_label = label[1024 * i : 1024 * i + len(part)]
        same.append(label[near] == own_label.unsqueeze(1))
    count = torch.bincount(label.long()).double()
    n = label.numel()
    chance = (count * (count - 1)).sum() / (n * (n - 1))
    return float(torch.cat(same).double().mean()), float(chance)


def several_categories(dataset: SessionDataset) -> Dict[str, Tensor]:
    """Whether each sample is of several categories, ``[num_samples]`` bool.

    The thesis does not say which clicks of a session count, so there are
    three readings: those that the model sees, those and the next, or the
    whole session. Clicks of unknown category do not count.

    Args:
        dataset: A data set with categories.
    """
    if dataset.categories is None:
        raise ValueError(
            f'{type(dataset).__name__} has no item categories in '
            f'{dataset.root}; choose a data set that has them'
        )
    sessions = dataset.flat_sessions
    category = dataset.categories[sessions.item]
    click = torch.arange(sessions.num_clicks)
    session, known = sessions.session_of(click), category >= 0
    # The first click of known category of each session:
    first = torch.full((sessions.num_sessions,), sessions.num_clicks)
    first.scatter_reduce_(0, session[known], click[known], 'amin')
    first.clamp_(max=sessions.num_clicks - 1)
    other = known & (category != category[first[session]])
    others = other.long().cumsum(0)
    before = (others - other.long())[sessions.ptr[:-1]]
    target = sessions.target
    session = session[target]
    end = sessions.ptr[1:][session] - 1
    return {
        'clicks seen': others[target - 1] > before[session],
        'with the next click': others[target] > before[session],
        'whole session': others[end] > before[session],
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which session to look at."""
    add = parser.add_argument
    add('--sample', type=natural, help='test sample; drawn without it')
    add('--clicks', type=positive, default=10, help='clicks of a drawn one')
    add('--items', type=positive, default=7, help='different items of it')


def choose(args: argparse.Namespace, runs: Experiment) -> int:
    """The sample asked for, or one like that of section 7.3.1.

    It is drawn among the test samples of as many clicks and items as asked
    for, all seen in training and of one category where these are known,
    whose target both the base and ``i2i`` recommend.
    """
    test = runs.data['test']
    if args.sample is not None:
        if args.sample >= len(test):
            raise ValueError(
                f'--sample {args.sample} is beyond the {len(test):,} test '
                f'samples; choose one from 0 to {len(test) - 1}'
            )
        return int(args.sample)
    sessions = test.flat_sessions
    start = sessions.ptr[sessions.session_of(sessions.target)]
    clicks = sessions.target - start
    fit = clicks == args.clicks
    index = fit.nonzero().view(-1)
    if index.numel() > 0:
        fit[index] = test.graphs.batch(index).ptr.diff() == args.items
    for name in ('base', 'i2i'):
        rank = runs.run(args.seed, parse_method(name))['rank']
        fit &= rank <= 20
    found = [
        index
        for index in fit.nonzero().view(-1).tolist()
        if _is_known(test, clicks_and_target(test, index))
    ]
    if not found:
        raise ValueError(
            f'no test sample of {args.clicks} clicks on {args.items} items '
            f'seen in training has its target recommended by both base and '
            f'i2i; change --clicks and --items, or choose one by --sample'
        )
    generator = torch.Generator().manual_seed(args.seed)
    return found[int(torch.randint(len(found), (1,), generator=generator))]


def clicks_and_target(test: SessionDataset, index: int) -> Tensor:
    """Items clicked in a sample and its target behind them."""
    sessions = test.flat_sessions
    end = sessions.target[index]
    start = sessions.ptr[sessions.session_of(end)]
    return sessions.item[start : end + 1]


def describe(test: SessionDataset, index: int) -> Dict[str, Any]:
    """A sample in raw ids; nodes are numbered from 1 by first click."""
    item = clicks_and_target(test, index)
    data = test.get(index)
    ids = test.item_ids.tolist()
    return {
        'sample': index,
        'clicks': (data.click_index + 1).tolist(),
        'items': [ids[i] for i in data.x.tolist()],
        'target': ids[int(item[-1])],
    }


def _is_known(test: SessionDataset, item: Tensor) -> bool:
    known = bool(test.seen_items[item].all())
    if test.categories is not None:
        known &= test.categories[item].unique().numel() == 1
    return known
