"""Whether edges that carry news help a strong model, beyond their controls.

No table of the thesis.

A model is trained on the newest FRACTION of the training sessions before
those that validate, which are the newest, as many as the test set has; the
test set is not read. Each transform stands beside the plain model and beside
the same with its knowledge shuffled. With --older, what is known is counted
in all sessions before validation. With --bound, 16 random weightings of the
session's own edges are tried on each sample of the trained base: the best of
them for the target, and the one of the surest answer. `two-modes`, where
there are categories, is no transform: SRGNNModes beside SRGNNPlus. Finished
rows and epochs are kept, so that the same command goes on.
"""

import argparse
import os
import os.path as osp
import sys
from itertools import groupby, product
from statistics import mean
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from filelock import FileLock
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import BaseTransform, Compose

from benchmarks.experiments import options
from benchmarks.experiments.board import METRICS, Setting, done, read
from benchmarks.experiments.datasets import load
from benchmarks.experiments.report import environment
from benchmarks.experiments.results import (
    Table,
    command,
    load_ranks,
    rows,
    write,
    write_ranks,
)
from pyg_sessaug.comparison import paired_bootstrap, per_session
from pyg_sessaug.counts import CoVisits
from pyg_sessaug.evaluation import batch_size_of, rank_samples, run_batches
from pyg_sessaug.metrics import ranking_metrics, target_rank
from pyg_sessaug.nn.loss.catalogue import choose_precision
from pyg_sessaug.registry import AUGMENTATIONS, find_class
from pyg_sessaug.training import best_epoch, fit, preset
from pyg_sessaug.training.augmentations import (
    BOUNDS,
    Source,
    lacks,
    training_transform,
)
from pyg_sessaug.transforms import CovisitWeight, NormalizeEdges, usual_gaps

MODES = 'two-modes'
# Methods by the augmentation that each is.
METHODS = {
    'base': 'none',
    'covisit-weight': 'covisit-weight',
    'covisit-context': 'covisit-context',
    'neighbor-context': 'neighbor-context',
    'time-buckets': 'time-buckets',
    'time-buckets-usual': 'time-buckets',
    MODES: 'none',
}
DRAWS = 16


