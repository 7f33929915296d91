"""Ranks test samples by counting alone: what every model should beat."""

import argparse
import os.path as osp
import sys
import tempfile
import time
from typing import Any, Dict, List, Optional, Type

import torch
from torch import Tensor

from benchmarks.experiments import options
from benchmarks.experiments.datasets import load
from benchmarks.experiments.report import environment
from benchmarks.experiments.results import Table, command, rows, write
from pyg_sessaug.counts import VSKNN, CoVisits
from pyg_sessaug.counts.session_counts import SessionCounts, SessionNodes
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.metrics import ranking_metrics, target_rank

DESCRIPTION = """\
Counts the training sessions and ranks all items for each test sample: by
clicks (pop), by clicks in the session before those (spop), by the sessions
that hold the item and the last click (cooccurrence), and by the models of
pyg_sessaug.counts with their defaults.
"""
# Samples ranked at once; sessions timed one by one.
BATCH, SINGLE = 128, 500
# Options that are no settings:
HIDDEN = ('output', 'root')


class Popular(SessionCounts):
    """Most clicked in training first."""

    def _count(self) -> None:
        self.clicks = torch.bincount(self.item, minlength=self.num_items)

    def _add_scores(self, score: Tensor, nodes: SessionNodes) -> None:
        score.view(-1, self.num_items).add_(self.clicks)


class PopularInSession(Popular):
    """Most clicked in the session first, then in training."""

    def _add_scores(self, score: Tensor, nodes: SessionNodes) -> None:
        super()._add_scores(score, nodes)
        more = int(self.clicks.max()) + 1
        count = torch.bincount(nodes.node)
        score[nodes.graph * self.num_items + nodes.item] += more * count


class Cooccurrence(VSKNN):
    """Most sessions with the last click first; the last click itself last.

    All sessions that hold the last click vote, with one vote each.
    """

    def __init__(self, num_items: int) -> None:
        super().__init__(num_items, 2**40, 2**40, 'same', 'same', 0.0)

    def _add_scores(self, score: Tensor, nodes: SessionNodes) -> None:
        node = nodes.node[nodes.ago == 0]
        last, graph = nodes.item[node], nodes.graph[node]
        one = torch.ones_like(graph)
        nodes = SessionNodes(last, graph, graph, 0 * one, one, nodes.session)
        super()._add_scores(score, nodes)
        score[graph * self.num_items + last] = 0


MODELS: Dict[str, Type[SessionCounts]] = {
    'pop': Popular,
    'spop': PopularInSession,
    'cooccurrence': Cooccurrence,
    'CoVisits': CoVisits,
    'VSKNN': VSKNN,
}


def main(argv: Optional[List[str]] = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            train, test = (
                load(args.dataset, args.root, split, args.fraction, folder,
                     val_ratio=args.val_ratio)
                for split in ('train', 'test')
            )  # fmt: skip
        found = []
        for name in args.models:
            found.append({'model': name, **measure(MODELS[name], train, test)})
            print(found[-1], flush=True)
        settings = {k: v for k, v in vars(args).items() if k not in HIDDEN}
        report = {
            'command': command('baselines.py', argv),
            'about': args.dataset,
            'table': table(found),
            'settings': settings,
            'environment': environment('cpu'),
            'train_sessions': train.sessions,
            'test_samples': len(test),
            'raw_sha256': train.raw_sha256,
            'rows': found,
        }
        write(args.output, report)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    shared = 'dataset root fraction threads output'
    parser = options.parser(
        DESCRIPTION, shared, dataset='multimodal', threads=1
    )
    add = parser.add_argument
    add('--val-ratio', type=float, default=0.0,
        help='share of them left out, as models leave it out for validation; '
             'published figures have none')  # fmt: skip
    add('--models', nargs='+', choices=MODELS, default=list(MODELS))
    args = parser.parse_args(argv)
    args.root = args.root or osp.join('data', args.dataset)
    args.output = args.output or f'runs/counts-{args.dataset}.json'
    return args


def measure(
    cls: Type[SessionCounts], train: SessionDataset, test: SessionDataset
) -> Dict[str, Any]:
    """Settings, metrics in percent and CPU seconds of a model."""
    start = time.process_time()
    model = cls(train.num_items).fit(train)
    fit_seconds = time.process_time() - start
    test.graphs  # noqa: B018 - made once, and not by the first batch.

    start = time.process_time()
    ranks = []
    for index in torch.arange(len(test)).split(BATCH):
        batch = test.get_batch(index)
        ranks.append(target_rank(model.score(batch), batch.y))
    test_seconds = time.process_time() - start

    single = torch.linspace(0, len(test) - 1, SINGLE).long().split(1)
    start = time.process_time()
    for index in single:
        model.score(test.get_batch(index))
    session_ms = 1000 * (time.process_time() - start) / SINGLE
    metrics = ranking_metrics(torch.cat(ranks))
    return {
        'settings': model.extra_repr(),
        **{key: 100 * value for key, value in metrics.items()},
        'fit_seconds': fit_seconds,
        'test_seconds': test_seconds,
        'session_ms': session_ms,
    }


def table(found: List[Dict[str, Any]]) -> Table:
    cells = [
        ('model', '{model}'),
        ('HR@20 (%)', '{HR@20:.2f}'),
        ('MRR@20 (%)', '{MRR@20:.2f}'),
        ('fitted in (CPU s)', '{fit_seconds:.1f}'),
        ('all samples ranked in (CPU s)', '{test_seconds:.1f}'),
        ('one session (CPU ms)', '{session_ms:.1f}'),
    ]
    return rows(found, cells)


if __name__ == '__main__':
    main()
