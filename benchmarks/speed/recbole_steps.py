"""Times training steps of models that RecBole has, too.

The same samples, sizes and number of layers, in float32: RecBole's models by
its own properties, on sessions padded to 50 clicks, as its loader yields
them, and Adam as in its trainer; those of this package on graphs that each
step builds. All take turns in one process, in a new order each time, and
their processor time is told by what the other takes beside them. Needs
`pip install recbole`.
"""

import argparse
import os.path as osp
from importlib.metadata import version
from statistics import median
from types import SimpleNamespace
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch_geometric.data import Batch

from benchmarks.experiments.report import environment
from benchmarks.experiments.results import command, rows, write
from benchmarks.speed.turns import Run, adam_step, begin, parser, turns
from pyg_sessaug.registry import find_class
from pyg_sessaug.transforms import NormalizeEdges

LENGTH, CHANNELS = 50, 100
# Names there, and which number of layers there is which one here.
THEIRS = {
    'srgnn': ('SRGNN', {'step': 'num_layers'}),
    'gcsan': ('GCSAN', {'step': 'num_layers', 'n_layers': 'num_blocks'}),
    'sasrec': ('SASRec', {'n_layers': 'num_layers'}),
    'gru4rec': ('GRU4Rec', {'num_layers': 'num_layers'}),
    'core': ('CORE', {'n_layers': 'num_layers'}),
}


def main(argv: Optional[List[str]] = None) -> None:
    args = parse_args(argv)
    (train,) = begin(args, 'train')
    steps: Dict[Tuple[str, str], Run] = {}
    for name in args.models:
        model = find_class(name).from_dataset(train, CHANNELS)
        steps['ours', name] = ours(model, train)
        steps['RecBole', name] = theirs(name, model)

    def both(index: Tensor) -> Tuple[Tensor, Dict[str, Tensor]]:
        return index, padded(train.get_batch(index))

    seconds = turns(steps, train, args, both)
    records = []
    for name in args.models:
        mine, other = (seconds[x, name] for x in ('ours', 'RecBole'))
        ratio = median(b / a for a, b in zip(mine, other))
        ms = {'ours': 1e3 * median(mine), 'recbole': 1e3 * median(other)}
        records.append({'model': name, **ms, 'ratio': ratio})
    surroundings = environment('cpu')
    report = {
        'command': command('speed/recbole_steps.py', argv),
        'about': f'{args.dataset}, {train.num_items:,} items, batches of '
        f'{args.batch}, float32, {args.threads} thread(s), '
        f'{surroundings["cpu"]}; RecBole {version("recbole")}',
        'table': rows(
            records,
            [
                ('model', '{model}'),
                ('RecBole / ours', '{ratio:.1f}'),
                ('a step of RecBole (ms)', '{recbole:.0f}'),
                ('a step of ours (ms)', '{ours:.0f}'),
            ],
        ),
        'environment': surroundings,
        'rounds': args.rounds,
        'records': records,
    }
    write(osp.join(args.output, 'recbole_steps.json'), report)


def ours(model: Any, train: Any) -> Run:
    """A step of a model of this package on samples."""
    learn, normalize = adam_step(model), NormalizeEdges()

    def step(given: Tuple[Tensor, Any]) -> None:
        learn(model.loss(normalize(train.get_batch(given[0]))))

    return step


def theirs(name: str, own: Any) -> Run:
    """A step of RecBole's model, with the layers of our own, on padded
    sessions, whose item 0 is none.
    """
    try:
        import recbole
        import yaml
        from recbole.utils import get_model
    except ImportError as error:
        raise SystemExit(f'{error}; pip install recbole') from error
    known, layers = THEIRS[name]
    path = osp.join(
        osp.dirname(recbole.__file__), 'properties', 'model', f'{known}.yaml'
    )
    with open(path) as f:
        config = yaml.safe_load(f)
    # YAML reads 1e-12 as a text.
    config = {k: as_number(v) for k, v in config.items()}
    config.update(
        {'embedding_size': CHANNELS, 'hidden_size': CHANNELS},
        **{k: getattr(own, v) for k, v in layers.items()},
        device=torch.device('cpu'), USER_ID_FIELD='user',
        ITEM_ID_FIELD='item', LIST_SUFFIX='_list',
        ITEM_LIST_LENGTH_FIELD='length', NEG_PREFIX='neg_',
        MAX_ITEM_LIST_LENGTH=LENGTH,
    )  # fmt: skip
    data = SimpleNamespace(
        num=lambda field: own.num_items + 1, field2seqlen={'item_list': LENGTH}
    )
    model = get_model(known)(config, data).train()
    learn = adam_step(model, fused=False)

    def step(given: Tuple[Any, Dict[str, Tensor]]) -> None:
        learn(model.calculate_loss(given[1]))

    return step


def as_number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def padded(batch: Batch) -> Dict[str, Tensor]:
    """The newest clicks of each session as RecBole's loader yields them."""
    item = batch.x[batch.click_index] + 1
    graph = batch.batch[batch.click_index]
    parts = item.split(torch.bincount(graph).tolist())
    parts = [x[-LENGTH:] for x in parts]
    length = torch.tensor([x.numel() for x in parts])
    clicks = pad_sequence([*parts, item.new_zeros(LENGTH)], batch_first=True)
    return {'item_list': clicks[:-1], 'length': length, 'item': batch.y + 1}


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument(
        '--models', nargs='+', choices=THEIRS, default=list(THEIRS)
    )
    return made.parse_args(argv)


if __name__ == '__main__':
    main()
