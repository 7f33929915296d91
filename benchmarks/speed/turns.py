"""What scripts share whose cases take turns on the same samples."""

import argparse
import os.path as osp
import time
from typing import Any, Callable, Dict, Hashable, List, Optional, TypeVar

import torch
from torch import Tensor

from benchmarks.experiments import options
from benchmarks.experiments.datasets import load
from benchmarks.experiments.options import positive

K = TypeVar('K', bound=Hashable)
Run = Callable[[Any], None]


def parser(description: Any, rounds: int = 40) -> argparse.ArgumentParser:
    """Options of them all."""
    made = options.parser(
        description, 'dataset root seed threads output', dataset='diginetica',
        threads=1, output='runs/speed',
    )  # fmt: skip
    add = made.add_argument
    add('--batch', type=positive, default=100, help='samples of a batch')
    add('--rounds', type=positive, default=rounds, help='batches of each')
    return made


def begin(args: argparse.Namespace, *splits: str) -> List[Any]:
    """Sets threads and seed, and reads splits of the data."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    root = args.root or osp.join('data', args.dataset)
    folder = osp.join(args.output, 'data')
    return [load(args.dataset, root, x, processed_root=folder) for x in splits]


def adam_step(model: Any, fused: bool = True) -> Callable[[Tensor], None]:
    """What takes a step of Adam by a loss."""
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)

    def step(loss: Tensor) -> None:
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def turns(
    runs: Dict[K, Run],
    data: Any,
    args: argparse.Namespace,
    prepare: Optional[Callable[[Tensor], Any]] = None,
) -> Dict[K, List[float]]:
    """Seconds of the processor that each takes for the same samples.

    Args:
        runs: What takes the numbers of some samples, or what is made of
            these.
        data: The samples.
        args: With `batch` and `rounds`.
        prepare: Makes of numbers what all runs get, on no one's time.
    """
    seconds: Dict[K, List[float]] = {x: [] for x in runs}
    names, warm = list(runs), 2
    samples = torch.randperm(len(data))[: args.batch * (args.rounds + warm)]
    for i, index in enumerate(samples.split(args.batch)):
        given = index if prepare is None else prepare(index)
        # What ran before leaves its traces in the caches.
        for j in torch.randperm(len(names)).tolist():
            start = time.process_time()
            runs[names[j]](given)
            if i >= warm:
                seconds[names[j]].append(time.process_time() - start)
    return seconds


def on_graphs(runs: Dict[K, Run], data: Any) -> Dict[K, Run]:
    """Runs that take batches, on those of samples, which each builds. Times
    of clicks are drawn where the data have none.
    """

    def of(run: Run) -> Run:
        def build_and_run(index: Tensor) -> None:
            batch = data.get_batch(index)
            if 'click_time' not in batch:
                gap = torch.rand(batch.click_index.numel())
                batch.click_time = gap.mul_(100).cumsum(0)
            run(batch)

        return build_and_run

    return {name: of(run) for name, run in runs.items()}
