r"""What the command line does, behind its arguments."""

import argparse
import copy
import json
import os.path as osp
import sys
import warnings
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Optional

import torch

from pyg_sessaug import evaluation
from pyg_sessaug.data.progress import quietly
from pyg_sessaug.datasets.arguments import check_same_split, load_data
from pyg_sessaug.datasets.report import format_report
from pyg_sessaug.datasets.values import parse_id
from pyg_sessaug.files import save_together
from pyg_sessaug.nn.constructor import (
    accepted,
    argument_names,
    arguments_of,
)
from pyg_sessaug.nn.interface import check_interface
from pyg_sessaug.nn.loss.catalogue import choose_precision
from pyg_sessaug.nn.models.session_term import SessionTerm
from pyg_sessaug.registry import COUNTS, find_class
from pyg_sessaug.serving.lines import (
    answer_lines,
    join_ids,
    read_blocks,
    split_ids,
)
from pyg_sessaug.serving.options import chosen_items, table_options
from pyg_sessaug.serving.page import model_page
from pyg_sessaug.serving.recommender import Recommender
from pyg_sessaug.serving.tables import answer_table, tell
from pyg_sessaug.serving.vocabulary import Id
from pyg_sessaug.training import best_epoch, warm_start
from pyg_sessaug.training.augmented import (
    checkpoint_files,
    new_model,
    remove_checkpoints,
)
from pyg_sessaug.training.distributed import (
    first_on_machine_first,
    process_group,
    rank,
)
from pyg_sessaug.training.options import fit_model
from pyg_sessaug.training.presets import STRONGEST
from pyg_sessaug.training.state import alone

# What a recommender's file keeps of each epoch.
LOSSES = ('train_loss', 'val_loss')
# Options of networks and their training.
TRAINING = (
    *('init', 'hidden', 'num_layers', 'scale', 'dropout', 'epochs'),
    *('batch_size', 'lr', 'decay_steps', 'weight_decay'),
    *('patience', 'loss', 'num_negatives'),
)


def prepare(args: argparse.Namespace) -> None:
    r"""Prepares a log and describes its splits."""
    (data,) = (load_data if args.json else load_told)(args, ['train'])
    if args.json:
        print(json.dumps(data.report))
        return
    print(format_report(data.report))
    print(f'prepared files are in {data.processed_dir}')


def train(args: argparse.Namespace) -> None:
    r"""Trains a model and writes a recommender."""
    strongest = args.preset in STRONGEST
    if strongest and args.init is None:
        args.model = args.model or 'srgnn-plus'
    if strongest and args.augment != 'none':
        raise ValueError(
            f'--preset {args.preset} trains on plain graphs; drop --augment '
            f'{args.augment}, or take --preset auto'
        )
    if strongest and args.val_file is not None:
        raise ValueError(
            f'--preset {args.preset} looks at all training sessions in the '
            f'end, and --val-file keeps some of them apart; name these files '
            f'by one pattern of --log, or take --preset auto'
        )
    if osp.isdir(args.output) or not osp.basename(args.output):
        raise IsADirectoryError(f'{args.output} is a folder; name a file')
    if args.model in COUNTS:
        count(args)
        return
    earlier = load_earlier(args)  # Or hours of reading are for nothing.
    files = checkpoint_files(args.output, args.augment).values()
    if args.resume and rank() == 0 and not any(map(osp.exists, files)):
        print(
            f'no .part file of {args.output} to go on from; starting anew',
            file=sys.stderr,
        )
    load = load_data if args.quiet else load_told
    with first_on_machine_first():
        train, val = load(args, ['train', 'val'])
        everything = None
        if strongest:
            whole = argparse.Namespace(**{**vars(args), 'val_ratio': 0.0})
            (everything,) = load(whole, ['train'])
    if rank() == 0 and not args.quiet and train.report:
        print(format_report(train.report), file=sys.stderr)
    with alone(args.output):
        model, histories = fit_model(
            args,
            model_maker(args, train, earlier),
            train,
            val,
            everything,
        )
        if rank() > 0:
            return
        for name, history in histories.items():
            validated = [x for x in history if 'val_loss' in x]
            best = history[best_epoch(history) - 1]
            print(
                f'{name} model: best of {len(validated)} epochs is '
                f'{best["epoch"]}, validation loss {best["val_loss"]:.4f}'
            )
        recommender = Recommender.from_dataset(model, train)
        recommender.about['history'] = {
            name: [{k: x[k] for k in LOSSES if k in x} for x in history]
            for name, history in histories.items()
        }
        if everything is not None:
            network, neighbors = model.weight.tolist()
            terms = [
                f'{"a" if x.bias.any() else "no"} term for {x.what}'
                for x in model.members[0].modules()
                if isinstance(x, SessionTerm)
            ]
            print(
                f'weights: network {network:.2f}, neighbours {neighbors:.2f}; '
                f'{", ".join(reversed(terms))}'
            )
            recommender.about['refit'] = True
            recommender.popularity = everything.popularity
        recommender.save(args.output)
        remove_checkpoints(args.output, args.augment)
    print(f'Written to {args.output}')


