"""Times the parts of a training step against dense code and a floor.

Everything of one model and precision is timed in one process and in turn, so
that the ratios hold on a busy machine too. ``dense`` is a plain version of
the papers' code, ``floor`` the products, softmax and Adam update that no
exact step can avoid.
"""

import argparse
import os
import sys
import time
from collections import defaultdict
from functools import partial
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch_geometric.transforms import Compose

from benchmarks.experiments import options
from benchmarks.experiments.report import environment
from benchmarks.experiments.results import Table, command, rows, write
from benchmarks.speed.memory import alone, held_mb, peak_mb
from benchmarks.speed.yardsticks import (
    DenseModel,
    Floor,
    dense_batch,
    prefixes,
)
from pyg_sessaug.clusters import ItemClusters
from pyg_sessaug.counts import CoVisits
from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import Diginetica, MultimodalSessions
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.nn.loss.catalogue import is_bf16_native
from pyg_sessaug.registry import MODELS, find_class
from pyg_sessaug.transforms import (
    ClusterDistance,
    CovisitContext,
    CovisitWeight,
    GaussianBlur,
    ItemDistance,
    NormalizeEdges,
)

PARTS = ['graphs', 'transform', 'forward', 'backward', 'optimizer', 'step']
BATCH = 100
CHANNELS = 100
SIZES = [10**3, 10**4, 10**5, 10**6]


def clock(timings: Dict[str, List[float]], part: str, run: Callable) -> Any:
    start = time.perf_counter()
    out = run()
    timings[part].append(1e3 * (time.perf_counter() - start))
    return out


class Step:
    """A training step of this package, part by part."""

    def __init__(self, model: str, num_items: int, precision: str) -> None:
        self.model = find_class(model)(
            num_items, CHANNELS, precision=precision
        )
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=1e-3, weight_decay=1e-5, fused=True
        )

    def __call__(
        self,
        build: Callable,
        transform: Callable,
        timings: Optional[Dict[str, List[float]]] = None,
        name: str = 'step',
    ) -> None:
        timings = defaultdict(list) if timings is None else timings
        parts: Dict[str, List[float]] = defaultdict(list)
        batch = clock(parts, 'graphs', build)
        batch = clock(parts, 'transform', lambda: transform(batch))
        loss = clock(parts, 'forward', lambda: self.model.loss(batch))
        self.optimizer.zero_grad()
        clock(parts, 'backward', loss.backward)
        clock(parts, 'optimizer', self.optimizer.step)
        timings[name].append(sum(value[0] for value in parts.values()))
        if name == 'step':
            for part, value in parts.items():
                timings[part] += value


def methods(dataset: Any) -> Dict[str, Callable]:
    """The training transform of every method, on random embeddings."""
    num_items, categories = dataset.num_items, dataset.categories
    embedding = torch.randn(num_items, CHANNELS)
    if categories is None:
        categories = torch.randint(995, (num_items,))
    labels = torch.randint(8, (num_items,))
    clusters = ItemClusters.from_categories(embedding, labels)
    by_category = ItemClusters.from_categories(embedding, categories)
    weights = {
        'blur': [],
        'i2i': [ItemDistance(embedding)],
        'clusters': [ClusterDistance(clusters)],
        'category': [ClusterDistance(by_category)],
    }
    covisits = CoVisits(num_items).fit(dataset)
    covisits.cross_fit()
    news = {
        'covisit weight': CovisitWeight(covisits),
        'covisit context': CovisitContext(covisits),
    }
    return {
        **{
            name: Compose([*weight, NormalizeEdges(), GaussianBlur()])
            for name, weight in weights.items()
        },
        **{k: Compose([x, NormalizeEdges()]) for k, x in news.items()},
    }


