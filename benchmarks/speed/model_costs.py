"""Times training steps and scored batches of all models, against SRGNN.

All take turns in one process, in a new order each time, and their processor
time is told by what SRGNN takes beside them, so that a busy machine decides
nothing. Models with a context look their neighbours up, which are found
before; that takes minutes, and is kept beside the data.
"""

import argparse
import os.path as osp
from statistics import median
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch_geometric.data import Batch

from benchmarks.experiments.report import environment
from benchmarks.experiments.results import command, rows, write
from benchmarks.speed.turns import (
    Run,
    adam_step,
    begin,
    on_graphs,
    parser,
    turns,
)
from pyg_sessaug.nn.loss.catalogue import choose_precision
from pyg_sessaug.registry import MODELS, find_class
from pyg_sessaug.transforms import NormalizeEdges

PLAIN = 'srgnn'
CONTEXT = '-context'


def main(argv: Optional[List[str]] = None) -> None:
    args = parse_args(argv)
    train, test = begin(args, 'train', 'test')
    precision = choose_precision(args.precision, 'cpu')
    trained: Dict[str, Run] = {}
    scored: Dict[str, Run] = {}
    for name in dict.fromkeys([PLAIN, *args.models]):
        trained[name], scored[name] = runs(name, train, precision)
    step = turns(on_graphs(trained, train), train, args)
    score = turns(on_graphs(scored, test), test, args)
    records = []
    for name in trained:
        row: Dict[str, Any] = {'model': name}
        for part, found in (('step', step), ('score', score)):
            ratio = [a / b for a, b in zip(found[name], found[PLAIN])]
            row[f'{part}_ms'] = 1e3 * median(found[name])
            row[part] = median(ratio)
        records.append(row)
    cells: List[Tuple[str, Any]] = [
        ('model', '{model}'),
        ('a training step (ms)', '{step_ms:.0f}'),
        (f'/ {PLAIN}', '{step:.2f}'),
        ('a scored batch (ms)', '{score_ms:.0f}'),
        (f'/ {PLAIN}', '{score:.2f}'),
    ]
    surroundings = environment('cpu')
    report = {
        'command': command('speed/model_costs.py', argv),
        'about': f'{args.dataset}, {train.num_items:,} items, batches of '
        f'{args.batch}, {precision}, {args.threads} thread(s), '
        f'{surroundings["cpu"]}',
        'table': rows(records, cells),
        'environment': surroundings,
        'precision': precision,
        'rounds': args.rounds,
        'batch': args.batch,
        'ratios': {x['model']: x for x in records},
    }
    write(osp.join(args.output, 'model_costs.json'), report)


def runs(name: str, train: Any, precision: str) -> Tuple[Run, Run]:
    """What trains a model on a batch, and what scores the batch."""
    given = {'context': 20} if name.endswith(CONTEXT) else {}
    cls = find_class(name.removesuffix(CONTEXT))
    model = cls.from_dataset(train, 100, precision=precision, **given)
    learn = adam_step(model)
    normalize = NormalizeEdges()

    def step(batch: Batch) -> None:
        model.train()
        learn(model.loss(normalize(batch)))

    @torch.no_grad()
    def score(batch: Batch) -> None:
        model.eval().score(normalize(batch))

    return step, score


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    made = parser(__doc__)
    add = made.add_argument
    names = [*MODELS, *(f'{x}{CONTEXT}' for x in (PLAIN, 'srgnn-plus'))]
    add('--models', nargs='+', choices=names, default=names, metavar='MODEL',
        help='beside srgnn')  # fmt: skip
    add('--precision', choices=['auto', 'float32', 'bf16'], default='auto')
    return made.parse_args(argv)


if __name__ == '__main__':
    main()
