"""Result pages of searches among the modes of the items."""

import argparse
from typing import Any, Dict, List, Optional, Tuple

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from benchmarks.experiments import study
from benchmarks.experiments.plots import COLORS, MARKERS
from benchmarks.run import positive
from benchmarks.studies.maps import tsne
from benchmarks.studies.measures import fit
from benchmarks.studies.queries import Pages, read_pages
from pyg_sessaug.comparison import paired_bootstrap

DESCRIPTION = """\
Section 7.4 and figure 7.2: the share of the items on the result page of the
query that began a session which fall into the most common modes (clusters) of
the session's items, against the page of another session. Needs Diginetica's
official log, train-item-views.csv, and train-queries.csv.
"""
TOP = 2


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments('serp', DESCRIPTION)
    add = parser.add_argument
    add('--queries', help='train-queries.csv; ROOT/raw/ has it without')
    add('--clusters', choices=('gmm', 'kmeans'), default='gmm', help='modes')
    add('--num-clusters', type=positive, default=8, help='their number')
    add('--points', type=positive, default=4000, help='items on the map')
    args = study.start(parser, argv)
    runs = study.experiment(args)
    test = runs.data['test']
    pages = read_pages(args, test)
    embedding = study.model(runs).item_embedding.detach()
    clusters, _ = fit(runs, embedding, args.clusters, args.num_clusters)
    torch.manual_seed(args.seed)
    own, other = shares(pages, clusters.labels, args.num_clusters)
    found = paired_bootstrap(
        torch.stack([own[key] - other[key] for key in own]),
        torch.arange(pages.ptr.numel() - 1),
    )
    spread = {
        name: page_spread(embedding, page, pages.page_ptr)
        for name, page in (
            ('own', pages.page),
            ('mixed', pages.page[torch.randperm(pages.page.numel())]),
        )
    }
    results = {
        'sessions': pages.ptr.numel() - 1,
        'page_items': pages.page.numel() / (pages.ptr.numel() - 1),
        'shares': {
            key: {
                'own': float(own[key].mean()),
                'other': float(other[key].mean()),
                'difference': float(found.difference[i]),
                'low': float(found.low[i]),
                'high': float(found.high[i]),
            }
            for i, key in enumerate(own)
        },
        'spread': spread,
    }
    key = f'first {TOP} modes'
    values = {'own page': own[key], 'page of another session': other[key]}
    figure = plot(
        args, pages, embedding, clusters.labels, test.seen_items, values
    )
    study.write(args, results, table(results), figure)


def shares(
    pages: Pages, labels: Tensor, num_clusters: int
) -> Tuple[Dict[str, Tensor], Dict[str, Tensor]]:
    """Shares of each page, and the same with the page of another session."""
    clicked = histogram(labels[pages.item], pages.ptr, num_clusters)
    shown = histogram(labels[pages.page], pages.page_ptr, num_clusters)
    # A cycle through all in random order: no session gets its own page.
    order = torch.randperm(len(shown))
    another = torch.empty_like(order)
    another[order] = order.roll(1)
    return tuple(
        {
            'first mode': share(page, clicked, 1),
            f'first {TOP} modes': share(page, clicked, TOP),
            # The caption of figure 7.2: the page's own modes.
            f"session in page's {TOP}": share(clicked, page, TOP),
        }
        for page in (shown, shown[another])
    )


def histogram(label: Tensor, ptr: Tensor, num_clusters: int) -> Tensor:
    """Items in each mode, ``[num_sessions, num_clusters]`` float64."""
    owner = torch.repeat_interleave(torch.arange(ptr.numel() - 1), ptr.diff())
    count = torch.zeros(ptr.numel() - 1, num_clusters).double()
    one = torch.ones(label.numel()).double()
    return count.index_put_((owner, label), one, accumulate=True)


def share(count: Tensor, by: Tensor, top: int) -> Tensor:
    """Share of items in the modes most common in another set of items.

    Modes without an item there do not count; of equally common ones the
    lower number does.
    """
    value, mode = by.sort(dim=1, descending=True, stable=True)
    inside = count.gather(1, mode[:, :top]) * (value[:, :top] > 0)
    return inside.sum(dim=1) / count.sum(dim=1)


