"""Figures of a benchmark."""

import re
from contextlib import redirect_stdout
from types import SimpleNamespace
from typing import Any, Dict, List, Sequence, Tuple

import matplotlib
import torch
from torch import Tensor
from tqdm import tqdm

matplotlib.use('Agg')
import matplotlib.pyplot as plt

# Okabe and Ito's colours, told apart by all kinds of colour vision.
COLORS = [
    '#000000', '#E69F00', '#56B4E9', '#009E73', '#D55E00', '#0072B2',
    '#CC79A7', '#999999',
]  # fmt: skip
MARKERS = 'osD^vP*X'
LINES = ['-', '--', ':', '-.']
# How labels are coloured on a map:
LABELS = [COLORS[i] for i in (5, 1, 2, 3, 4, 6, 7, 0)]
ITERATIONS = 1000  # Of t-SNE: the default, whose name differs by version.


def panels(
    rows: int = 1,
    columns: int = 1,
    size: Tuple[float, float] = (8, 3.8),
    grid: str = '',
    **kwargs: Any,
) -> Any:
    """A figure and its axes, with a grid of ``x``, ``y`` or ``both``."""
    kwargs['layout'] = 'constrained'
    figure, axes = plt.subplots(rows, columns, figsize=size, **kwargs)
    for axis in figure.axes * bool(grid):
        axis.grid(axis=grid, alpha=0.3)
    return figure, axes


def differences(
    axis: Any,
    place: Any,
    rows: List[Dict[str, float]],
    flat: bool = False,
    **kwargs: Any,
) -> None:
    """Differences of methods with their intervals, along x if ``flat``."""
    value = [row['difference'] for row in rows]
    # Of equal values, rounding may leave an end on the wrong side.
    below = [max(0.0, row['difference'] - row['low']) for row in rows]
    above = [max(0.0, row['high'] - row['difference']) for row in rows]
    kwargs['xerr' if flat else 'yerr'] = [below, above]
    points = (value, place) if flat else (place, value)
    axis.errorbar(*points, capsize=4, **kwargs)


def legend_below(figure: Any, axis: Any = None, **kwargs: Any) -> None:
    """The legend of a figure, by default that of its first axes."""
    handles, labels = (axis or figure.axes[0]).get_legend_handles_labels()
    made = {'handles': handles, 'labels': labels, 'fontsize': 9}
    place = {'loc': 'outside lower center', 'frameon': False}
    figure.legend(**{**made, **place, **kwargs})


def tsne(vectors: Tensor) -> Tensor:
    """Places vectors in a plane by t-SNE, ``[N, 2]``.

    The seed is drawn from torch's generator. A bar shows the progress where
    it takes over five seconds.

    Args:
        vectors: ``[N, d]``.
    """
    from sklearn.manifold import TSNE

    def move(text: str) -> None:
        # What scikit-learn prints is its only sign of progress.
        done = re.search(r'Iteration (\d+)', text)
        bar.update(int(done[1]) - bar.n if done else 0)

    seed = int(torch.randint(2**31 - 1, (1,)))
    with tqdm(
        desc='t-SNE', total=ITERATIONS, leave=False, delay=5, disable=None
    ) as bar:
        method = TSNE(
            perplexity=min(30.0, (len(vectors) - 1) / 3),
            random_state=seed,
            verbose=2,
        )
        with redirect_stdout(SimpleNamespace(write=move)):
            points = method.fit_transform(vectors.numpy())
    return torch.from_numpy(points)


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


def plot_curves(
    results: Dict[str, Any], runs: Dict[Tuple[int, str], Any], path: str
) -> None:
    """Training and validation loss of each method over the epochs."""
    fig, axes = panels(1, 2, grid='both', sharex=True)
    kinds = ('train_loss', 'val_loss')
    for axis, kind, title in zip(axes, kinds, ('Training', 'Validation')):
        for i, name in enumerate(_methods(results)):
            curves = [
                [epoch[kind] for epoch in run['history']]
                for (_, method), run in runs.items()
                if method == name
            ]
            # As long as all seeds train:
            mean = [sum(x) / len(x) for x in zip(*curves)]
            axis.plot(
                range(1, len(mean) + 1), mean, label=name, lw=1.5, ms=4,
                color=_color(i), marker=MARKERS[i % 8], ls=LINES[i // 8 % 4],
            )  # fmt: skip
        axis.set(title=f'{title} loss', xlabel='Epoch', ylabel='Cross-entropy')
        axis.xaxis.get_major_locator().set_params(integer=True)
    _save(fig, axes[0], results, path)


def plot_metrics(results: Dict[str, Any], path: str) -> None:
    """Both metrics of each method: mean, deviation, seeds and the thesis."""
    names = _methods(results)
    size = (8, 1.4 + 0.3 * len(names))
    fig, axes = panels(1, 2, size, 'x', sharey=True)
    for axis, (metric, rows) in zip(axes, results['metrics'].items()):
        for i, name in enumerate(names):
            row = rows[name]
            axis.plot(row['values'], [i] * len(row['values']), '|', ms=9,
                      color=_color(i), alpha=0.6,
                      label='one seed' if i == 0 else None)  # fmt: skip
            axis.errorbar(row['mean'], i, xerr=row['std'], fmt='o', ms=6,
                          label='mean ± deviation' if i == 0 else None,
                          color=_color(i), capsize=3)  # fmt: skip
        shown = [name for name in names if name in results['thesis']]
        if shown:
            axis.plot(
                [results['thesis'][name][metric] for name in shown],
                [names.index(name) for name in shown],
                'D', mfc='none', mec='#666666', label='thesis',
            )  # fmt: skip
        axis.axvline(rows['base']['mean'], color='k', ls='--', lw=1, alpha=0.5,
                     label='base')  # fmt: skip
        axis.set(title=metric, xlabel=f'{metric} (%)')
        axis.set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    _save(fig, axes[0], results, path)


def _methods(results: Dict[str, Any]) -> List[str]:
    return list(results['metrics']['HR@20'])


def _color(index: int) -> str:
    return COLORS[index % len(COLORS)]


def _save(fig: Any, axis: Any, results: Dict[str, Any], path: str) -> None:
    settings, seeds = results['settings'], {x['seed'] for x in results['runs']}
    fig.suptitle(
        f'{settings["model"].upper()} on {results["data"]["name"]}, '
        f'{len(seeds)} seed{"s" * (len(seeds) > 1)}'
    )
    labels = axis.get_legend_handles_labels()[1]
    legend_below(fig, ncols=min(6, len(labels)))
    fig.savefig(path, dpi=150)
    plt.close(fig)