def main(argv: Optional[List[str]] = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    words = command('studies/edges.py', argv)
    data = splits(args, args.fraction)
    known = splits(args, 1.0)['train'] if args.older else data['train']
    names = [
        x + shuffled
        for x in args.methods
        for shuffled in ('', '-shuffled')
        if not (x == 'base' and shuffled)
        and lacks(AUGMENTATIONS[METHODS[x]], data['train']) is None
        and not (x == MODES and data['train'].categories is None)
    ]
    for seed, model, name in product(args.seeds, args.models, names):
        if name.startswith(MODES) and model != 'srgnn-plus':
            continue
        key = {
            'data': args.dataset,
            'model': model,
            'method': name,
            'older': args.older and name != 'base',
            'fraction': args.fraction,
            'seed': seed,
        }
        bound = {**key, 'method': 'bound'}
        wanted = args.bound and name == 'base'
        if done(args.output, key) and not (
            wanted and not done(args.output, bound)
        ):
            continue
        net, cost = train(args, key, data, known)
        session = per_session(data['val'])
        if not done(args.output, key):
            ranks = rank_samples(net, data['val'])
            add(args.output, words, {**key, **cost}, ranks, session)
        if wanted:
            found = draws(net, data['train'], data['val'])
            for method, ranks in found.items():
                row = {**key, **cost, 'method': method}
                add(args.output, words, row, ranks, session)


def train(
    args: argparse.Namespace,
    key: Setting,
    data: Dict[str, Any],
    known: Any,
) -> Tuple[Any, Setting]:
    """A trained model and what it cost; one that was trained is read."""
    train_data, seed = data['train'], key['seed']
    name = key['method'].removesuffix('-shuffled')
    augmentation = AUGMENTATIONS[METHODS[name]]
    given: Setting = {}
    model = key['model']
    ours: Setting = {'precision': choose_precision('auto', 'cpu')}
    if name == MODES:
        model = 'srgnn-modes'
        ours['shuffled_modes'] = name != key['method']
    elif name != key['method']:
        given['shuffled'] = True
    if name == 'time-buckets-usual':
        usual = [0.25, 0.5, 1.0, 2.0, 4.0]
        given.update(bounds=usual, gaps=usual_gaps(known))
    weights = Source(
        known, seed=seed, options={augmentation.name: given}
    ).weights(augmentation)
    steps = training_transform(augmentation, weights)
    offset = known.sessions - train_data.sessions
    if offset > 0 and weights is not None:
        check_newest(train_data, known)
        steps = Compose([Renumbered(offset), *steps.transforms])
    torch.manual_seed(seed)
    if augmentation.name == 'time-buckets':
        ours['num_channels'] = len(BOUNDS) + 1
    net = find_class(model).from_dataset(train_data, args.hidden, **ours)
    limits = {} if args.epochs is None else {'epochs': args.epochs}
    words = '-'.join(str(x) for x in key.values())
    history = fit(
        net,
        train_data,
        data['val'],
        steps,
        **preset('auto', train_data, **limits),
        seed=seed,
        checkpoint=osp.join(args.runs, f'edges-{words}.part'),
        resume=True,
    )
    about = environment('cpu')
    return net.eval(), {
        'epochs': best_epoch(history),
        'minutes': sum(x['seconds'] for x in history) / 60,
        **{x: about[x] for x in ('device', 'cpu', 'commit')},
    }


class Renumbered(BaseTransform):
    """Numbers training sessions as a data set that has older ones, too.

    Args:
        offset: How many it has before.
    """

    batchwise = True

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def forward(self, data: Data) -> Data:
        data.session = torch.where(
            data.session < 0, data.session, data.session + self.offset
        )
        return data


def check_newest(train_data: Any, known: Any) -> None:
    """Whether training sessions are the newest of those that are known."""
    item = train_data.flat_sessions.item
    if not torch.equal(known.flat_sessions.item[-item.numel() :], item):
        raise ValueError(
            'the training sessions are not the newest of all; leave --older '
            'out'
        )


class Exchanged(BaseTransform):
    """Random weights of the law that co-visits have: theirs, exchanged among
    the edges of a batch.
    """

    batchwise, at_test = True, True

    def __init__(self, weights: CovisitWeight) -> None:
        self.weights = weights

    def forward(self, data: Data) -> Data:
        data = self.weights(data)
        order = torch.randperm(data.edge_weight.numel())
        data.edge_weight = data.edge_weight[order]
        return data


def draws(net: Any, train_data: Any, val: Any) -> Dict[str, Tensor]:
    """Ranks under the best of several random weightings for each sample, and
    under the one whose best item is most probable.
    """
    covisits = CoVisits(train_data.num_items).fit(train_data)
    drawn = Exchanged(CovisitWeight(covisits))
    net.test_transform = Compose([drawn, NormalizeEdges()])

    def tell(batch: Batch) -> Tensor:
        score = net.score(batch)
        rank = target_rank(score, batch.y)
        sure = score.log_softmax(dim=1).amax(dim=1)
        return torch.stack([rank.double(), sure.double()], dim=1)

    torch.manual_seed(0)
    size = batch_size_of(net)
    found = [run_batches(net, tell, val, size) for _ in range(DRAWS)]
    rank, sure = torch.stack(found).unbind(dim=2)
    net.test_transform = None
    chosen = sure.argmax(dim=0, keepdim=True)
    return {
        'bound': rank.amin(dim=0).long(),
        'bound without target': rank.gather(0, chosen)[0].long(),
        'one draw': rank[0].long(),
    }


def add(
    path: str, words: str, row: Setting, ranks: Tensor, session: Tensor
) -> None:
    """Writes one more row and its ranks; several processes may."""
    metrics = ranking_metrics(ranks)
    row = {**row, **{x: 100 * metrics[x] for x in METRICS}}
    order = 'data', 'fraction', 'model', 'method', 'older', 'seed'
    mine = 'data', 'fraction'
    with FileLock(f'{path}.lock'):
        found = [*read(path), row]
        beside = f'{path[:-5]}-{row["data"]}-{row["fraction"]:g}.json'
        known = load_ranks(beside) if osp.exists(beside[:-5] + '.npz') else {}
        known[row['seed'], name_of(row)] = ranks.int()
        write_ranks(beside, known)
        found.sort(key=lambda x: [x[k] for k in order])
        gained = [
            x for x in read(path, 'gains') if any(x[k] != row[k] for k in mine)
        ]
        here = [x for x in found if all(x[k] == row[k] for k in mine)]
        for _, group in groupby(here, lambda x: [x[k] for k in order[:-1]]):
            gained.append(gains(list(group), known, session))
        gained.sort(key=lambda x: [x[k] for k in order[:-1]])
        report = {
            'command': words,
            'about': f'{len(found)} rows on all data sets',
            'table': {x: table(gained, x) for x in {y['data'] for y in found}},
            'gains': gained,
            'rows': found,
        }
        write(path, report)


def name_of(row: Setting, method: Optional[str] = None) -> str:
    older = ' older' * (row['older'] and method != 'base')
    return f'{row["model"]} {method or row["method"]}{older}'


def gains(
    group: List[Setting],
    known: Dict[Tuple[int, str], Tensor],
    session: Tensor,
) -> Setting:
    """What a method has over the base and over its control on the mean of its
    seeds, with 95 % intervals; None where these are not there yet.
    """
    row, seeds = group[0], [x['seed'] for x in group]
    keys = 'data', 'fraction', 'model', 'method', 'older'
    out: Setting = {x: row[x] for x in keys}
    out['seeds'] = seeds
    for metric in ('HR@20', 'MRR@20'):
        out[metric] = mean(x[metric] for x in group)

    def values(name: str) -> Optional[Dict[str, Tensor]]:
        found = [known[x, name] for x in seeds if (x, name) in known]
        if len(found) < len(seeds):
            return None
        rank = torch.stack(found)
        hit = (rank <= 20).double()
        return {'HR@20': hit.mean(0), 'MRR@20': (hit / rank).mean(0)}

    mine = values(name_of(row))
    for other in ('base', f'{row["method"]}-shuffled'):
        theirs = values(name_of(row, other))
        against = 'base' if other == 'base' else 'control'
        for metric in ('HR@20', 'MRR@20'):
            cell = None
            if mine and theirs and row['method'] != 'base':
                apart = (mine[metric] - theirs[metric]).unsqueeze(0)
                found = paired_bootstrap(apart, session, 1000)
                cell = [100 * float(x) for x in found[:3]]
            out[f'{metric} over {against}'] = cell
    return out


def table(gained: List[Setting], dataset: str) -> Table:
    """The methods on a data set."""

    def cell(name: str) -> Callable[[Setting], str]:
        def show(row: Setting) -> str:
            if row[name] is None:
                return '–'
            value, low, high = row[name]
            return f'{value:+.2f} [{low:+.2f}, {high:+.2f}]'

        return show

    over = product(('control', 'base'), ('HR@20', 'MRR@20'))
    names = [f'{metric} over {other}' for other, metric in over]
    return rows(
        [x for x in gained if x['data'] == dataset],
        [
            ('edges', lambda x: x['method'] + ', older' * x['older']),
            *((x, cell(x)) for x in names),
            ('HR@20 / MRR@20 (%)', '{HR@20:.2f} / {MRR@20:.2f}'),
            ('model, seeds', lambda x: f'{x["model"]}, {len(x["seeds"])}'),
            ('trained on (%)', '{fraction:.1%}'),
        ],
    )


def splits(args: argparse.Namespace, fraction: float) -> Dict[str, Any]:
    """Training sessions and those that validate, the newest."""

    def get(split: str, **kwargs: Any) -> Any:
        folder = osp.join(args.runs, 'data')
        return load(
            args.dataset, args.root, split, processed_root=folder, **kwargs
        )

    size = [get(x).sessions for x in ('train', 'val', 'test')]
    share = min(1.0, fraction + size[2] / sum(size[:2]))
    return {
        x: get(x, fraction=share, val_split='time') for x in ('train', 'val')
    }


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = options.parser(
        __doc__,
        'dataset root fraction threads output',
        dataset='yoochoose_100k',
        fraction=1 / 8,
        threads=1,
    )
    add = parser.add_argument
    text = 'models to train'
    add('--models', nargs='+', default=['niser', 'srgnn-plus'], help=text)
    text = 'transforms, each followed by its control'
    methods = list(METHODS)
    add('--methods', nargs='+', choices=methods, default=methods, help=text)
    add('--seeds', nargs='+', type=int, default=[0, 1], help='one row each')
    text = 'count in all sessions before validation'
    add('--older', action='store_true', help=text)
    text = 'try random weightings of the base'
    add('--bound', action='store_true', help=text)
    add('--epochs', type=int, help="at most (default: the preset's)")
    add('--hidden', type=int, default=100, help='size of all vectors')
    text = 'folder of trainings'
    add('--runs', default='runs/edges', help=text)
    args = parser.parse_args(argv)
    args.root = args.root or osp.join('data', args.dataset)
    args.output = args.output or osp.join(args.runs, 'edges.json')
    os.makedirs(args.runs, exist_ok=True)
    return args


if __name__ == '__main__':
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