def page_spread(embedding: Tensor, page: Tensor, ptr: Tensor) -> float:
    """Root mean square distance of items to the centre of their page."""
    owner = torch.repeat_interleave(torch.arange(ptr.numel() - 1), ptr.diff())
    points = embedding.double()
    center = torch.zeros(ptr.numel() - 1, points.size(1)).double()
    for place, whose in zip(page.split(2**16), owner.split(2**16)):
        center.index_add_(0, whose, points[place])
    center /= ptr.diff().unsqueeze(1)
    square = points.square().sum(dim=1)[page].mean()
    return float((square - center.square().sum(dim=1)[owner].mean()).sqrt())


def table(results: Dict[str, Any]) -> List[List[str]]:
    lines = [['share (%)', 'own page', 'another', 'difference [95 %]']]
    for name, row in results['shares'].items():
        own, other, difference, low, high = (
            100 * row[key]
            for key in ('own', 'other', 'difference', 'low', 'high')
        )
        lines.append(
            [
                name,
                f'{own:.1f}',
                f'{other:.1f}',
                f'{difference:+.1f} [{low:+.1f}, {high:+.1f}]',
            ]
        )
    spread = results['spread']
    lines.append(
        [
            'distance to the centre (not a share)',
            f'{spread["own"]:.3f}',
            f'{spread["mixed"]:.3f}',
            f'{spread["own"] - spread["mixed"]:+.3f}',
        ]
    )
    return lines


def plot(
    args: argparse.Namespace,
    pages: Pages,
    embedding: Tensor,
    labels: Tensor,
    seen: Tensor,
    values: Dict[str, Tensor],
) -> Any:
    """One page among the items, and the shares of all pages."""
    size = pages.page_ptr.diff()
    # One of the fuller pages:
    full = (size >= min(20, int(size.max()))).nonzero().view(-1)
    one = int(full[torch.randint(full.numel(), (1,))])
    page = pages.page[pages.page_ptr[one] : pages.page_ptr[one + 1]]
    clicks = pages.item[pages.ptr[one] : pages.ptr[one + 1]]
    items = seen.nonzero().view(-1)
    items = items[torch.randperm(items.numel())[: args.points]]
    items = torch.cat([items, page, clicks]).unique()
    point = tsne(embedding[items])
    page, clicks = (torch.searchsorted(items, x) for x in (page, clicks))
    label = labels[items]

    fig, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout='constrained')
    axes[0].scatter(*point.t(), s=2, c='#cccccc', lw=0, label='other items')
    for mode in label[page].unique().tolist():
        own = page[label[page] == mode]
        axes[0].scatter(
            *point[own].t(), s=30, color=COLORS[(mode + 1) % 8],
            marker=MARKERS[mode % 8], lw=0,
            label=f'mode {mode + 1} ({own.numel()})',
        )  # fmt: skip
    axes[0].scatter(*point[clicks].t(), s=90, fc='none', ec='k', lw=1.4,
                    label='clicked')  # fmt: skip
    axes[0].set(
        title='Result page of one session',
        xlabel='t-SNE 1',
        ylabel='t-SNE 2',
    )
    for (name, value), color, line in zip(
        values.items(), (COLORS[5], COLORS[1]), ('-', '--')
    ):
        axes[1].hist(
            100 * value.numpy(), 25, range=(0, 100), histtype='step', lw=1.6,
            weights=torch.full_like(value, 100 / value.numel()).numpy(),
            color=color, ls=line, label=name,
        )  # fmt: skip
    axes[1].set(
        title=f'Page items in the session’s {TOP} first modes',
        xlabel='Share of the page (%)',
        ylabel='Sessions (%)',
    )
    axes[1].grid(alpha=0.3)
    for axis in axes:
        axis.legend(
            loc='upper center', bbox_to_anchor=(0.5, -0.13), ncols=4,
            frameon=False, fontsize=8,
        )  # fmt: skip
    return fig


if __name__ == '__main__':
    study.call(main)
