"""Distances between consecutive items of test sessions, by hit and miss.

Figure 6.2: mean and largest distance, in the item embeddings of a trained
base model, between consecutive clicks of test sessions, for samples whose
target is among the first 20 recommendations (hits) and for the others. Only
clicks before the target count.
"""

from typing import Any, Dict, List, Optional, Tuple

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch_geometric.utils import scatter

from benchmarks.experiments import study
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.plots import COLORS, panels
from benchmarks.experiments.results import Table, rows
from pyg_sessaug.data.sessions import Sessions, expand_ranges

KINDS = ('mean', 'largest')
# Clicks before the target, from and to:
LENGTHS = {'2': (2, 2), '3': (3, 3), '4–5': (4, 5), '6 or more': (6, 10**9)}


def main(argv: Optional[List[str]] = None) -> None:
    args = study.start(study.arguments('distances', __doc__), argv)
    runs = study.experiment(args)
    test = runs.data['test']
    rank = runs.run(args.seed, parse_method('base'))['rank']
    embedding = study.model(runs).item_embedding.detach()
    steps, mean, largest = step_lengths(embedding, test.flat_sessions)
    moved = steps > 0
    value = {'mean': mean[moved], 'largest': largest[moved]}
    hit, clicks = (rank <= 20)[moved], steps[moved] + 1
    sessions = test.flat_sessions
    known = test.seen_items[sessions.item[sessions.target]][moved]
    groups = {
        'all': torch.ones_like(hit),
        'target seen in training': known,
        '… and not all on one item': known & (value['largest'] > 0),
        **{
            f'… and {name} clicks': known & (clicks >= low) & (clicks <= high)
            for name, (low, high) in LENGTHS.items()
        },
    }
    results = {
        'samples': int(moved.sum()),
        'one_item_share': {
            name: float((value['largest'][group] == 0).double().mean())
            for name, group in (('hits', hit), ('misses', ~hit & known))
        },
        'groups': {
            name: compare(value, hit, group) for name, group in groups.items()
        },
    }
    study.write(args, results, table(results), plot(value, hit, known))


def step_lengths(
    embedding: Tensor, sessions: Sessions
) -> Tuple[Tensor, Tensor, Tensor]:
    """Steps from click to click before each target.

    Args:
        embedding: Where the items lie, ``[num_items, d]``.
        sessions: The sessions.

    Returns:
        Number of steps of each sample, their mean and their largest length
        (0 without steps), ``[num_samples]`` each.
    """
    start = sessions.ptr[sessions.session_of(sessions.target)]
    count = sessions.target - start - 1
    click, owner, _ = expand_ranges(start + 1, count)
    points = embedding.double()
    item, parts = sessions.item, []
    for i in click.split(2**16):
        parts.append((points[item[i]] - points[item[i - 1]]).norm(dim=1))
    length = torch.cat(parts)
    mean, largest = (
        scatter(length, owner, dim_size=count.numel(), reduce=reduce)
        for reduce in ('mean', 'max')
    )
    return count, mean, largest


def compare(
    value: Dict[str, Tensor], hit: Tensor, group: Tensor
) -> Dict[str, Any]:
    """Hits against misses of a group of samples."""
    hits, misses = group & hit, group & ~hit
    row: Dict[str, Any]
    row = {'hits': int(hits.sum()), 'misses': int(misses.sum())}
    if row['hits'] == 0 or row['misses'] == 0:
        return row
    for kind, x in value.items():
        row[kind] = {
            'hits': float(x[hits].mean()),
            'misses': float(x[misses].mean()),
            # Probability that a hit is closer than a miss, ties count half.
            'hit_closer': float(roc_auc_score(~hit[group], x[group])),
        }
    return row


def table(results: Dict[str, Any]) -> Table:
    groups = {}
    for name, row in results['groups'].items():
        none = dict.fromkeys(('hits', 'misses', 'hit_closer'))
        groups[name] = {'name': name, **dict.fromkeys(KINDS, none), **row}
    cells = [('samples', '{name}'), ('hits', '{hits:,}')]
    cells.append(('misses', '{misses:,}'))
    for kind in KINDS:
        cells += [
            (f'{kind} distance, hits', f'{{{kind}[hits]:.3f}}'),
            ('misses', f'{{{kind}[misses]:.3f}}'),
            ('a hit is closer (%)', f'{{{kind}[hit_closer]:.1%}}'),
        ]
    return rows(groups.values(), cells)


def plot(value: Dict[str, Tensor], hit: Tensor, known: Tensor) -> Any:
    groups = (
        ('hit', hit, COLORS[5], '-'),
        ('miss', ~hit & known, COLORS[1], '--'),
        ('miss, target unseen in training', ~known, COLORS[7], ':'),
    )
    fig, axes = panels(2, 1, (7, 6), 'both')
    for axis, kind in zip(axes, KINDS):
        bins = torch.linspace(0, float(value[kind].max()) + 1e-6, 61).numpy()
        for name, group, color, line in groups:
            if group.double().mean() > 0.01:
                axis.hist(value[kind][group].numpy(), bins, density=True,
                          histtype='step', lw=1.6, color=color, ls=line,
                          label=name)  # fmt: skip
        title = f'{kind.capitalize()} distance between consecutive clicks'
        length = 'Euclidean distance between item embeddings'
        axis.set(title=title, xlabel=length, ylabel='Density')
    axes[0].legend(frameon=False)
    return fig


if __name__ == '__main__':
    study.call(main)