def time_steps(
    dataset: Any, name: str, precision: str, args: argparse.Namespace
) -> Dict[str, float]:
    """Medians in milliseconds of all parts and yardsticks."""
    torch.manual_seed(0)
    steps = args.steps if name == 'srgnn' else args.tagnn_steps
    samples = torch.randperm(len(dataset))[: BATCH * (steps + 3)]
    batches = samples.split(BATCH)
    num_nodes = sum(dataset.graphs.batch(i).num_nodes for i in batches)
    num_nodes //= len(batches)

    step = Step(name, dataset.num_items, precision)
    dense = DenseModel(dataset.num_items, CHANNELS, tagnn=name == 'tagnn')
    dense_adam = torch.optim.Adam(dense.parameters(), weight_decay=1e-5)
    nodes = num_nodes if name == 'tagnn' else 0
    floor = Floor(dataset.num_items, BATCH, CHANNELS, precision, nodes)
    augment = methods(dataset) if name == 'srgnn' else {}
    plain = NormalizeEdges()
    timings: Dict[str, List[float]] = defaultdict(list)
    dense_every = 1 if name == 'srgnn' else steps
    for i, index in enumerate(batches):
        now = timings if i >= 3 else defaultdict(list)  # Three warm up.
        build = partial(dataset.get_batch, index)
        tasks = [
            partial(step, build, plain, now),
            partial(clock, now, 'floor', floor.step),
        ]
        tasks += [
            partial(step, build, transform, now, f'step, {method}')
            for method, transform in augment.items()
        ]
        if precision == 'float32' and i % dense_every == 2 % dense_every:
            batch = dense_batch(*prefixes(dataset, index))
            where = timings if name == 'tagnn' else now
            task = partial(dense.step, batch, dense_adam)
            tasks.append(partial(clock, where, 'dense', task))
        # What ran before leaves its traces in the caches.
        for j in torch.randperm(len(tasks)).tolist():
            tasks[j]()
    return {part: median(value) for part, value in timings.items()}


def step_memory(
    name: str, precision: str, threads: int, make_data: Callable
) -> Dict[str, Any]:
    """Memory of training steps above model and optimizer."""
    torch.set_num_threads(threads)
    num_items, num_samples, build = make_data()
    step = Step(name, num_items, precision)
    for p in step.model.parameters():
        p.grad = torch.zeros_like(p)
    step.optimizer.step()  # Makes the optimizer's state.
    step.optimizer.zero_grad()
    before = held_mb()
    for index in torch.randperm(num_samples)[: 8 * BATCH].split(BATCH):
        step(partial(build, index), NormalizeEdges())
    peak = {'peak_mb': peak_mb() - before, 'process_mb': peak_mb()}
    row = {'model': name, 'precision': precision, 'num_items': num_items}
    return {**row, **{key: round(value) for key, value in peak.items()}}


def real_data(root: Optional[str]) -> Tuple[int, int, Callable]:
    dataset = load(root)
    return dataset.num_items, len(dataset), dataset.get_batch


def random_data(num_items: int) -> Tuple[int, int, Callable]:
    """Graphs of random sessions over a catalogue of any size."""
    length = torch.full((2000,), 5)
    item = torch.randint(num_items, (int(length.sum()),))
    sessions = Sessions.from_lengths(item, length)
    return num_items, sessions.num_samples, SessionGraphs(sessions).batch


def time_sizes(precision: str, steps: int) -> Dict[int, float]:
    """Median step of SRGNN by size of the catalogue."""
    out = {}
    for num_items in SIZES:
        _, _, build = random_data(num_items)
        step = Step('srgnn', num_items, precision)
        timings: Dict[str, List[float]] = defaultdict(list)
        for i in range(steps + 2):
            index = torch.arange(BATCH) + i * BATCH
            step(partial(build, index), NormalizeEdges(), timings)
        out[num_items] = median(timings['step'][2:])
    return out


def load(
    root: Optional[str], split: str = 'train', folder: str = 'runs/data'
) -> Any:
    if root is None:
        size = {'num_items': 43097, 'num_sessions': 200000}
        return MultimodalSessions(folder, split, **size)
    return Diginetica(root, split, processed_root=folder)


def records(
    name: str, precision: str, timing: Dict[str, float]
) -> List[Dict[str, Any]]:
    floor, dense = timing['floor'], timing.get('dense')
    kind = {'model': name, 'precision': precision}
    return [
        {
            **kind,
            'part': part,
            'median_ms': round(value, 3),
            'ratio_to_floor': round(value / floor, 3),
            'ratio_to_dense': dense and round(value / dense, 5),
        }
        for part, value in timing.items()
    ]


def ratio(value: Optional[float]) -> str:
    return '' if value is None else f'{value:.3f}'


