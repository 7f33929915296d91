"""Times training steps by the size of the batch and of the catalogue.

What is compared takes turns in one process, and time is that of the
processor, so that ratios hold on a busy machine too. ``floor`` is the
products, softmax and Adam update that no exact step can avoid; ``layers`` is
what a model does before, graphs included, forward and backward. A sampled step
compares the sessions of a batch with some items, and touches only the rows
that it looks up. The largest catalogue is trained in a process of its own, by
`fit` with all that it does, for its memory.
"""

import argparse
import os
import os.path as osp
import sys
import time
from functools import partial
from statistics import median
from typing import Any, Callable, Dict, List, Optional

import torch
from torch.utils.data import Subset

from benchmarks.experiments import options
from benchmarks.experiments.options import positive
from benchmarks.experiments.report import environment
from benchmarks.experiments.results import Table, command, rows, write
from benchmarks.speed.memory import alone, peak_mb
from benchmarks.speed.speed import load, random_data
from benchmarks.speed.yardsticks import Floor
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.nn import SRGNN, Negatives
from pyg_sessaug.nn.loss import catalogue
from pyg_sessaug.nn.loss.catalogue import is_bf16_native
from pyg_sessaug.registry import find_class
from pyg_sessaug.training import fit
from pyg_sessaug.training.sampled import row_adam
from pyg_sessaug.transforms import NormalizeEdges

BATCH = CHANNELS = 100
COSINES = {'scale': 12.0, 'dropout': 0.2}
BATCHES = [100, 200, 400, 800]


class Step:
    """A training step, from the numbers of its samples.

    Args:
        build: Makes the graphs of samples.
        num_items: Size of the catalogue.
        num_negatives: Items to compare with; all of them without it.
        model: Name of the model.
        **kwargs: Its arguments.
    """

    def __init__(
        self,
        build: Callable,
        num_items: int,
        num_negatives: Optional[int] = None,
        model: str = 'srgnn',
        **kwargs: Any,
    ) -> None:
        self.build, self.transform = build, NormalizeEdges()
        self.model = find_class(model)(num_items, CHANNELS, **kwargs)
        self.loss: Callable = self.model.loss
        if num_negatives is None:
            self.optimizer = torch.optim.Adam(
                self.model.parameters(), weight_decay=1e-5, fused=True
            )
        else:
            negatives = Negatives(torch.ones(num_items), num_negatives)
            self.loss = partial(self.model.sampled_loss, negatives=negatives)
            self.optimizer = row_adam(self.model, 1e-3, 1e-5)

    def __call__(self, index: torch.Tensor) -> None:
        loss = self.loss(self.transform(self.build(index)))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def layers(self, index: torch.Tensor) -> None:
        """What makes session vectors out of those of the items."""
        data = self.model.prepare(self.transform(self.build(index)))
        x = torch.randn(self.model.items(data).numel(), CHANNELS)
        self.model.session(x.requires_grad_(), data).sum().backward()
        for p in self.model.parameters():
            p.grad = None