def count(args: argparse.Namespace) -> None:
    r"""Counts in all training sessions and writes a recommender."""
    given = [x for x in TRAINING if getattr(args, x) is not None]
    if args.preset in STRONGEST or args.augment != 'none' or given:
        raise ValueError(
            f'--model {args.model} counts and is not trained; drop --preset, '
            f'--augment and options of networks and their training'
        )
    if rank() > 0:  # Of several processes, the first counts.
        return
    whole = argparse.Namespace(**{**vars(args), 'val_ratio': 0.0})
    load = load_data if args.quiet else load_told
    (train,), (everything,) = load(args, ['train']), load(whole, ['train'])
    if not args.quiet and train.report:
        print(format_report(train.report), file=sys.stderr)
    cls = find_class(args.model, COUNTS)
    options = accepted(cls, dict(args.set))
    model = cls(train.num_items, **options).fit(everything)
    recommender = Recommender.from_dataset(model, train)
    if args.val_file is None:  # Whose sessions are not among all.
        recommender.about['refit'] = True
    recommender.popularity = everything.popularity
    with alone(args.output):
        recommender.save(args.output)
    print(f'Written to {args.output}')


def evaluate(args: argparse.Namespace) -> None:
    r"""Measures a recommender on test or validation sessions."""
    recommender = load_recommender(args)
    (data,) = load_data(args, [args.split], recommender.about)
    ids = data.item_ids
    ids = ids.tolist() if isinstance(ids, torch.Tensor) else ids
    if ids != recommender.item_ids:
        raise ValueError(
            f'{args.recommender} was trained on other items than those of '
            f'this data; use the options it was trained with: '
            f'{recommender.about.get("settings")}'
        )
    if args.split == 'val' and recommender.about.get('refit'):
        raise ValueError(
            f'{args.recommender} was trained on validation sessions, too; '
            f'measure it on --split test'
        )
    check_same_split(args.recommender, recommender.about, data)
    metrics = evaluation.evaluate(recommender, data, args.k)
    result: Dict[str, Any] = {'split': args.split, 'samples': len(data)}
    result.update(metrics)
    result['unseen_target_share'] = data.unseen_target_share
    result['repeat_share'] = data.repeat_share
    if args.format == 'json':
        print(json.dumps(result))
        return
    print(f'{len(data)} samples of the {args.split} split')
    for name, value in metrics.items():
        if name.startswith('Popularity'):
            print(f'{name:14}{value:7.1f} training clicks an item')
        else:
            print(f'{name:14}{100 * value:6.2f} %')


def recommend(args: argparse.Namespace) -> None:
    r"""Recommends items to sessions from arguments or standard input."""
    recommender = load_recommender(args)
    is_int = isinstance(recommender.item_ids[0], int)
    to_id: Callable[[str], Id] = parse_id if is_int else str
    ask = partial(
        recommender.recommend,
        k=args.k,
        exclude_clicked=args.exclude_clicked,
        block=chosen_items('block', args, recommender.item_ids, to_id) or (),
        allow=chosen_items('allow', args, recommender.item_ids, to_id),
    )
    blocks: Iterator[List[str]]
    if args.input is not None or args.output is not None:
        settings = recommender.about.get('settings', {})
        options = table_options(args, settings)
        counts = answer_table(args.input, args.output, ask, to_id, **options)
        print(tell(counts), file=sys.stderr)
        return
    if args.items:
        items = args.items
        if args.separator is not None:
            items = [y for x in items for y in split_ids(x, args.separator)]
        blocks = iter([[join_ids(items, args.separator)]])
    else:
        encoding = getattr(sys.stdin, 'encoding', None) or 'utf-8'
        blocks = read_blocks(sys.stdin.buffer, encoding)
    with warnings.catch_warnings():
        # Unknown ids are printed; none is of a mistaken type.
        warnings.simplefilter('ignore', UserWarning)
        as_json = args.format == 'json'
        answer_lines(blocks, ask, to_id, args.separator, as_json)


