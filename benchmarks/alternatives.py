"""Times what the package could use instead of what it uses.

Losses, sums over nodes and sessions with and without torch-scatter, a
compiled training step, and the kinds of Adam. Whatever is compared runs in
one process on the same batches, in random order on each, so that the ratios
hold on a busy machine too.
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional

import torch
from _losses import losses, with_gradients
from _report import environment, markdown
from _sums import (
    SUMS,
    bag_messages,
    segment_messages,
    segment_readout,
    torch_scatter,
)
from _yardsticks import Floor
from speed import BATCH, CHANNELS, Step, load, methods
from torch import Tensor
from torch_geometric.data import Data

from pyg_sessaug.nn import SRGNN
from pyg_sessaug.nn.loss.catalogue import is_bf16_native
from pyg_sessaug.transforms import NormalizeEdges

PARTS = ['losses', 'sums', 'steps', 'compile', 'adam']
WARM_UP = 3
COMPILE_WARM_UP = 8
Timings = Dict[str, List[float]]


def race(runs: Dict[str, Callable], inputs: Iterable[tuple]) -> Timings:
    """Milliseconds of every run on every input, in random order on each."""
    timings: Timings = {name: [] for name in runs}
    names = list(runs)
    for arguments in inputs:
        for i in torch.randperm(len(names)).tolist():
            start = time.perf_counter()
            runs[names[i]](*arguments)
            timings[names[i]].append(1e3 * (time.perf_counter() - start))
    return {name: value[WARM_UP:] for name, value in timings.items()}


def summary(comparison: str, timings: Timings) -> List[Dict[str, Any]]:
    """Medians, and ratios to the first run, input by input."""
    first = torch.tensor(next(iter(timings.values())))
    rows = []
    for name, value in timings.items():
        ratio = torch.tensor(value) / first
        low, middle, high = ratio.quantile(torch.tensor([0.25, 0.5, 0.75]))
        rows.append(
            {
                'comparison': comparison,
                'variant': name,
                'median_ms': round(float(torch.tensor(value).median()), 4),
                'ratio': round(float(middle), 3),
                'quartiles': [round(float(low), 3), round(float(high), 3)],
            }
        )
    return rows


# Losses ####################################################################


def time_losses(dataset: Any, batches: List[Data], precision: str) -> Timings:
    model = SRGNN(dataset.num_items, CHANNELS)
    floor = Floor(dataset.num_items, BATCH, CHANNELS, precision)
    runs: Dict[str, Callable] = {
        'products and softmax alone': lambda *_: floor.products()
    }
    for name, loss in losses(precision).items():
        runs[name] = with_gradients(loss)
    return race(
        runs,
        (
            (model(b).detach().requires_grad_(), model.item_embedding, b.y)
            for b in batches
        ),
    )


# Sums ######################################################################


def run_sum(name: str, runs: Dict[str, Callable], x: Tensor) -> None:
    """Runs one of the sums, and backwards where the package trains it."""
    out = runs[name](x)
    if x.requires_grad:
        torch.autograd.grad(out, x, torch.ones_like(out))


def time_sums(place: Callable, batches: List[Data]) -> Timings:
    names = list(place(batches[0])[0])
    runs = {name: partial(run_sum, name) for name in names}
    return race(runs, map(place, batches))


# Training steps ############################################################


def use_sums(
    model: SRGNN, message_sum: Callable, readout_sum: Optional[Callable]
) -> None:
    """Makes a model sum by other functions."""
    model.conv.propagate = message_sum
    if readout_sum is not None:
        model.readout.reduce = readout_sum


def race_steps(
    dataset: Any,
    samples: List[Tensor],
    transform: Callable,
    steps: Dict[str, Step],
) -> Timings:
    """Times steps from sample numbers to the update."""
    runs: Dict[str, Callable] = {
        name: lambda index, step=step: step(
            partial(dataset.get_batch, index), transform
        )
        for name, step in steps.items()
    }
    return race(runs, ((index,) for index in samples))


def time_steps(
    dataset: Any, samples: List[Tensor], precision: str, transform: Callable
) -> Timings:
    """Training steps of SRGNN by how they sum."""
    sums: Dict[str, tuple] = {'embedding_bag (torch)': (bag_messages, None)}
    if torch_scatter is not None:
        sums['segment_csr (torch-scatter)'] = segment_messages, segment_readout
    steps = {
        name: Step('srgnn', dataset.num_items, precision)
        for name in ['as it is', *sums]
    }
    for name, functions in sums.items():
        use_sums(steps[name].model, *functions)
    return race_steps(dataset, samples, transform, steps)


def time_compiled(
    dataset: Any, samples: List[Tensor], precision: str
) -> List[Dict[str, Any]]:
    """A step, eager and compiled, and what compiling took."""
    from torch._dynamo.utils import counters
    from torch._inductor.utils import fresh_inductor_cache

    torch._dynamo.reset()
    counters.clear()
    steps = {
        name: Step('srgnn', dataset.num_items, precision)
        for name in ('eager', 'compiled')
    }
    model = steps['compiled'].model
    model.encode = torch.compile(model.encode, dynamic=True)
    run = partial(race_steps, dataset, transform=NormalizeEdges())
    early, late = samples[:COMPILE_WARM_UP], samples[COMPILE_WARM_UP:]
    with fresh_inductor_cache():  # Else earlier kernels shorten the warm-up.
        start = time.perf_counter()
        run(early, steps={'compiled': steps['compiled']})
        seconds = time.perf_counter() - start
        graphs = counters['stats']['unique_graphs']
        timings = run(late, steps=steps)
    rows = summary(f'step, {precision}, compiled', timings)
    rows[-1] |= {
        'warm_up_seconds': round(seconds, 1),
        'graphs': graphs,
        'graph_breaks': sum(counters['graph_break'].values()),
        'recompilations': counters['stats']['unique_graphs'] - graphs,
    }
    return rows


def time_adam(num_items: int, rounds: int) -> Timings:
    """Updates of the item table."""

    def make(**kwargs: bool) -> Callable[[], Any]:
        table = torch.nn.Parameter(torch.randn(num_items, CHANNELS))
        table.grad = 1e-3 * torch.randn_like(table)
        return torch.optim.Adam([table], weight_decay=1e-5, **kwargs).step

    runs = {
        'fused': make(fused=True),
        'default': make(),
        'foreach': make(foreach=True),
    }
    return race(runs, [()] * rounds)


# Report ####################################################################


def measure(
    dataset: Any, parts: List[str], precisions: List[str], rounds: int
) -> List[Dict[str, Any]]:
    """Rows of all comparisons."""
    torch.manual_seed(0)
    rounds += WARM_UP
    samples = torch.randperm(len(dataset))
    samples = list(samples[: BATCH * (rounds + COMPILE_WARM_UP)].split(BATCH))
    augment = methods(dataset.num_items, dataset.categories)['i2i']
    transforms = {'plain': NormalizeEdges(), 'i2i and blur': augment}
    rows: List[Dict[str, Any]] = []
    for name, transform in transforms.items():
        batches = [
            transform(dataset.get_batch(index)) for index in samples[:rounds]
        ]
        if 'losses' in parts and name == 'plain':
            for precision in precisions:
                timings = time_losses(dataset, batches, precision)
                rows += summary(f'loss, {precision}', timings)
        if 'sums' in parts:
            for place, make in SUMS.items():
                timings = time_sums(make, batches)
                rows += summary(f'{place}, {name}', timings)
        if 'steps' in parts:
            for precision in precisions:
                timings = time_steps(
                    dataset, samples[:rounds], precision, transform
                )
                rows += summary(f'step, {precision}, {name}', timings)
    if 'compile' in parts:
        for precision in precisions:
            rows += time_compiled(dataset, samples, precision)
    if 'adam' in parts:
        timings = time_adam(dataset.num_items, rounds)
        rows += summary('Adam on the item table', timings)
    return rows


def table(report: Dict[str, Any]) -> str:
    """All comparisons as Markdown."""
    parts = []
    rows = report['alternatives']
    for name in dict.fromkeys(row['comparison'] for row in rows):
        lines = [[name, 'ms', 'ratio', 'middle half of the ratios']]
        notes = []
        for row in rows:
            if row['comparison'] != name:
                continue
            low, high = row['quartiles']
            lines.append(
                [
                    row['variant'],
                    f'{row["median_ms"]:.3f}',
                    f'{row["ratio"]:.2f}',
                    f'{low:.2f} to {high:.2f}',
                ]
            )
            if 'warm_up_seconds' in row:
                notes.append(
                    f'\n\nWarm-up {row["warm_up_seconds"]:.0f} s, '
                    f'{row["graphs"]} graphs, {row["graph_breaks"]} graph '
                    f'breaks, {row["recompilations"]} recompilations after '
                    f'it.'
                )
        parts.append(markdown(lines) + ''.join(notes))
    return '\n\n'.join(parts) + '\n'


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        '--root',
        help='folder of Diginetica; a generated catalogue of the '
        'same size without it',
    )
    add('--parts', nargs='+', choices=PARTS, default=PARTS)
    add('--rounds', type=int, default=40, help='timed batches')
    add('--threads', type=int, default=2, help='threads of torch')
    add('--output', default='runs/alternatives', help='folder for results')
    return parser.parse_args()


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    start = time.perf_counter()
    try:
        dataset = load(args.root)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    precisions = ['float32', 'bf16'] if is_bf16_native() else ['float32']
    if 'bf16' not in precisions:
        print('bf16 skipped: this processor does not multiply bfloat16')
    if torch_scatter is None:
        print('torch-scatter skipped: it is not installed')
    rows = measure(dataset, args.parts, precisions, args.rounds)
    where = environment('cpu')
    where['torch_scatter'] = getattr(torch_scatter, '__version__', None)
    report = {
        'environment': where,
        'dataset': type(dataset).__name__,
        'num_items': dataset.num_items,
        'batch_size': BATCH,
        'channels': CHANNELS,
        'layers': 2,
        'threads': args.threads,
        'rounds': args.rounds,
        'seed': 0,
        'parts': args.parts,
        'seconds': round(time.perf_counter() - start),
        'alternatives': rows,
    }
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, allow_nan=False)
    (folder / 'alternatives.json').write_text(text)
    (folder / 'alternatives.md').write_text(table(report))
    print(table(report))


if __name__ == '__main__':
    main()
