"""Times training and evaluation on one GPU, in about five minutes.

Steps of each model take turns with a floor, the products, softmax and Adam
update that no exact step can avoid, and are timed many in a row, as a GPU
works behind the host. An epoch is one of `fit`, with all that it does. Host
waits are what CUDA itself reports of a step. On a CPU all of it runs too, but
for the waits: use a small --size there.
"""

import argparse
import copy
import os
import os.path as osp
import sys
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any, Callable, Dict, Iterator, List, Optional

import torch
from torch.utils.data import Subset

from benchmarks.experiments import options
from benchmarks.experiments.options import positive
from benchmarks.experiments.report import environment
from benchmarks.experiments.results import Table, command, rows, write
from benchmarks.speed.yardsticks import Floor
from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import Diginetica, SessionLog
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.nn.models.session_model import to_device
from pyg_sessaug.registry import find_class
from pyg_sessaug.training import fit
from pyg_sessaug.transforms import NormalizeEdges

MODELS = ['srgnn', 'tagnn', 'srgnn-plus']
# What torch may do with float32 matrices, and the type of the loss.
KINDS = {
    'float32': ('highest', 'float32'),
    'tf32': ('high', 'float32'),
    'bf16': ('highest', 'bf16'),
}
BATCH = CHANNELS = 100
# Diginetica's items and sessions.
SIZE = 43_097, 204_789


def main(argv: Optional[List[str]] = None) -> None:
    args = parse(argv)
    start = time.perf_counter()
    torch.manual_seed(0)
    try:
        data = {x: load(args, x) for x in ('train', 'val', 'test')}
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    device = torch.device(args.device)
    num_items = data['train'].num_items
    batches = draw(data['train'].get_batch, len(data['train']), args.steps)
    steps: List[Dict[str, Any]] = []
    for name in args.models:
        for kind in KINDS:
            with precision(kind):
                row = time_steps(name, kind, num_items, batches, args)
            steps.append(tell(row))
    waits = [
        tell(count_waits(name, num_items, batches, device))
        for name in args.models
        if device.type == 'cuda'
    ]
    epochs = []
    for name in args.epochs:
        for kind in ('float32', 'tf32'):
            with precision(kind):
                epochs.append(tell(time_epoch(name, kind, data, device)))
    evaluations = [
        tell(time_evaluation(name, data['test'], device))
        for name in args.models
    ]
    large = []
    for kind in KINDS:
        with precision(kind):
            large.append(tell(time_large(kind, args)))
    about = device_name(device)
    report = {
        'command': command('speed/gpu.py', argv),
        'about': f'{about}, {num_items:,} items, '
        f'{len(data["train"]):,} training samples, batches of {BATCH}',
        'table': tables(steps, waits, epochs, evaluations, large),
        'environment': {**environment(args.device), 'device': about},
        'dataset': type(data['train']).__name__,
        'seconds': round(time.perf_counter() - start),
        'steps': steps,
        'waits': waits,
        'epochs': epochs,
        'evaluations': evaluations,
        'large': large,
    }
    write(osp.join(args.output, 'gpu.json'), report)