def plot(args: argparse.Namespace) -> None:
    r"""Draws a recommender as a page of HTML."""
    args.device = 'cpu'
    recommender = load_recommender(args)
    is_int = isinstance(recommender.item_ids[0], int)
    session = [parse_id(x) if is_int else x for x in args.session]
    output = args.output or f'{osp.splitext(args.recommender)[0]}.html'
    torch.manual_seed(0)
    page = model_page(recommender, session, args.max_items)

    def write(path: str) -> None:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(page)

    save_together({output: write})
    print(f'Written to {output}')


def load_told(args: argparse.Namespace, splits: List[str]) -> List[Any]:
    r"""Data whose report is printed, without the warnings that stand there."""
    caught: List[warnings.WarningMessage] = []
    said: List[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            data = load_data(args, splits)
        said = data[0].report.get('warnings', [])
        return data
    finally:
        for x in caught:
            if str(x.message) not in said:
                warnings.warn_explicit(
                    x.message, x.category, x.filename, x.lineno
                )


def load_recommender(args: argparse.Namespace) -> Recommender:
    r"""The recommender that the arguments name."""
    cls = None if args.model is None else find_class(args.model)
    return Recommender.load(args.recommender, args.device, cls)


def device(text: Optional[str]) -> str:
    r"""The device of that name, if it works here; by default the best.

    Raises:
        ValueError: If it does not.
    """
    if text is None:
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        if torch.empty(0, device=text).is_meta:
            raise RuntimeError('it holds no values')
    except (AssertionError, RuntimeError) as error:
        line = str(error).splitlines()[0]
        raise ValueError(
            f'argument --device: cannot use {text!r}: {line}'
        ) from error
    return text


def load_earlier(args: argparse.Namespace) -> Optional[Recommender]:
    r"""The recommender to go on from, if there is one; of a mixture its
    network.
    """
    if args.init is None:
        return None
    cls = None if args.model is None else find_class(args.model)
    earlier = Recommender.load(args.init, model=cls)
    whole = earlier.model
    if isinstance(whole, torch.nn.Module):
        networks = (x for x in whole.modules() if hasattr(x, 'item_embedding'))
        earlier.model = next(networks, whole)
    check_interface(earlier.model, 'item_embedding', 'from_dataset')
    goes_on = earlier.model is not whole and args.preset not in STRONGEST
    if goes_on and rank() == 0:
        print(
            f'of the {type(whole).__name__} in {args.init} the network goes '
            f'on alone; --preset best makes a blend of it again',
            file=sys.stderr,
        )
    return earlier


def model_maker(
    args: argparse.Namespace, train: Any, earlier: Optional[Recommender]
) -> Callable[[], Any]:
    r"""What makes the model that the arguments describe.

    Args:
        args (argparse.Namespace): Arguments of a command that trains.
        train (SessionDataset): Training samples.
        earlier (Recommender, optional): What it goes on from.

    Raises:
        ValueError: If the model takes no such argument, or the one to go on
            from is another.
    """
    cls = find_class(args.model or 'srgnn')
    options: Dict[str, Any] = {}
    if earlier is not None:
        if args.model is None:
            cls = type(earlier.model)
        if cls is type(earlier.model):
            options = arguments_of(earlier.model)
        for name in ('num_items', 'precision'):
            options.pop(name, None)
    given = {
        'hidden_channels': args.hidden,
        'num_layers': args.num_layers,
        'scale': args.scale,
        'dropout': args.dropout,
        **dict(args.set),
    }
    options = {**options, **accepted(cls, given)}
    if 'precision' in argument_names(cls):
        precision = choose_precision(args.precision, args.device)
        options.setdefault('precision', precision)

    def make() -> Any:
        return cls.from_dataset(train, **options)

    if earlier is None:
        return make
    model = new_model(make, args.seed)
    counts = warm_start(model, earlier, train)
    if rank() == 0:
        text = ', '.join(f'{n} {k}' for k, n in counts.items())
        print(f'items of {args.init}: {text}')
    return partial(copy.deepcopy, model)


COMMANDS = {
    'prepare': prepare,
    'train': train,
    'evaluate': evaluate,
    'recommend': recommend,
    'plot': plot,
}


def run(args: argparse.Namespace) -> None:
    r"""Runs the command that the arguments name."""
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    if hasattr(args, 'device'):
        args.device = device(args.device)
    with process_group(), quietly(getattr(args, 'quiet', False)):
        COMMANDS[args.command](args)
