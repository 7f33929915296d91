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
import time
from importlib.metadata import version
from statistics import median
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch_geometric.data import Batch

from benchmarks.experiments import options
from benchmarks.experiments.datasets import load
from benchmarks.experiments.options import positive
from benchmarks.experiments.report import environment
from benchmarks.experiments.results import command, rows, write
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
Step = Callable[[Any], None]


def main(argv: Optional[List[str]] = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    root = args.root or osp.join('data', args.dataset)
    folder = osp.join(args.output, 'data')
    train = load(args.dataset, root, 'train', processed_root=folder)
    steps: Dict[Tuple[str, str], Step] = {}
    for name in args.models:
        model = find_class(name).from_dataset(train, CHANNELS)
        steps['ours', name] = ours(model, train)
        steps['RecBole', name] = theirs(name, model)
    seconds = turns(steps, train, args)
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


def ours(model: Any, train: Any) -> Step:
    """A step of a model of this package on samples."""
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    normalize = NormalizeEdges()

    def step(index: Tensor) -> None:
        loss = model.loss(normalize(train.get_batch(index)))
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def theirs(name: str, own: Any) -> Step:
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
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(batch: Dict[str, Tensor]) -> None:
        loss = model.calculate_loss(batch)
        adam.zero_grad()
        loss.backward()
        adam.step()

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


def turns(
    steps: Dict[Tuple[str, str], Step], data: Any, args: argparse.Namespace
) -> Dict[Tuple[str, str], List[float]]:
    """Seconds of the processor that each takes for the same samples."""
    seconds: Dict[Tuple[str, str], List[float]] = {x: [] for x in steps}
    names, warm = list(steps), 2
    samples = torch.randperm(len(data))[: args.batch * (args.rounds + warm)]
    for i, index in enumerate(samples.split(args.batch)):
        given = {'ours': index, 'RecBole': padded(data.get_batch(index))}
        for j in torch.randperm(len(names)).tolist():
            start = time.process_time()
            steps[names[j]](given[names[j][0]])
            if i >= warm:
                seconds[names[j]].append(time.process_time() - start)
    return seconds


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = options.parser(
        __doc__, 'dataset root seed threads output', dataset='diginetica',
        threads=1, output='runs/speed',
    )  # fmt: skip
    add = parser.add_argument
    add('--models', nargs='+', choices=THEIRS, default=list(THEIRS))
    add('--batch', type=positive, default=100, help='samples of a batch')
    add('--rounds', type=positive, default=40, help='batches of each')
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
