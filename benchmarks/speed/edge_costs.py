"""Times training steps and scored batches of SRGNN with edges that carry
news, against plain ones.

All take turns in one process, in a new order each time, and their processor
time is told by what the plain ones take beside them, so that a busy machine
decides nothing. Neighbours of the training samples are found before, which
takes minutes, and kept beside the data; their shuffled control is left out,
since it looks the same lists up. Times of clicks are drawn where the data set
has none.
"""

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
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.nn.loss.catalogue import choose_precision
from pyg_sessaug.registry import AUGMENTATIONS
from pyg_sessaug.training.augmentations import (
    BOUNDS,
    Source,
    training_transform,
)

PLAIN = 'none', False
CASES = [
    PLAIN,
    ('covisit-weight', False),
    ('covisit-weight', True),
    ('covisit-context', False),
    ('covisit-context', True),
    ('neighbor-context', False),
    ('time-buckets', False),
    ('time-buckets', True),
]


def main(argv: Optional[List[str]] = None) -> None:
    args = parser(__doc__).parse_args(argv)
    train, test = begin(args, 'train', 'test')
    trained, scored = cases(train, args.seed)
    found = {
        'step': turns(on_graphs(trained, train), train, args),
        'score': turns(on_graphs(scored, test), test, args),
    }
    base = {part: values[PLAIN] for part, values in found.items()}
    records = []
    for name, shuffled in CASES:
        row: Dict[str, Any] = {'edges': name, 'shuffled': shuffled}
        for part, values in found.items():
            mine, plain = values[name, shuffled], base[part]
            ratio = [a / b for a, b in zip(mine, plain)]
            row |= {f'{part}_ms': 1e3 * median(mine), part: median(ratio)}
        records.append(row)
    cells: List[Tuple[str, Any]] = [
        ('edges', lambda x: x['edges'] + ', shuffled' * x['shuffled']),
        ('a training step (ms)', '{step_ms:.0f}'),
        ('/ plain', '{step:.2f}'),
        ('a scored batch (ms)', '{score_ms:.0f}'),
        ('/ plain', '{score:.2f}'),
    ]
    surroundings = environment('cpu')
    report = {
        'command': command('speed/edge_costs.py', argv),
        'about': f'{args.dataset}, {train.num_items:,} items, batches of '
        f'{args.batch}, {args.threads} thread(s), {surroundings["cpu"]}',
        'table': rows(records, cells),
        'environment': surroundings,
        'precision': choose_precision('auto', 'cpu'),
        'rounds': args.rounds,
        'batch': args.batch,
        'ratios': {
            x['edges'] + '-shuffled' * x['shuffled']: x for x in records
        },
    }
    write(osp.join(args.output, 'edge_costs.json'), report)


def cases(
    train: Any, seed: int
) -> Tuple[Dict[Tuple[str, bool], Run], Dict[Tuple[str, bool], Run]]:
    """What trains on a batch and what scores it, by transform and control."""
    precision = choose_precision('auto', 'cpu')
    models = {
        channels: SRGNN(
            train.num_items, 100, num_channels=channels, precision=precision
        )
        for channels in (None, len(BOUNDS) + 1)
    }
    steps = {k: adam_step(x) for k, x in models.items()}
    trained: Dict[Tuple[str, bool], Run] = {}
    scored: Dict[Tuple[str, bool], Run] = {}
    for name, shuffled in CASES:
        given = {name: {'shuffled': True} if shuffled else {}}
        augmentation = AUGMENTATIONS[name]
        weights = Source(train, seed=seed, options=given).weights(augmentation)
        transform = training_transform(augmentation, weights)
        if hasattr(weights, 'set_epoch'):
            weights.set_epoch(0)
        channels = len(BOUNDS) + 1 if name == 'time-buckets' else None
        model, learn = models[channels], steps[channels]

        def step(
            batch: Batch,
            transform: Any = transform,
            model: Any = model,
            learn: Any = learn,
        ) -> None:
            learn(model.loss(transform(batch)))

        @torch.no_grad()
        def score(
            batch: Batch, transform: Any = transform, model: Any = model
        ) -> None:
            model.score(transform(batch))

        trained[name, shuffled], scored[name, shuffled] = step, score
    return trained, scored


if __name__ == '__main__':
    main()
