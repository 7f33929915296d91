"""Trains one of each kind on generated sessions and says what won.

Users of these sessions have interests in several modes, what is popular
drifts, and new items are a novelty; the newest training sessions validate.
Each method stands beside its control: the same without its news.
"""

import argparse
import os.path as osp
import sys
import time
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import torch

from benchmarks.baselines import Popular
from benchmarks.experiments import options
from benchmarks.experiments.methods import Sources
from benchmarks.experiments.options import positive
from benchmarks.experiments.plots import differences, panels
from benchmarks.experiments.report import environment, interval
from benchmarks.experiments.results import command, rows, write
from pyg_sessaug.comparison import gains, holm, paired_bootstrap, per_session
from pyg_sessaug.counts import VSKNN, CoVisits
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.evaluation import evaluate, rank_samples
from pyg_sessaug.nn import SRGNN, SRGNNPlus
from pyg_sessaug.registry import AUGMENTATIONS
from pyg_sessaug.training import fit_blend, preset
from pyg_sessaug.training.augmentations import Source, training_transform
from pyg_sessaug.training.augmented import fit_one, new_model

DATA = {'drift': 0.5, 'recency': 2.0, 'val_split': 'time'}
SHUFFLED = 'the same distances shuffled among the items'


class Method(NamedTuple):
    """A method, the control beside it, and what that is."""

    name: str
    control: str
    text: str


METHODS = [
    Method('CoVisits', 'popularity', 'the most clicked items'),
    Method('VSKNN', 'popularity', 'the most clicked items'),
    Method('SRGNN', 'SRGNN without edges', 'the same without edges'),
    Method('SRGNN, i2i', 'SRGNN, i2i shuffled', SHUFFLED),
    Method('SRGNN, kmeans', 'SRGNN, kmeans shuffled', SHUFFLED),
    Method('SRGNNPlus', 'SRGNN', 'SRGNN'),
    Method(
        'SRGNNPlus, co-visits',
        'SRGNNPlus, co-visits shuffled',
        'the same with co-visits of other items',
    ),
    Method('blend', 'SRGNNPlus', 'its network alone'),
    Method(
        'blend, co-visits',
        'blend, co-visits shuffled',
        'the same with co-visits of other items',
    ),
]


