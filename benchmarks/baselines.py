"""Ranks test samples by counting alone: what every model should beat."""

import argparse
import os.path as osp
import sys
import tempfile
import time
from typing import Any, Dict, List, Optional, Type

import torch
from torch import Tensor

from benchmarks.experiments.datasets import DATASETS, load
from benchmarks.experiments.report import environment
from benchmarks.experiments.results import Table, command, write
from benchmarks.run import fraction, positive
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
                load(
                    args.dataset,
                    args.root,
                    split,
                    args.fraction,
                    folder,
                    val_ratio=args.val_ratio,
                )
                for split in ('train', 'test')
            )
        rows = []
        for name in args.models:
            rows.append({'model': name, **measure(MODELS[name], train, test)})
            print(rows[-1], flush=True)
        hidden = ('output', 'root')
        report = {
            'command': command('baselines.py', argv),
            'about': args.dataset,
            'table': table(rows),
            'settings': {
                key: value
                for key, value in vars(args).items()
                if key not in hidden
            },
            'environment': environment('cpu'),
            'train_sessions': train.sessions,
            'test_samples': len(test),
            'raw_sha256': train.raw_sha256,
            'rows': rows,
        }
        write(args.output, report)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    add = parser.add_argument
    add('--dataset', choices=DATASETS, default='multimodal')
    add(
        '--root',
        help='folder with the raw files in raw/, only read if they '
        'are there (default: data/DATASET)',
    )
    add(
        '--fraction',
        type=fraction,
        default=1.0,
        help='newest share of the training sessions to keep (default: 1)',
    )
    add(
        '--val-ratio',
        type=float,
        default=0.0,
        help='share of them left out, as models leave it out for validation '
        '(default: 0, as published figures have it)',
    )
    add(
        '--models',
        nargs='+',
        choices=MODELS,
        default=list(MODELS),
        help='(default: all)',
    )
    add('--threads', type=positive, default=1, help='of torch (default: 1)')
    add(
        '--output',
        help='file to write (default: runs/counts-DATASET.json)',
    )
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


def table(rows: List[Dict[str, Any]]) -> Table:
    head = ['model', 'HR@20 (%)', 'MRR@20 (%)', 'fitted in (CPU s)']
    lines = [[*head, 'all samples ranked in (CPU s)', 'one session (CPU ms)']]
    for row in rows:
        values = [f'{row[key]:.2f}' for key in ('HR@20', 'MRR@20')]
        keys = ('fit_seconds', 'test_seconds', 'session_ms')
        lines.append([row['model'], *values, *(f'{row[k]:.1f}' for k in keys)])
    return lines


if __name__ == '__main__':
    main()
