"""Trains all models by one protocol and ranks them on one table.

Settings are chosen by --search: of the training sessions the newest, as many
as the test set has, validate, and each candidate is trained on a share of
all, the newest before them; the highest NDCG@20 wins. A row is then trained on
the published nine tenths, its epoch chosen by the loss on the other tenth; a
row with refit goes on to train on everything for as many epochs. The test set
is read once for each row. Finished rows and epochs are kept, so that the same
command goes on.
"""

import argparse
import inspect
import os
import os.path as osp
import sys
import time
from itertools import product
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor
from torch_geometric.transforms import BaseTransform

from benchmarks.experiments import options
from benchmarks.experiments.board import METRICS, Setting, add, done, read
from benchmarks.experiments.candidates import (
    CANDIDATES,
    COMPOSED,
    PAPER,
    PIECED,
    VARIANTS,
    needs_categories,
)
from benchmarks.experiments.datasets import load
from benchmarks.experiments.report import environment
from benchmarks.experiments.results import command
from benchmarks.experiments.results import load as load_results
from pyg_sessaug import arguments
from pyg_sessaug.comparison import paired_bootstrap, per_session
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.metrics import ranking_metrics
from pyg_sessaug.nn import Blend
from pyg_sessaug.nn.loss.catalogue import choose_precision
from pyg_sessaug.registry import AUGMENTATIONS, COUNTS, MODELS, find_class
from pyg_sessaug.training import (
    best_epoch,
    fit,
    fit_blend,
    fit_categories,
    fit_repeats,
    preset,
)
from pyg_sessaug.training.augmentations import Source, training_transform

RESULTS = osp.join(osp.dirname(osp.abspath(__file__)), 'results')
SEARCH = osp.join(RESULTS, 'leaderboard-search.json')
# Arguments of fit; all others but OTHER are the model's.
FIT = set(inspect.signature(fit).parameters) - {'model', 'train', 'val'}
OTHER = {'preset', 'edges', 'shuffled'}