def main(argv: Optional[List[str]] = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        load = partial(
            MultimodalSessions,
            osp.join(args.output, 'data'),
            num_sessions=args.sessions,
            **DATA,
        )
        data = {split: load(split) for split in ('train', 'val', 'test')}
        models = train(data, args)
        report = compare(models, data)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    report = {
        'command': command('tour.py', argv),
        **report,
        'environment': environment('cpu'),
    }
    print()
    path = osp.join(args.output, 'results.json')
    write(path, report, figure=draw(report))
    print(f'\n{report["sentence"]}')


class Trained(NamedTuple):
    """A model and what it took."""

    model: Any
    seconds: float


def train(
    data: Dict[str, Any], args: argparse.Namespace
) -> Dict[str, Trained]:
    """All models by name, controls among them."""
    train_data, val = data['train'], data['val']
    num_items, trained = train_data.num_items, {}

    def keep(name: str, make: Callable[[], Any]) -> Any:
        print(f'{name} ...', flush=True)
        start = time.process_time()
        model = make()
        trained[name] = Trained(model, time.process_time() - start)
        return model

    given = preset('auto', train_data)
    given = {**given, 'epochs': args.epochs or given['epochs']}
    for name in ('weight_decay', 'patience'):  # Or methods differ by them.
        given[f'augmented_{name}'] = given[name]

    def network(
        cls: Any, augment: str = 'none', weights: Any = None, **kwargs: Any
    ) -> Any:
        make = partial(cls.from_dataset, train_data, args.hidden, **kwargs)
        model = new_model(make, args.seed)
        method = AUGMENTATIONS[augment]
        transform = training_transform(method, weights)
        fit_one(
            method, model, train_data, val, transform, args.seed,
            progress=False, **given,
        )  # fmt: skip
        return model.eval()

    counts = {'popularity': Popular, 'CoVisits': CoVisits, 'VSKNN': VSKNN}
    for name, cls in counts.items():
        keep(name, partial(cls(num_items).fit, train_data))
    base = keep('SRGNN', partial(network, SRGNN))
    edgeless = partial(network, SRGNN, num_layers=0)
    keep('SRGNN without edges', edgeless)
    for augment in ('i2i', 'kmeans'):
        for shuffled in (False, True):
            source = Sources(
                train_data, base.item_embedding.detach(), seed=args.seed,
                shuffled=shuffled,
            )  # fmt: skip
            weights = source.weights(AUGMENTATIONS[augment])
            name = f'SRGNN, {augment}' + ' shuffled' * shuffled
            keep(name, partial(network, SRGNN, augment, weights))
    keep('SRGNNPlus', partial(network, SRGNNPlus))
    context = AUGMENTATIONS['covisit-context']
    for shuffled in (False, True):
        given_to = {context.name: {'shuffled': shuffled}}
        told = Source(train_data, seed=args.seed, options=given_to)
        weights = told.weights(context)
        name = 'SRGNNPlus, co-visits' + ' shuffled' * shuffled
        keep(name, partial(network, SRGNNPlus, context.name, weights))
    for name in ('', ', co-visits', ', co-visits shuffled'):
        members = [trained[x].model for x in (f'SRGNNPlus{name}', 'VSKNN')]
        keep(f'blend{name}', partial(fit_blend, members, val))
    return trained


def compare(models: Dict[str, Trained], data: Dict[str, Any]) -> Dict:
    """What the test samples say: tables, and a sentence on the best."""
    test = data['test']
    session = per_session(test)
    hits = {
        name: gains([rank_samples(x.model, test)])['HR@20'][0]
        for name, x in models.items()
    }
    found = []
    for method in METHODS:
        model, seconds = models[method.name]
        row = {'name': method.name, 'seconds': seconds}
        row.update(evaluate(model, test))
        ours, theirs = hits[method.name], hits[method.control]
        result = paired_bootstrap((ours - theirs).unsqueeze(0), session)
        row['control'] = method.text
        row['control_hits'] = 100 * float(theirs.mean())
        for key in ('difference', 'low', 'high'):
            row[key] = 100 * float(getattr(result, key))
        row['p'] = float(result.p)
        found.append(row)
    for row, p in zip(found, holm([row['p'] for row in found])):
        row['p_holm'] = p
    columns = [
        ('method', '{name}'),
        ('HR@20 (%)', '{HR@20:.1%}'),
        ('over its control [95 %]', interval),
        ('p (Holm)', '{p_holm:.4f}'),
        ('MRR@20 (%)', '{MRR@20:.1%}'),
        ('coverage (%)', '{Coverage@20:.0%}'),
        ('popularity', '{Popularity@20:.0f}'),
        ('CPU s', '{seconds:.0f}'),
    ]
    return {
        'about': f'MultimodalSessions: {len(data["train"]):,} training, '
        f'{len(data["val"]):,} validation and {len(test):,} test samples',
        'sentence': sentence(max(found, key=lambda x: x['HR@20'])),
        'table': rows(found, columns),
        'rows': found,
    }


def sentence(best: Dict[str, Any]) -> str:
    """What won, and by how much over its control."""
    where = 'above' if best['difference'] >= 0 else 'below'
    chance = 'more than chance' if best['p_holm'] < 0.05 else 'maybe chance'
    return (
        f'{best["name"]} won with HR@20 of {100 * best["HR@20"]:.1f} %, '
        f'{abs(best["difference"]):.1f} {where} its control, '
        f'{best["control"]} (95 %: {best["low"]:+.1f} to '
        f'{best["high"]:+.1f}; {chance}, p = {best["p_holm"]:.4f} by Holm).'
    )


def draw(report: Dict[str, Any]) -> Any:
    """HR@20 of all methods, and what each has over its control."""
    found = report['rows']
    size = (9, 1.2 + 0.4 * len(found))
    figure, (left, right) = panels(1, 2, size, 'x', sharey=True)
    for i, row in enumerate(found):
        left.plot(row['control_hits'], i, 'o', mfc='none', mec='#666666')
        left.plot(100 * row['HR@20'], i, 'o', color='#0072B2')
    left.plot([], [], 'o', color='#0072B2', label='method')
    left.plot([], [], 'o', mfc='none', mec='#666666', label='its control')
    left.set_yticks(range(len(found)), [row['name'] for row in found])
    left.set(xlabel='HR@20 (%)')
    left.legend(fontsize=8, loc='best')
    left.invert_yaxis()
    # Counts are so far above popularity that nothing else could be read.
    place = [i for i, x in enumerate(METHODS) if x.control != 'popularity']
    shown = [found[i] for i in place]
    differences(right, place, shown, flat=True, fmt='o', color='#0072B2')
    right.axvline(0, color='k', ls='--', lw=1, alpha=0.5)
    right.set(xlabel='HR@20 over the control, 95 % interval; not of counts')
    return figure


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = options.parser(
        __doc__, 'seed threads output', threads=1, output='runs/tour'
    )
    add = parser.add_argument
    add('--sessions', type=positive, default=4000, help='to generate')
    add('--hidden', type=positive, default=64, help='size of all vectors')
    add('--epochs', type=positive, help='at most; by the samples without it')
    return parser.parse_args(argv)


if __name__ == '__main__':
    main()
