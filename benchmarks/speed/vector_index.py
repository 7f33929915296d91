"""Nearest-neighbour search for SRGNN: how much of the exact top 20 is found.

Writes the vectors of items and test sessions as
item_vectors.npy and session_vectors.npy, builds indexes of faiss on the items,
and compares their first 20 with those of the model's scores. Searches are
timed in one thread, all sessions at once.
"""

import os.path as osp
import time
from statistics import median
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.experiments import study
from benchmarks.experiments.options import positive
from benchmarks.experiments.results import rows
from pyg_sessaug.metrics import top_items
from pyg_sessaug.serving.export import save_vectors
from pyg_sessaug.transforms import NormalizeEdges


def indexes(items: np.ndarray) -> Iterator[Tuple[str, str, Any]]:
    """Indexes of the items by inner product: kind, setting, index."""
    import faiss

    d = items.shape[1]
    flat = faiss.IndexFlatIP(d)
    flat.add(items)
    yield 'exact', '–', flat
    lists = max(1, round(4 * len(items) ** 0.5))
    inverted = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(d), d, lists, faiss.METRIC_INNER_PRODUCT
    )
    # With fewer than 39 items for each list faiss would warn.
    inverted.cp.min_points_per_centroid = 1
    inverted.train(items)
    inverted.add(items)
    for share in (64, 16, 4):
        inverted.nprobe = max(1, lists // share)
        yield 'IVF', f'{inverted.nprobe} of {lists} lists', inverted
    graph = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 200
    graph.add(items)
    for size in (32, 128, 512):
        graph.hnsw.efSearch = size
        yield 'HNSW', f'efSearch {size}', graph


def recall(found: Tensor, best: Tensor) -> float:
    """Share of the best items that were found."""
    hit = (found.unsqueeze(2) == best.unsqueeze(1)).any(dim=1)
    return float(hit.double().mean())


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments('vector_index', __doc__, room='speed')
    add = parser.add_argument
    add('--samples', type=positive, default=2000, help='test sessions')
    add('--k', type=positive, default=20, help='length of the list')
    args = study.start(parser, argv)
    runs = study.experiment(args)
    model, test = study.model(runs), runs.data['test']
    sample = torch.randperm(len(test))[: args.samples].sort()[0]
    save_vectors(model, test[sample], args.output)
    items, sessions = (
        np.load(osp.join(args.output, f'{name}_vectors.npy'))
        for name in ('item', 'session')
    )
    # The model's own scores, not a product of the files:
    best = []
    for index in sample.split(128):
        batch = NormalizeEdges()(test.get_batch(index))
        with torch.no_grad():
            best.append(top_items(model.score(batch), args.k)[1])
    results = measure(items, sessions, torch.cat(best), args.k)
    cells = [
        ('index', '{index}'),
        ('setting', '{setting}'),
        (f'recall@{args.k} (%)', '{recall:.2%}'),
        ('ms per session', '{ms_per_session:.3f}'),
    ]
    lines = rows(results, cells)
    about = {'num_items': len(items), 'sessions': len(sessions)}
    study.write(args, {**about, 'indexes': results}, lines)


def measure(
    items: np.ndarray, sessions: np.ndarray, best: Tensor, k: int
) -> List[Dict[str, Any]]:
    """Recall and time of each index."""
    import faiss

    faiss.omp_set_num_threads(1)
    found = []
    for kind, setting, index in indexes(items):
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            near = index.search(sessions, k)[1]
            seconds.append(time.perf_counter() - start)
        row = {'index': kind, 'setting': setting}
        row['recall'] = recall(torch.from_numpy(near), best)
        row['ms_per_session'] = 1e3 * median(seconds) / len(sessions)
        found.append(row)
    return found


if __name__ == '__main__':
    study.call(main)
