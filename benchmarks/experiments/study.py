"""What the studies share: arguments, data, trained models, files."""

import argparse
import json
import os.path as osp
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

import matplotlib.pyplot as plt
import torch

from benchmarks import run
from benchmarks.experiments import options as options_of
from benchmarks.experiments import results
from benchmarks.experiments.datasets import load
from benchmarks.experiments.experiment import Experiment
from benchmarks.experiments.methods import parse_method
from benchmarks.experiments.report import environment
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.nn import SessionModel


def arguments(
    name: str, description: str, data: bool = True, room: str = 'studies'
) -> argparse.ArgumentParser:
    """The options that every study has.

    Args:
        name: Name of the study, and of the files it writes.
        description: What it shows, with its figure, table or section in the
            thesis.
        data: Whether it works on a data set of the user's choice.
        room: Folder of its script.
    """
    shared = 'dataset root fraction' if data else ''
    parser = options_of.parser(
        description, f'{shared} seed threads output', output='runs/studies',
        study=name, room=room,
    )  # fmt: skip
    if data:
        parser.set_defaults(fraction=0.0625)
        text = (
            'output folder of run.py: its settings hold, its models are used, '
            'and those missing are trained there; OUTPUT/run without it'
        )
        parser.add_argument('--run', help=text)
    return parser


def start(
    parser: argparse.ArgumentParser, argv: Optional[List[str]] = None
) -> argparse.Namespace:
    """Reads the arguments and sets threads and seed."""
    args = parser.parse_args(argv)
    args.started = time.perf_counter()
    args.command = results.command(f'{args.room}/{args.study}.py', argv)
    if 'run' in args:
        args.run = args.run or osp.join(args.output, 'run')
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    return args


def call(main: Callable[[], None]) -> None:
    """Calls a script's main function and ends with a line on bad input."""
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')


def read(
    args: argparse.Namespace, split: str, **kwargs: Any
) -> SessionDataset:
    """A split of the data set, for studies that need no model."""
    folder = osp.join(args.output, 'data')
    return load(
        args.dataset, _root(args), split, args.fraction, folder, **kwargs
    )


def experiment(
    args: argparse.Namespace,
    methods: Sequence[str] = ('base',),
    options: Sequence[str] = (),
) -> Experiment:
    """The runs of run.py in ``--run``; trains the methods missing there.

    Data is in its ``data``, a dict by split, and :func:`model` reads its
    models. Its settings become those of the study.

    Args:
        args: The arguments; the seed is that of the runs.
        methods: The methods.
        options: Further options of run.py, for a new folder.
    """
    settings = {}
    path = osp.join(args.run, 'settings.json')
    if osp.exists(path):
        with open(path) as f:
            settings = json.load(f)
        args.dataset, args.fraction = settings['dataset'], settings['fraction']
        if settings['schedule'] == 'steps':  # It stretched the epochs.
            settings['epochs'] = round(settings['epochs'] * args.fraction)
    # Models of a share of the data need the schedule of the whole, or their
    # learning rate is gone before they have learnt. Two epochs without
    # improvement are enough: none of theirs improved after more.
    args_of_run = run.parse_args(
        ['--dataset', args.dataset, '--root', _root(args), '--resume',
         '--fraction', str(args.fraction), '--schedule', 'steps',
         '--patience', '2', '--augmented-patience', '2',
         '--seeds', str(args.seed), '--output', args.run, *options]
    )  # fmt: skip
    args_of_run.methods = [parse_method(name) for name in methods]
    vars(args_of_run).update(
        {key: settings[key] for key in settings if key in args_of_run}
    )
    result = Experiment(args_of_run)
    result.claim()
    for method in result.methods:
        result.run(args.seed, method)
    args.run_settings = result.settings
    # What is drawn next is the same whether or not a model was trained.
    torch.manual_seed(args.seed)
    return result


def model(runs: Experiment, method: str = 'base') -> SessionModel:
    """A trained model, in evaluation mode."""
    seed = runs.args.seeds[0]
    record = runs.run(seed, parse_method(method))
    result = runs.model(seed, parse_method(method))
    result.load_state_dict(record['model'])
    return result.eval()


def write(
    args: argparse.Namespace,
    found: Dict[str, Any],
    lines: results.Table,
    figure: Any = None,
    name: Optional[str] = None,
) -> None:
    """Writes JSON, a Markdown table and a figure, and prints the table.

    Args:
        args: The arguments; folders do not enter the files.
        found: Plain values, without paths.
        lines: Rows of the table, its head first.
        figure: A figure of matplotlib.
        name: Name of the files if it is not that of the study.
    """
    hidden = 'root run output command study room threads started'.split()
    settings = {k: v for k, v in vars(args).items() if k not in hidden}
    report = {
        'command': args.command,
        'about': about(settings),
        'table': lines,
        'study': args.study,
        'settings': settings,
        'environment': environment('cpu'),
        'seconds': time.perf_counter() - args.started,
        **found,
    }
    path = osp.join(args.output, f'{name or args.study}.json')
    results.write(path, report, figure=figure)
    if figure is not None:
        plt.close(figure)


def about(settings: Dict[str, Any]) -> str:
    """On what model and data a study ran, in a line."""
    parts = []
    trained = settings.get('run_settings')
    if trained:
        parts.append(f'{trained["model"].upper()}, {trained["precision"]}')
    if 'dataset' in settings:
        share = settings['fraction']
        kept = '' if share == 1 else f', newest {share:.4g} of the sessions'
        parts.append(f'{settings["dataset"]}{kept}')
    seeds = settings['seeds'] if 'seeds' in settings else [settings['seed']]
    parts.append(f'seed {", ".join(map(str, seeds))}')
    return '; '.join(parts)


def _root(args: argparse.Namespace) -> str:
    return args.root or osp.join('data', args.dataset)