def main(argv: Optional[List[str]] = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        run = take if args.take else search if args.search else rank
        run(args, command('leaderboard.py', argv))
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')


def search(args: argparse.Namespace, words: str) -> None:
    """Tries the candidates of each model on the newest eighth."""
    full = splits(args)
    size = [full[x].sessions for x in ('train', 'val', 'test')]
    fraction = min(1.0, args.fraction + size[2] / sum(size[:2]))
    data = splits(args, fraction=fraction, val_split='time')
    for model in possible(args.models, data['train']):
        own = [dict(args.set)] if args.set else None
        for setting in own or CANDIDATES.get(model, []):
            key = {
                'data': args.dataset,
                'model': model,
                'settings': setting,
                'fraction': args.fraction,
            }
            if not done(args.output, key):
                net, cost = train(args, model, args.seeds[0], setting, data)
                metrics = percent(rank_samples(net, data['val']))
                add(args.output, words, {**key, **metrics, **cost, **about()})


def possible(models: List[str], train: Any) -> List[str]:
    """Those that can be trained on a data set; says which cannot."""
    if train.categories is not None:
        return models
    out = [x for x in models if needs_categories(x)]
    if out:
        print(*out, 'left out: items have no categories')
    return [x for x in models if x not in out]


def take(args: argparse.Namespace, words: str) -> None:
    """Makes rows of the bases of run.py, which are models by their papers."""
    for path in args.take:
        report = load_results(path)
        settings = report['settings']
        for run in report['runs']:
            key = {
                'data': settings['dataset'],
                'model': settings['model'],
                'seed': run['seed'],
                'refit': False,
                'settings': PAPER,
            }
            if run['method'] != 'base' or done(args.output, key):
                continue
            row = {
                **key,
                **{f'val {x}': None for x in METRICS},
                **{x: run.get(x) for x in METRICS},
                'low': None,
                'high': None,
                'epochs': run['best_epoch'],
                'minutes': run['seconds'] / 60,
                'precision': settings['precision'],
                'parameters': None,
                'device': 'cpu',
                'cpu': report['environment']['cpu'],
                'commit': run['commit'],
            }
            add(args.output, words, row)


def rank(args: argparse.Namespace, words: str) -> None:
    """Trains each model by its best setting and reads the test set."""
    data = splits(args)
    session = per_session(data['test'])
    names = possible(args.models, data['train'])
    for seed, model in product(args.seeds, names):
        setting = dict(args.set) or chosen(args.dataset, model)
        key = {
            'data': args.dataset,
            'model': model,
            'seed': seed,
            'refit': args.refit,
            'settings': setting,
        }
        # Counts draw nothing.
        again = model in COUNTS and seed != args.seeds[0]
        if again or done(args.output, key):
            continue
        net, cost = train(args, model, seed, setting, data)
        val = percent(rank_samples(net, data['val']), 'val ')
        if args.refit:
            net, cost = train(args, model, seed, setting, data, refit=True)
        ranks = rank_samples(net, data['test'])
        hits = (ranks <= 20).unsqueeze(0)
        _, low, high, _ = paired_bootstrap(hits, session)
        row = {
            **key,
            **val,
            **percent(ranks),
            'low': 100 * float(low),
            'high': 100 * float(high),
            **cost,
            'parameters': sum(x.numel() for x in net.parameters()),
            **about(),
        }
        add(args.output, words, row, ranks)


def train(
    args: argparse.Namespace,
    model: str,
    seed: int,
    setting: Setting,
    data: Dict[str, SessionDataset],
    refit: bool = False,
) -> Tuple[Any, Setting]:
    """A trained model and what it cost; one that was trained is read."""
    if model in COMPOSED:
        return compose(args, seed, setting, data, refit)
    train_data, everything = data['train'], data.get('all')
    ours = {k: v for k, v in setting.items() if k not in FIT | OTHER}
    if model in COUNTS:
        start = time.perf_counter()
        net = find_class(model, COUNTS)(train_data.num_items, **ours)
        net.fit(everything if refit else train_data)
        minutes = (time.perf_counter() - start) / 60
        return net, {'epochs': 0, 'minutes': minutes, 'precision': 'float32'}
    torch.manual_seed(seed)
    precision = choose_precision('auto', 'cpu')
    name = PIECED if 'piece' in setting else VARIANTS.get(model, (model,))[0]
    cls = find_class(name, MODELS)
    net = cls.from_dataset(train_data, precision=precision, **ours)
    if refit and 'edges' in setting:
        raise ValueError(
            f'{model} counts in nine tenths of the sessions and has no row '
            f'with refit; call without --refit'
        )
    words = [f'{k}={v}' for k, v in setting.items()]
    kind = f'search{args.fraction:g}' if args.search else 'row'
    given = {k: v for k, v in setting.items() if k in FIT}
    history = fit(
        net,
        train_data,
        data['val'],
        edges(setting, train_data, seed),
        **preset(setting.get('preset', 'auto'), train_data, **given),
        seed=seed,
        checkpoint=osp.join(
            args.runs,
            '-'.join([kind, args.dataset, model, *words, f'{seed}.part']),
        ),
        resume=True,
        refit=everything if refit else None,
    )
    cost = {
        'epochs': best_epoch(history),
        'minutes': sum(x['seconds'] for x in history) / 60,
        'precision': precision,
    }
    return net.eval(), cost


def edges(setting: Setting, train: Any, seed: int) -> Optional[BaseTransform]:
    """What the edges of a setting are told by other sessions, if anything."""
    if 'edges' not in setting:
        return None
    augmentation = AUGMENTATIONS[setting['edges']]
    given = {'shuffled': setting.get('shuffled', False)}
    source = Source(train, seed=seed, options={augmentation.name: given})
    return training_transform(augmentation, source.weights(augmentation))


def compose(
    args: argparse.Namespace,
    seed: int,
    setting: Setting,
    data: Dict[str, SessionDataset],
    refit: bool,
) -> Tuple[Any, Setting]:
    """Networks, each with a term for repeats and maybe one for categories,
    and counts, mixed where there are several; with refit, terms and weights
    stay as validation found them. A member `name:1` has the next seed.
    """
    pairs = [x.partition(':') for x in setting['members']]
    names = [x for x, _, _ in pairs]
    seeds = [seed + int(x or 0) for _, _, x in pairs]

    def members(refit: bool) -> Tuple[List[Any], List[Setting]]:
        made = [
            train(args, x, own, chosen(args.dataset, x), data, refit)
            for x, own in zip(names, seeds)
        ]
        return [x for x, _ in made], [x for _, x in made]

    parts, costs = members(False)
    start = time.perf_counter()
    for i, name in enumerate(names):
        if name not in COUNTS:
            parts[i] = fit_repeats(parts[i], data['val'])
            if kind := setting.get('categories'):
                category = data['val'].categories
                if kind == 'shuffled':
                    torch.manual_seed(seed)
                    category = category[torch.randperm(category.numel())]
                parts[i] = fit_categories(parts[i], data['val'], category)
    net = parts[0] if len(parts) == 1 else fit_blend(parts, data['val'])
    minutes = (time.perf_counter() - start) / 60
    if refit:
        new, costs = members(True)
        for i, name in enumerate(names):
            if name in COUNTS:
                parts[i] = new[i]
            elif setting.get('categories'):
                parts[i].model.model = new[i]
            else:
                parts[i].model = new[i]
        if len(parts) > 1:
            net = Blend(parts, net.weight.tolist())
    cost = {
        'epochs': max(x['epochs'] for x in costs),
        'minutes': minutes + sum(x['minutes'] for x in costs),
        'precision': costs[0]['precision'],
    }
    if len(parts) > 1:
        cost['weights'] = net.weight.tolist()
    return net.eval(), cost


def chosen(dataset: str, model: str) -> Setting:
    """The setting that the search found best on a data set, or on another
    where the model was not tried on it.
    """
    if model in COMPOSED:
        return COMPOSED[model]
    if model in VARIANTS:
        base, more = VARIANTS[model]
        return {**chosen(dataset, base), **more}
    if len(CANDIDATES.get(model, [])) == 1:
        return CANDIDATES[model][0]
    rows = [x for x in read(SEARCH) if x['model'] == model]
    tried: List[Setting] = []
    for data in (dataset, 'diginetica', 'yoochoose_100k'):
        tried = tried or [x for x in rows if x['data'] == data]
    if not tried:
        raise ValueError(
            f'no setting of {model} was tried on {dataset}; call with '
            f'--search --models {model} --output {SEARCH} first'
        )
    # Of the largest share of the sessions: more of them tell of drift.
    best = max(tried, key=lambda x: (x['fraction'], x['NDCG@20']))
    setting: Setting = best['settings']
    return setting


def splits(args: argparse.Namespace, **kwargs: Any) -> Dict[str, Any]:
    """The data sets that a search or a row needs."""
    folder = osp.join(args.runs, 'data')
    data = {
        x: load(args.dataset, args.root, x, processed_root=folder, **kwargs)
        for x in ('train', 'val', 'test')
    }
    if args.refit:
        data['all'] = load(
            args.dataset,
            args.root,
            'train',
            processed_root=folder,
            val_ratio=0.0,
        )
    return data


def percent(ranks: Tensor, prefix: str = '') -> Dict[str, float]:
    values = ranking_metrics(ranks)
    return {f'{prefix}{x}': 100 * values[x] for x in METRICS}


def about() -> Setting:
    known = environment('cpu')
    return {x: known[x] for x in ('device', 'cpu', 'commit')}


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = options.parser(
        __doc__,
        'dataset root fraction threads output',
        dataset='yoochoose_100k',
        fraction=1 / 8,
        threads=1,
    )
    add = parser.add_argument
    names = [*MODELS, *COUNTS, *VARIANTS, *COMPOSED]
    text = 'models of the table'
    add(
        '--models',
        nargs='+',
        choices=names,
        default=names,
        metavar='MODEL',
        help=text,
    )
    add('--seeds', nargs='+', type=int, default=[0], help='one row each')
    text = 'try settings instead, on FRACTION and the newest sessions'
    add('--search', action='store_true', help=text)
    text = 'train on everything in the end'
    add('--refit', action='store_true', help=text)
    text = 'KEY=VALUE in place of the settings of the search'
    add('--set', nargs='+', type=arguments.setting, default=[], help=text)
    text = 'make rows of the bases in these files of run.py instead'
    add('--take', nargs='+', default=[], metavar='FILE', help=text)
    text = 'folder of trainings'
    add('--runs', default='runs/leaderboard', help=text)
    args = parser.parse_args(argv)
    args.root = args.root or osp.join('data', args.dataset)
    name = 'leaderboard-search.json' if args.search else 'leaderboard.json'
    args.output = args.output or osp.join(args.runs, name)
    os.makedirs(args.runs, exist_ok=True)
    return args


if __name__ == '__main__':
    main()
