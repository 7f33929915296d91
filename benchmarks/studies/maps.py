"""Maps of vectors in two dimensions."""

import io
import re
from contextlib import redirect_stdout
from typing import Any, Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.experiments.plots import COLORS

ITERATIONS = 1000  # The default, whose name differs between versions.
# How labels are coloured:
LABELS = [COLORS[i] for i in (5, 1, 2, 3, 4, 6, 7, 0)]


def tsne(vectors: Tensor) -> Tensor:
    """Places vectors in a plane by t-SNE, ``[N, 2]``.

    The seed is drawn from torch's generator. A bar shows the progress where
    it takes over five seconds.

    Args:
        vectors: ``[N, d]``.
    """
    from sklearn.manifold import TSNE

    seed = int(torch.randint(2**31 - 1, (1,)))
    with tqdm(
        desc='t-SNE', total=ITERATIONS, leave=False, delay=5, disable=None
    ) as bar:
        method = TSNE(
            perplexity=min(30.0, (len(vectors) - 1) / 3),
            random_state=seed,
            verbose=2,
        )
        with redirect_stdout(_Progress(bar)):
            points = method.fit_transform(vectors.numpy())
    return torch.from_numpy(points)


class _Progress(io.TextIOBase):
    """Moves a bar by what scikit-learn prints; it has no other sign."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar

    def write(self, text: str) -> int:
        done = re.search(r'Iteration (\d+)', text)
        if done:
            self.bar.update(int(done[1]) - self.bar.n)
        return len(text)


def scatter(
    axis: Any,
    points: Tensor,
    label: Tensor,
    names: Sequence[str],
    title: str,
    legend: bool = True,
    colors: Sequence[str] = LABELS,
) -> None:
    """Draws points coloured by their label.

    Args:
        axis: Axes of matplotlib.
        points: ``[N, 2]``.
        label: ``[N]``, int64 or bool.
        names: Name of each label, for the legend.
        title: Title of the map.
        legend: Whether to draw a legend below.
        colors: Colour of each label.
    """
    label = label.long()
    # In random order, so that no label covers the others.
    order = torch.randperm(len(points))
    color = [colors[i % len(colors)] for i in label[order].tolist()]
    axis.scatter(*points[order].t(), s=4, c=color, alpha=0.6, lw=0)
    count = torch.bincount(label, minlength=len(names)).tolist()
    for i, name in enumerate(names):
        axis.plot([], [], 'o', ms=5, color=colors[i % len(colors)],
                  label=f'{name} ({count[i]:,})')  # fmt: skip
    axis.set(title=title, xlabel='t-SNE 1', ylabel='t-SNE 2')
    if not legend:
        return
    axis.legend(
        loc='upper center', bbox_to_anchor=(0.5, -0.12), frameon=False,
        fontsize=9, ncols=min(len(names), 4), columnspacing=1,
        handletextpad=0.2,
    )  # fmt: skip
