"""The one session that is looked at closely."""

import argparse
from typing import Any, Dict

import torch
from torch import Tensor

from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.options import natural, positive
from pyg_sessaug.datasets import SessionDataset


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
    items = test.graphs.nodes_at[sessions.target - 1]
    fit = (clicks == args.clicks) & (items == args.items)
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