def parse(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = options.parser(__doc__, 'output', output='runs/gpu')
    add = parser.add_argument
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    add('--device', default=device, help='where to compute')
    add('--root', help='folder of Diginetica; a generated log of its size '
                       'without it')  # fmt: skip
    text = 'items and sessions of the generated log'
    add('--size', type=positive, nargs=2, default=SIZE, help=text)
    add('--data', default='runs/data', help='folder of prepared data')
    add('--models', nargs='+', choices=MODELS, default=MODELS)
    add('--epochs', nargs='*', choices=MODELS, default=['srgnn'],
        help='models to train for an epoch')  # fmt: skip
    add('--steps', type=positive, default=50, help='steps in a row')
    add('--rounds', type=positive, default=5, help='turns of these')
    add('--items', type=positive, default=10**6, help='of a large catalogue')
    return parser.parse_args(argv)


def load(args: argparse.Namespace, split: str) -> Any:
    """Diginetica, or a log as large with popular and rare items."""
    if args.root is not None:
        return Diginetica(args.root, split, processed_root=args.data)
    num_items, num_sessions = args.size
    root = osp.join(args.data, f'generated-{num_items}-{num_sessions}')
    path = osp.join(root, 'raw', 'clicks.csv')
    if not osp.exists(path):
        os.makedirs(osp.dirname(path), exist_ok=True)
        length = 2 + torch.empty(num_sessions).geometric_(0.26).long()
        session = torch.repeat_interleave(length)
        weight = 1 / torch.arange(1.0, num_items + 1)
        item = torch.multinomial(weight, session.numel(), replacement=True)
        # Each is there, early enough for training.
        item[:num_items] = torch.randperm(num_items)
        clock = session * 60 + torch.arange(session.numel())
        columns = torch.stack([session, item, clock], dim=1).tolist()
        with open(f'{path}.part', 'w') as f:
            f.write('session_id,item_id,time\n')
            f.writelines(f'{s},{i},{t}\n' for s, i, t in columns)
        os.replace(f'{path}.part', path)
    test = {'min_item_clicks': 1, 'test_ratio': 0.08}
    return SessionLog(root, split, **test)


def draw(build: Callable, num_samples: int, steps: int) -> List[Any]:
    """Batches of random samples on the host."""
    index = torch.randint(num_samples, (steps, BATCH))
    return [NormalizeEdges()(build(row)) for row in index]


@contextmanager
def precision(kind: str) -> Iterator[None]:
    """Lets torch multiply matrices as a kind of step does."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(KINDS[kind][0])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Step:
    """A training step of this package."""

    def __init__(
        self,
        name: str,
        num_items: int,
        kind: str,
        device: torch.device,
    ) -> None:
        cls, self.device = find_class(name), device
        self.model = cls(num_items, CHANNELS, precision=KINDS[kind][1])
        self.model.to(device)
        self.loss: Callable = self.model.loss
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=1e-3, weight_decay=1e-5, fused=True
        )

    def __call__(self, batch: Any) -> None:
        # A copy, as a batch itself would move.
        loss = self.loss(to_device(copy.copy(batch), self.device))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def timed(run: Callable[[], Any], device: torch.device) -> float:
    """Seconds until a device has done it."""
    finish(device)
    start = time.perf_counter()
    run()
    finish(device)
    return time.perf_counter() - start


def finish(device: torch.device) -> None:
    """Waits for all that a device has to do."""
    if device.type != 'cpu':
        getattr(torch, device.type).synchronize()


def turns(
    tasks: Dict[str, Callable[[Any], Any]],
    batches: List[Any],
    args: argparse.Namespace,
) -> Dict[str, float]:
    """Median milliseconds of each task, of many steps in a row."""
    device = torch.device(args.device)
    times: Dict[str, List[float]] = {name: [] for name in tasks}
    for task in tasks.values():  # Warms up.
        for batch in batches[:3]:
            task(batch)
    for _ in range(args.rounds):
        for name, task in tasks.items():
            seconds = timed(partial(list, map(task, batches)), device)
            times[name].append(1e3 * seconds / len(batches))
    return {f'{name}_ms': median(value) for name, value in times.items()}


def time_steps(
    name: str,
    kind: str,
    num_items: int,
    batches: List[Any],
    args: argparse.Namespace,
) -> Dict[str, Any]:
    """A step and its floor."""
    device = torch.device(args.device)
    nodes = sum(batch.num_nodes for batch in batches) // len(batches)
    num_nodes = nodes if name == 'tagnn' else 0
    with device:
        floor = Floor(num_items, BATCH, CHANNELS, KINDS[kind][1], num_nodes)
    if device.type != 'cpu':
        floor.chunk = num_items
    step = Step(name, num_items, kind, device)
    tasks = {'step': step, 'floor': lambda batch: floor.step()}
    times = turns(tasks, batches, args)
    ratio = times['step_ms'] / times['floor_ms']
    return {'model': name, 'kind': kind, **times, 'ratio': ratio}


def count_waits(
    name: str, num_items: int, batches: List[Any], device: torch.device
) -> Dict[str, Any]:
    """Host waits that CUDA reports of a step, by the line of code."""
    step = Step(name, num_items, 'float32', device)
    step(batches[0])
    finish(device)
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            for batch in batches:
                step(batch)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    places = Counter(
        f'{osp.basename(x.filename)}:{x.lineno}'
        for x in caught
        if 'synchroniz' in str(x.message)
    )
    per_step = sum(places.values()) / len(batches)
    return {'model': name, 'per_step': per_step, 'places': dict(places)}


def time_epoch(
    name: str, kind: str, data: Dict[str, Any], device: torch.device
) -> Dict[str, Any]:
    """An epoch of `fit`, validated on some samples."""
    model = find_class(name)(data['train'].num_items, CHANNELS)
    model.to(device)
    val = Subset(data['val'], range(min(1000, len(data['val']))))
    (entry,) = fit(
        model, data['train'], val, epochs=1, schedule='steps', progress=False
    )
    count = len(data['train'])
    return {
        'model': name,
        'kind': kind,
        'seconds': entry['seconds'],
        'samples_per_second': count / entry['seconds'],
    }


def time_evaluation(
    name: str, test: Any, device: torch.device
) -> Dict[str, Any]:
    """Ranks of all test samples."""
    model = find_class(name)(test.num_items, CHANNELS).to(device)
    rank_samples(model, Subset(test, range(min(500, len(test)))))
    seconds = timed(partial(rank_samples, model, test), device)
    count = len(test)
    return {'model': name, 'samples': count, 'seconds': seconds}


def time_large(kind: str, args: argparse.Namespace) -> Dict[str, Any]:
    """A step of SRGNN over a large catalogue."""
    device = torch.device(args.device)
    length = torch.full((2000,), 5)
    item = torch.randint(args.items, (int(length.sum()),))
    sessions = Sessions.from_lengths(item, length)
    build = SessionGraphs(sessions).batch
    batches = draw(build, sessions.num_samples, args.steps)
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    exact = Step('srgnn', args.items, kind, device)
    times = turns({'exact': exact}, batches, args)
    peak = None
    if device.type == 'cuda':
        peak = torch.cuda.max_memory_allocated() / 2**30
    return {'items': args.items, 'kind': kind, **times, 'gib': peak}


def tell(row: Dict[str, Any]) -> Dict[str, Any]:
    """Prints a row as it comes, and keeps four digits."""
    short = {
        k: float(f'{v:.4g}') if isinstance(v, float) else v
        for k, v in row.items()
    }
    print(short, flush=True)
    return short


def device_name(device: torch.device) -> str:
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'{device.type} of {environment(device.type)["cpu"]}'


def tables(
    steps: List[Dict[str, Any]],
    waits: List[Dict[str, Any]],
    epochs: List[Dict[str, Any]],
    evaluations: List[Dict[str, Any]],
    large: List[Dict[str, Any]],
) -> Dict[str, Table]:
    model, kind = ('model', '{model}'), ('products', '{kind}')
    count = ('samples', '{samples:,}')
    memory = [('GiB', '{gib:.1f}')] if large[0]['gib'] else []
    made = {
        'steps': rows(steps, [
            model, kind, ('step, ms', '{step_ms:.2f}'),
            ('floor, ms', '{floor_ms:.2f}'), ('step / floor', '{ratio:.2f}'),
        ]),
        'waits': rows(waits, [model, ('host waits a step', '{per_step:.2f}')]),
        'epochs': rows(epochs, [
            model, kind, ('s', '{seconds:.1f}'),
            ('samples a second', '{samples_per_second:,.0f}'),
        ]),
        'evaluation': rows(
            evaluations, [model, count, ('s', '{seconds:.1f}')]
        ),
        'large': rows(large, [
            ('items', '{items:,}'), kind, ('exact, ms', '{exact_ms:.2f}'),
            *memory,
        ]),
    }  # fmt: skip
    return {name: table for name, table in made.items() if len(table) > 1}


if __name__ == '__main__':
    main()
