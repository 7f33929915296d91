"""What is in a data set?"""

from typing import Any, Dict, List, Optional, Sequence

import torch
from torch import Tensor

from benchmarks.experiments import study
from benchmarks.experiments.datasets import SPLITS
from benchmarks.experiments.plots import COLORS, panels
from pyg_sessaug.datasets import SessionDataset

# Table 4.2.
THESIS: Dict[str, Sequence[Optional[float]]] = {
    'yoochoose': (557_248, 369_859, 55_898, 37_483, 6.16, 336, 3.74),
    'diginetica': (982_961, 719_470, 60_858, 43_097, 5.12, 995, 1.38),
    'otto': (236_850, 134_573, 62_687, 18_102, 5.98, None, None),
}
LONG = 10
NAMES = {
    'sessions': 'before: sessions',
    'samples': 'after: prefixes with their targets',
    'prefixes': 'after: prefixes alone',
}


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments(
        'data_statistics',
        'Table 4.2: statistics of a data set. Figure 4.2: the distribution '
        'of lengths before and after sessions are cut into prefixes.',
    )
    parser.set_defaults(fraction=1.0)
    args = study.start(parser, argv)
    data = {split: study.read(args, split) for split in SPLITS}
    prefixes = torch.cat([prefix_length(x) for x in data.values()])
    lengths = {
        'sessions': torch.cat([x.flat_sessions.length for x in data.values()]),
        'samples': prefixes + 1,
        'prefixes': prefixes,
    }
    statistics = describe(data, float((prefixes + 1).double().mean()))
    name = type(data['test']).__name__
    results = {
        'data': name,
        'statistics': statistics,
        'lengths': {
            key: {
                'mean': float(x.double().mean()),
                'median': int(x.median()),
                'long': float((x >= LONG).double().mean()),
                'count': x.bincount().tolist(),
            }
            for key, x in lengths.items()
        },
    }
    thesis = THESIS.get(args.dataset, ()) if args.fraction == 1 else ()
    study.write(
        args, results, table(results, thesis), draw(lengths, name),
        f'data_statistics_{args.dataset}',
    )  # fmt: skip


def describe(
    data: Dict[str, SessionDataset], average_length: float
) -> Dict[str, Optional[float]]:
    """The rows of Table 4.2; its sessions are samples."""
    train, sets = data['train'], list(data.values())
    per_session = None
    if train.categories is not None:
        total = sum(x.categories_per_session * x.sessions for x in sets)
        per_session = total / sum(x.sessions for x in sets)
    return {
        'clicks': sum(x.clicks for x in sets),
        'training sessions': len(train) + len(data['val']),
        'test sessions': len(data['test']),
        'items': train.num_items,
        'average length': average_length,
        'categories': train.num_categories,
        'categories per session': per_session,
    }


def prefix_length(dataset: SessionDataset) -> Tensor:
    """Clicks of each sample, its target left out, ``[num_samples]``."""
    sessions = dataset.flat_sessions
    start = sessions.ptr[sessions.session_of(sessions.target)]
    return sessions.target - start


def table(results: Dict[str, Any], thesis: Sequence[Any]) -> List[List[str]]:
    def show(value: Optional[float]) -> str:
        if value is None:
            return '–'
        return f'{value:.2f}' if value % 1 else f'{value:,.0f}'

    lines = [[results['data'], 'here', *['thesis', 'equal'] * bool(thesis)]]
    for i, (name, value) in enumerate(results['statistics'].items()):
        line = [name, show(value)]
        if thesis:
            line += [show(thesis[i]), equal(value, thesis[i])]
        lines.append(line)
    for key, x in results['lengths'].items():
        for text, value in (
            (f'{NAMES[key]}: average', f'{x["mean"]:.2f}'),
            (f'… of {LONG} clicks and more (%)', f'{100 * x["long"]:.1f}'),
        ):
            lines.append([text, value, *['–', '–'] * bool(thesis)])
    return lines


def equal(here: Optional[float], thesis: Optional[float]) -> str:
    """Whether two values are, but for how the last digit was rounded."""
    if here is None or thesis is None:
        return '–'
    return 'yes' if abs(here - thesis) < 0.01 else 'no'


def draw(lengths: Dict[str, Tensor], name: str) -> Any:
    figure, axis = panels(grid='both')
    styles = zip((COLORS[5], COLORS[4], COLORS[1]), ('-', '--', '-'))
    for (key, x), (color, line) in zip(lengths.items(), styles):
        count = x.bincount()[1:].double()
        # Shares of at least 1, 2, ... clicks:
        share = 100 * count.flip(0).cumsum(0).flip(0) / x.numel()
        axis.step(torch.arange(len(share)) + 1, share, where='mid', ls=line,
                  color=color, lw=1.5, label=NAMES[key])  # fmt: skip
    axis.axvline(LONG, color='#999999', ls=':', lw=1.5)
    axis.set(
        title=f'Lengths before and after cutting prefixes, {name}',
        xlabel='Clicks', ylabel='Share with at least so many (%)',
        yscale='log',
    )  # fmt: skip
    axis.yaxis.set_major_formatter('{x:g}')
    axis.legend(frameon=False)
    return figure


if __name__ == '__main__':
    study.call(main)
