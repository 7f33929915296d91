"""Matrix of one session, plain and augmented, and distances before, after.

Section 7.3.1: the outgoing half of the adjacency matrix of one test session,
plain and augmented by item distances and blur (Table 7.3); distances between
its items in the embeddings of the base and of the augmented model (Table
7.4); the largest distance between any two items in each; and whether the two
models' distances between consecutive items of all test sessions agree.
"""

from typing import Any, Dict, List, Optional

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from benchmarks.experiments import study
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.plots import COLORS, panels
from benchmarks.experiments.results import Table, rows
from benchmarks.studies.measures import steps
from benchmarks.studies.samples import add_arguments, choose, describe
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.training.augmentations import training_transform
from pyg_sessaug.transforms import ItemDistance, NormalizeEdges

BLOCK = 2048


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments('session_matrix', __doc__)
    add_arguments(parser)
    args = study.start(parser, argv)
    runs = study.experiment(args, ['base', 'i2i'])
    test, seen = runs.data['test'], runs.data['train'].seen_items
    index = choose(args, runs)
    models = {
        name: study.model(runs, method).item_embedding.detach()
        for name, method in (('base', 'base'), ('augmented', 'i2i'))
    }
    torch.manual_seed(args.seed)
    transform = training_transform(
        parse_method('i2i'), ItemDistance(models['base'])
    )
    data = test.get(index)
    plain, drawn = NormalizeEdges()(data), transform(data)
    ends = data.x[data.edge_index]
    pairs = consecutive(test)
    lengths = [distance(x, *pairs) for x in models.values()]
    results = {
        'session': describe(test, index),
        'base_matrix': outgoing(plain).tolist(),
        'augmented_matrix': outgoing(drawn).tolist(),
        'edges': [
            {'from': i + 1, 'to': j + 1, 'base': a, 'augmented': b}
            for i, j, a, b in zip(
                *data.edge_index.tolist(),
                *(distance(x, *ends).tolist() for x in models.values()),
            )
        ],
        'largest': {x: diameter(models[x][seen]) for x in models},
        'mean': {x: float(y.mean()) for x, y in zip(models, lengths)},
        'pairs': pairs.size(1),
        'correlation': float(spearmanr(*lengths).statistic),
    }
    study.write(args, results, table(results), plot(results, lengths))


def outgoing(data: Data) -> Tensor:
    """The half of the matrix that holds the edges out of each node."""
    matrix = torch.zeros(data.num_nodes, data.num_nodes)
    matrix[data.edge_index[0], data.edge_index[1]] = data.edge_attr[:, 1]
    return matrix


def consecutive(test: SessionDataset) -> Tensor:
    """Distinct ordered pairs of different items, both seen in training, that
    follow each other in a session, ``[2, num_pairs]``.
    """
    pair = steps(test.flat_sessions)
    keep = (pair[0] != pair[1]) & test.seen_items[pair].all(dim=0)
    return pair[:, keep].unique(dim=1)


def distance(embedding: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Euclidean distance of items, ``[num_pairs]`` float64."""
    parts = [
        (embedding[i].double() - embedding[j].double()).norm(dim=1)
        for i, j in zip(start.split(2**16), end.split(2**16))
    ]
    return torch.cat(parts) if parts else torch.empty(0).double()


def diameter(points: Tensor) -> float:
    """Largest distance between any two points; all pairs are looked at."""
    best, pair = -1.0, (0, 0)
    parts = list(points.split(BLOCK))
    for i, part in enumerate(
        tqdm(parts, 'largest distance', delay=5, disable=None)
    ):
        for j in range(i, len(parts)):
            length = torch.cdist(part, parts[j])
            value, at = length.view(-1).max(dim=0)
            if float(value) > best:
                row, column = divmod(int(at), length.size(1))
                best = float(value)
                pair = (i * BLOCK + row, j * BLOCK + column)
    # The search is by products in float32; its result is not.
    return float((points[pair[0]].double() - points[pair[1]].double()).norm())


def table(results: Dict[str, Any]) -> Table:
    found = [
        {'name': f'{x["from"]} → {x["to"]}', **x} for x in results['edges']
    ]
    mean = f'mean of {results["pairs"]:,} pairs'
    found.append({'name': mean, **results['mean']})
    largest = {'name': 'largest of any two items', **results['largest']}
    cells = [(x, f'{{{x}:.3f}}') for x in ('base', 'augmented')]
    lines = rows([*found, largest], [('distance', '{name}'), *cells])
    return [*lines, ['rank correlation', f'{results["correlation"]:.2f}', '']]


def plot(results: Dict[str, Any], lengths: List[Tensor]) -> Any:
    fig, axes = panels(1, 3, (9, 3.2), width_ratios=[1, 1, 0.9])
    matrices = ('base_matrix', 'augmented_matrix')
    for axis, key in zip(axes, matrices):
        matrix = torch.tensor(results[key])
        shown = axis.imshow(matrix.numpy(), cmap='cividis', vmin=0, vmax=1)
        ticks = range(matrix.size(0))
        axis.set_xticks(ticks, [i + 1 for i in ticks])
        axis.set_yticks(ticks, [i + 1 for i in ticks])
        for i in ticks:
            for j in ticks:
                if abs(matrix[i, j]) >= 0.0005:
                    axis.text(
                        j, i, f'{matrix[i, j]:.2f}'.replace('0.', '.'),
                        ha='center', va='center', fontsize=7,
                        color='k' if matrix[i, j] > 0.5 else 'w',
                    )  # fmt: skip
        axis.set(title=key.replace('_', ' ').capitalize(), xlabel='To item',
                 ylabel='From item')  # fmt: skip
    fig.colorbar(shown, ax=axes[:2], label='Share of outgoing weight',
                 shrink=0.8)  # fmt: skip
    axes[2].hexbin(*[x.numpy() for x in lengths], gridsize=40, mincnt=1,
                   cmap='Greys', bins='log')  # fmt: skip
    ends = zip(*((x['base'], x['augmented']) for x in results['edges']))
    axes[2].scatter(*ends, color=COLORS[4], s=18, zorder=3,
                    label='edges of the session')  # fmt: skip
    axes[2].set(title='Consecutive items', xlabel='Distance, base model',
                ylabel='Distance, augmented model')  # fmt: skip
    axes[2].legend(frameon=False, fontsize=8)
    return fig


if __name__ == '__main__':
    study.call(main)