def tables(
    timed: List[Dict[str, Any]],
    memory: List[Dict[str, Any]],
    sizes: Dict[str, Dict[int, float]],
) -> Dict[str, Table]:
    """Parts of a step, its memory, and a step of SRGNN by catalogue."""
    cells = [('model', '{model}'), ('precision', '{precision}')]
    parts = [('part', '{part}'), ('ms', '{median_ms:,.2f}')]
    for yardstick in ('floor', 'dense'):
        key = f'ratio_to_{yardstick}'
        parts.append((f'/ {yardstick}', lambda x, key=key: ratio(x[key])))
    peaks = [
        ('items', '{num_items:,}'),
        ('MB of steps', '{peak_mb}'),
        ('whole process', '{process_mb}'),
    ]
    steps = [['items', *(f'ms, {precision}' for precision in sizes)]]
    for num_items in next(iter(sizes.values()), {}):
        times = [f'{row[num_items]:.2f}' for row in sizes.values()]
        steps.append([f'{int(num_items):,}', *times])
    return {
        'parts': rows(timed, [*cells, *parts]),
        'memory': rows(memory, [*cells, *peaks]),
        'sizes': steps,
    }


def parse(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = options.parser(
        __doc__, 'threads output', threads=2, output='runs/speed'
    )
    add, precisions = parser.add_argument, ['bf16', 'float32']
    add('--root', help='folder of Diginetica; a generated catalogue of the '
                       'same size without it')  # fmt: skip
    add('--models', nargs='+', choices=MODELS, default=['srgnn', 'tagnn'])
    add('--precisions', nargs='+', choices=precisions, default=precisions)
    add('--steps', type=int, default=40, help='timed steps of SRGNN')
    add('--tagnn-steps', type=int, default=12, help='timed steps of TAGNN')
    add('--eval-samples', type=int,
        help='test samples to evaluate; all of them without it')  # fmt: skip
    return parser.parse_args(argv)


def main(argv: Optional[List[str]] = None) -> None:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    try:
        dataset, test = load(args.root), load(args.root, 'test')
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    if args.eval_samples is not None:
        test = test[: args.eval_samples]
    precisions = list(args.precisions)
    if 'bf16' in precisions and not is_bf16_native():
        print('bf16 skipped: this processor does not multiply bfloat16')
        precisions.remove('bf16')
    timed: List[Dict[str, Any]] = []
    memory: List[Dict[str, Any]] = []
    dense: Dict[str, float] = {}
    for name in args.models:
        # float32 first: it times the dense yardstick for both.
        for precision in sorted(precisions, reverse=True):
            timing = time_steps(dataset, name, precision, args)
            dense.setdefault(name, timing.get('dense', 0.0))
            if dense[name]:
                timing['dense'] = dense[name]
            timed += records(name, precision, timing)
            data = partial(real_data, args.root)
            used = alone(step_memory, name, precision, args.threads, data)
            memory.append(used)
            step, floor = timing['step'], timing['floor']
            print(f'{name}, {precision}: step {step:.1f} ms, floor '
                  f'{floor:.1f} ms', flush=True)  # fmt: skip
        begin = time.perf_counter()
        model = find_class(name)(dataset.num_items, CHANNELS)
        rank_samples(model, test, progress=True)
        evaluation = 1e3 * (time.perf_counter() - begin)
        row = {'model': name, 'precision': 'float32', 'part': 'evaluation'}
        row['median_ms'] = round(evaluation, 1)
        none = dict.fromkeys(('ratio_to_floor', 'ratio_to_dense'))
        timed.append({**row, **none, 'samples': len(test)})
    sizes = {p: time_sizes(p, 8) for p in precisions}
    data = partial(random_data, SIZES[-1])
    memory.append(alone(step_memory, 'srgnn', 'float32', args.threads, data))
    surroundings = environment('cpu')
    report = {
        'command': command('speed/speed.py', argv),
        'about': f'{dataset.num_items:,} items, batches of {BATCH}, '
        f'{args.threads} thread(s), {surroundings["cpu"]}',
        'table': tables(timed, memory, sizes),
        'environment': surroundings,
        'dataset': type(dataset).__name__,
        'num_items': dataset.num_items,
        **{'batch_size': BATCH, 'channels': CHANNELS, 'layers': 2},
        **{x: vars(args)[x] for x in ('threads', 'steps', 'tagnn_steps')},
        'seconds': round(time.perf_counter() - start),
        'records': timed,
        'memory': memory,
        'step_ms_by_items': sizes,
    }
    write(os.path.join(args.output, 'speed.json'), report)


if __name__ == '__main__':
    main()
