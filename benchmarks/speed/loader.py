"""Times batches of session graphs: by SessionLoader, and by PyG's DataLoader.

Both yield equal batches, normalised as models read them, in one process. They
take turns, and medians are reported, so that a busy moment decides nothing.
"""

import itertools
import os.path as osp
import time
from statistics import median
from typing import Any, Dict, Iterator, List, Optional

from torch_geometric.loader import DataLoader

from benchmarks.experiments.report import environment
from benchmarks.experiments.results import command, rows, write
from benchmarks.speed.turns import begin, parser
from pyg_sessaug import SessionLoader
from pyg_sessaug.transforms import NormalizeEdges

PYG = 'DataLoader of PyG'


def main(argv: Optional[List[str]] = None) -> None:
    args = parser(__doc__, rounds=100).parse_args(argv)
    (data,) = begin(args, 'train')
    data.transform = NormalizeEdges()
    kwargs: Dict[str, Any] = {'batch_size': args.batch, 'shuffle': True}
    batches = {
        'SessionLoader': endless(SessionLoader(data, **kwargs)),
        PYG: endless(DataLoader(data, **kwargs, follow_batch=['click_index'])),
    }
    seconds: Dict[str, List[float]] = {name: [] for name in batches}
    for source in batches.values():
        next(source)  # Warms up.
    for _ in range(args.rounds):
        for name, source in batches.items():
            start = time.perf_counter()
            for _ in range(5):
                next(source)
            seconds[name].append((time.perf_counter() - start) / 5)
    ms = {name: 1e3 * median(x) for name, x in seconds.items()}
    found = [
        {'loader': name, 'ms': x, 'ratio': ms[PYG] / x}
        for name, x in ms.items()
    ]
    report = {
        'command': command('speed/loader.py', argv),
        'about': f'{args.dataset}, batches of {args.batch}, '
        f'{args.threads} thread(s)',
        'table': rows(
            found,
            [
                ('loader', '{loader}'),
                ('a batch (ms)', '{ms:.2f}'),
                ('times as fast', '{ratio:.1f}'),
            ],
        ),
        'environment': environment('cpu'),
        'loaders': found,
    }
    write(osp.join(args.output, 'loader.json'), report)


def endless(loader: Any) -> Iterator[Any]:
    return itertools.chain.from_iterable(itertools.repeat(loader))


if __name__ == '__main__':
    main()