def turns(
    tasks: Dict[str, Callable[[torch.Tensor], Any]],
    batches: Dict[str, List[torch.Tensor]],
    rounds: int,
) -> Dict[str, float]:
    """Median milliseconds of each task, of some steps in a row."""
    times: Dict[str, List[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            start = time.process_time()
            for index in batches[name]:
                task(index)
            spent = 1e3 * (time.process_time() - start) / len(batches[name])
            if turn > 0:  # The first warms up.
                times[name].append(spent)
    return {name: median(value) for name, value in times.items()}


def draw(num_samples: int, steps: int, size: int) -> List[torch.Tensor]:
    return list(torch.randint(num_samples, (steps, size)))


def time_batches(data: Any, args: argparse.Namespace) -> List[Dict[str, Any]]:
    """An exact step a sample, by the size of the batch."""
    build, num_items = data.get_batch, data.num_items
    step = Step(build, num_items)

    def again(index: torch.Tensor) -> None:
        kept, catalogue.CACHE_BYTES = catalogue.CACHE_BYTES, 0
        step(index)
        catalogue.CACHE_BYTES = kept

    tasks: Dict[str, Callable] = {}
    batches = {}
    for size in BATCHES:
        steps = max(args.steps * BATCH // size, 1)
        for name, task in (('kept', step), ('again', again)):
            tasks[f'{name} {size}'] = task
            batches[f'{name} {size}'] = draw(len(data), steps, size)
    times = turns(tasks, batches, args.rounds)
    sample = {x: times[x] / int(x.split()[1]) for x in times}
    base = sample[f'kept {BATCH}']
    return [
        {
            'batch': size,
            'sample_ms': sample[f'kept {size}'],
            'ratio': sample[f'kept {size}'] / base,
            'again_ratio': sample[f'again {size}'] / base,
        }
        for size in BATCHES
    ]


def time_floors(data: Any, args: argparse.Namespace) -> List[Dict[str, Any]]:
    """Exact steps and their floors."""
    kinds: List[Any] = [
        ('srgnn', 'float32', {}),
        ('srgnn', 'float32', COSINES),
        ('srgnn', 'bf16', {}),
        ('srgnn', 'bf16', COSINES),
        ('tagnn', 'float32', {}),
        ('tagnn', 'bf16', {}),
    ]
    found = []
    for model, precision, kwargs in kinds:
        if precision == 'bf16' and not is_bf16_native():
            continue
        index = draw(len(data), args.steps, BATCH)
        nodes = 0
        if model == 'tagnn':
            index = index[: -(-args.steps // 4)]
            nodes = sum(data.get_batch(x).num_nodes for x in index)
            nodes //= len(index)
        floor = Floor(data.num_items, BATCH, CHANNELS, precision, nodes)
        step = Step(
            *(data.get_batch, data.num_items, None, model),
            precision=precision,
            **kwargs,
        )
        tasks = {
            'step': step,
            'layers': step.layers,
            'floor': lambda index, floor=floor: floor.step(),
        }
        times = turns(tasks, dict.fromkeys(tasks, index), args.rounds)
        row = {
            'model': model + ', cosines and dropout' * bool(kwargs),
            'precision': precision,
            'step_ms': times['step'],
            'layers_ms': times['layers'],
            'floor_ms': times['floor'],
            'ratio': times['step'] / times['floor'],
            'both': times['step'] / (times['floor'] + times['layers']),
        }
        found.append(tell(row))
    return found


def time_sampled(
    num_items: int, num_samples: int, build: Callable, args: Any
) -> Dict[str, Any]:
    """A sampled step beside an exact one."""
    tasks = {
        'exact': Step(build, num_items),
        'sampled': Step(build, num_items, args.negatives),
    }
    # In a row, the exact steps leave less of the other's in the caches.
    index = draw(num_samples, args.steps, BATCH)
    times = turns(tasks, dict.fromkeys(tasks, index), args.rounds)
    return tell(
        {
            'items': num_items,
            'exact_ms': times['exact'],
            'sampled_ms': times['sampled'],
            'times': times['exact'] / times['sampled'],
        }
    )


class RandomSessions(SessionDataset):
    """Sessions of ten clicks, of any items of a catalogue of any size."""

    def __init__(self, root: str, split: str, num_items: int) -> None:
        self.size = num_items
        super().__init__(root, split)

    @property
    def settings(self) -> Dict[str, Any]:
        return {**super().settings, 'num_items': self.size}

    def prepare(self) -> Dict[str, Any]:
        torch.manual_seed(0)
        return {
            **{
                split: Sessions.from_lengths(
                    torch.randint(self.size, (10 * count,)),
                    torch.full((count,), 10),
                )
                for split, count in (('train', 20_000), ('test', 10))
            },
            'item_ids': torch.arange(self.size),
            'categories': None,
        }


def train_large(
    folder: str, num_items: int, channels: int, args: argparse.Namespace
) -> Dict[str, Any]:
    """Memory of `fit` on a sample of a large catalogue."""
    torch.set_num_threads(args.threads)
    train, val = (
        RandomSessions(folder, split, num_items) for split in ('train', 'val')
    )
    count = min(20 * args.steps * BATCH, len(train))
    train, val = Subset(train, range(count)), Subset(val, range(100))
    model = SRGNN(num_items, channels)
    start = time.process_time()
    fit(
        *(model, train, val),
        epochs=1,
        loss='sampled',
        num_negatives=args.negatives,
        schedule='steps',
        progress=False,
    )
    return tell(
        {
            'items': num_items,
            'channels': channels,
            'steps': -(-count // BATCH),
            'table_gib': 4 * num_items * channels / 2**30,
            'gib': peak_mb() / 1024,
            'seconds': time.process_time() - start,
        }
    )


def tell(row: Dict[str, Any]) -> Dict[str, Any]:
    """Prints a row as it comes, and keeps four digits."""
    short = {
        k: float(f'{v:.4g}') if isinstance(v, float) else v
        for k, v in row.items()
    }
    print(short, flush=True)
    return short


def tables(report: Dict[str, Any]) -> Dict[str, Table]:
    return {
        'batches': rows(report['batches'], [
            ('batch', '{batch}'), ('ms a sample', '{sample_ms:.3f}'),
            (f'/ batch {BATCH}', '{ratio:.2f}'),
            ('computed again', '{again_ratio:.2f}'),
        ]),
        'floors': rows(report['floors'], [
            ('model', '{model}'), ('products', '{precision}'),
            ('step, ms', '{step_ms:.1f}'), ('floor, ms', '{floor_ms:.1f}'),
            ('layers, ms', '{layers_ms:.1f}'),
            ('step / floor', '{ratio:.2f}'),
            ('/ floor and layers', '{both:.2f}'),
        ]),
        'sampled': rows(report['sampled'], [
            ('items', '{items:,}'), ('exact, ms', '{exact_ms:,.1f}'),
            ('sampled, ms', '{sampled_ms:.1f}'),
            ('exact / sampled', '{times:.1f}'),
        ]),
        'memory': rows(report['memory'], [
            ('items', '{items:,}'), ('channels', '{channels}'),
            ('GiB of the table', '{table_gib:.2f}'),
            ('GiB of the process', '{gib:.2f}'),
        ]),
    }  # fmt: skip


def parse(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = options.parser(
        __doc__, 'threads output', threads=1, output='runs/catalogue'
    )
    add = parser.add_argument
    add('--root', help='folder of Diginetica; a generated catalogue of the '
                       'same size without it')  # fmt: skip
    add('--data', default='runs/data', help='folder of prepared data')
    add('--steps', type=positive, default=8, help='steps in a row')
    add('--rounds', type=positive, default=9, help='turns of these')
    add('--negatives', type=positive, default=2048, help='items of a step')
    add('--items', type=positive, default=10**6, help='of a large catalogue')
    text = 'items and channels of the one trained for its memory'
    add('--largest', type=positive, nargs=2, default=[10**7, 64], help=text)
    add('--beside', default='nothing', help='what else the machine does')
    return parser.parse_args(argv)


def main(argv: Optional[List[str]] = None) -> None:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    start = time.perf_counter()
    try:
        data = load(args.root, folder=args.data)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    batches = [tell(row) for row in time_batches(data, args)]
    floors = time_floors(data, args)
    sampled = [
        time_sampled(data.num_items, len(data), data.get_batch, args),
        time_sampled(*random_data(args.items), args),
    ]
    folder = osp.join(args.data, 'random')
    memory = [alone(train_large, folder, *args.largest, args)]
    surroundings = environment('cpu')
    report = {
        'command': command('speed/catalogue.py', argv),
        'about': f'{data.num_items:,} items, batches of {BATCH}, '
        f'{args.negatives:,} negatives, {args.threads} thread(s) of '
        f'{surroundings["cpu"]}; beside it ran {args.beside}',
        'environment': surroundings,
        'dataset': type(data).__name__,
        'cpus': os.cpu_count(),
        'load': round(os.getloadavg()[0], 1),
        'seconds': round(time.perf_counter() - start),
        'batches': batches,
        'floors': floors,
        'sampled': sampled,
        'memory': memory,
    }
    made = {'table': tables(report), **report}
    write(osp.join(args.output, 'catalogue.json'), made)


if __name__ == '__main__':
    main()
