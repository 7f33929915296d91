"""Trains session models on plain and augmented graphs and compares them."""

import argparse
import os.path as osp
import shlex
import sys
from itertools import product
from typing import List, Optional

import torch

from benchmarks.experiments import options
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import DEFAULT, GRAMMAR, parse_method
from benchmarks.experiments.options import natural, positive
from benchmarks.experiments.plots import plot_curves, plot_metrics
from benchmarks.experiments.report import collect, summary
from benchmarks.experiments.results import command, write, write_ranks
from pyg_sessaug.arguments import model_name
from pyg_sessaug.registry import MODELS
from pyg_sessaug.training.state import alone

DESCRIPTION = """\
Trains a base model on plain session graphs, takes distances and clusters of
items from it, trains fresh models on augmented graphs and compares all of
them on plain test graphs. Without arguments: the main job, on generated
multimodal sessions, two to three minutes on one core.
"""

# The generated sessions are few, so training takes larger steps; and matrices
# are so small that two threads wait for one another more than they compute.
DEFAULTS = {'epochs': 20, 'lr': 1e-3, 'seeds': [0, 1, 2], 'threads': None}
MULTIMODAL = {'epochs': 4, 'lr': 1e-2, 'seeds': [0, 1], 'threads': 1}


def main(argv: Optional[List[str]] = None) -> None:
    args = parse_args(argv)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    try:
        experiment = Experiment(args)
        print(summary(experiment))
        with alone(experiment.folder):
            experiment.claim()
            runs = {}
            todo = list(product(args.seeds, experiment.methods))
            for i, (seed, method) in enumerate(todo, start=1):
                place = f'[{i}/{len(todo)}]'
                print(f'{place} seed {seed}, {method.name}', flush=True)
                runs[seed, method.name] = experiment.run(seed, method)
            results = collect(experiment, runs, command('run.py', argv))
            path = osp.join(args.output, 'results.json')
            write_ranks(path, {key: run['rank'] for key, run in runs.items()})
            plot_curves(results, runs, osp.join(args.output, 'curves.png'))
            plot_metrics(results, osp.join(args.output, 'metrics.png'))
            print()
            write(path, results, table='table.md')
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        again = [x for x in argv or sys.argv[1:] if x != '--resume']
        go_on = shlex.join(['python', sys.argv[0], *again, '--resume'])
        print(f'\nInterrupted. Go on with: {go_on}', file=sys.stderr)
        sys.exit(130)


def parse_args(argv: Optional[List[str]] = None) -> argparse.Namespace:
    shared = 'dataset root fraction threads output'
    parser = options.parser(DESCRIPTION, shared, GRAMMAR, dataset='multimodal')
    add = parser.add_argument
    # fmt: off
    add('--model', type=model_name, default='srgnn',
        help=f'{", ".join(MODELS)}, or MODULE:CLASS')
    add('--methods', nargs='+', type=parse_method, metavar='METHOD',
        help=f'see below; without it {" ".join(DEFAULT)}, the last where '
             'items have categories; base is always run')
    add('--seeds', nargs='+', type=int, metavar='SEED',
        help='one run each; 0 1 2, or for multimodal 0 1 without it')
    add('--schedule', choices=['epochs', 'steps'], default='epochs',
        help='decay the learning rate every 2 epochs, or after as many steps '
             'as 2 epochs of the whole training set have, and allow EPOCHS / '
             'FRACTION epochs')
    add('--epochs', type=positive,
        help='epochs at most; 20, or for multimodal 4 without it')
    add('--batch-size', type=positive, default=100, help='samples of a step')
    add('--lr', type=float,
        help='learning rate; 0.001, or for multimodal 0.01 without it')
    add('--num-layers', type=natural,
        help="steps of message passing; the model's own without it")
    add('--hidden', type=positive, default=100, help='size of all vectors')
    add('--scale', type=float,
        help='score items by cosine times this, as NISER does; the '
             "model's own without it")
    add('--dropout', type=float,
        help='share of the entries of item vectors dropped; the '
             "model's own without it")
    add('--num-clusters', type=positive, default=8, help='of items')
    add('--edge-p', type=float,
        help='probability that i2i, live, gmm, kmeans and category weigh an '
             "edge; the transforms' own, 0.5, without it")
    add('--edge-power', type=float,
        help='raise the weights of edges to this power, 1 over a temperature')
    add('--inject-p', type=float,
        help='probability that inject adds to a session of one category; '
             "VertexInjection's own, 0.5, without it")
    add('--blur-p', type=float,
        help="probability that a cell is blurred; GaussianBlur's own, 0.5, "
             'without it')
    add('--blur-std', type=float,
        help="deviation of the blur; GaussianBlur's own, 0.01, without it")
    add('--anneal', type=positive, metavar='EPOCHS',
        help='lower the probabilities of weights, injected items and blur by '
             'as much each epoch, down to 0 after so many')
    add('--weight-decay', type=float, default=1e-5, help='of plain runs')
    add('--patience', type=positive, default=5,
        help='epochs without improvement before stopping')
    add('--augmented-weight-decay', type=float, default=1e-6,
        help='of augmented runs and base-wd')
    add('--augmented-patience', type=positive, default=4,
        help='of augmented runs and base-patience')
    add('--precision', choices=['auto', 'float32', 'bf16'], default='auto',
        help='of the large products; auto: bf16 where it is native')
    add('--device', default='cpu', help='of training')
    add('--resume', action='store_true',
        help='skip finished runs in the output folder and go on with an '
             'unfinished one; without it all start anew')
    # fmt: on
    args = parser.parse_args(argv)

    defaults = MULTIMODAL if args.dataset == 'multimodal' else DEFAULTS
    for key, value in defaults.items():
        if getattr(args, key) is None:
            setattr(args, key, value)
    args.seeds = list(dict.fromkeys(args.seeds))
    args.root = args.root or osp.join('data', args.dataset)
    if args.model in ('srgnn', 'tagnn'):  # As older results tell it.
        args.num_layers = 2 if args.num_layers is None else args.num_layers
        args.dropout = args.dropout or 0.0
    name = args.model.replace(':', '-')
    args.output = args.output or f'runs/{args.dataset}-{name}'
    try:
        torch.empty(0, device=args.device)
    except (AssertionError, RuntimeError) as error:
        parser.error(f'argument --device: cannot use {args.device!r}: {error}')
    return args


if __name__ == '__main__':
    main()
