r"""Command line: ``python -m pyg_sessaug {prepare,train,evaluate,recommend}``.

Prepares a log of clicks, trains a model on it by Algorithm 3, measures it and
recommends items to sessions of raw ids.
"""

import argparse
import io
import json
import os
import os.path as osp
import shlex
import sys
import warnings
from functools import partial
from itertools import islice
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
    cast,
)

import torch

from pyg_sessaug.arguments import MODELS, load_data, parse_args
from pyg_sessaug.datasets.readers import parse_id
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.metrics import ranking_metrics
from pyg_sessaug.nn.loss.catalogue import choose_precision
from pyg_sessaug.serving.recommender import Id, Recommendations, Recommender
from pyg_sessaug.training import best_epoch
from pyg_sessaug.training.augmented import (
    checkpoint_files,
    fit_augmented,
    remove_checkpoints,
)
from pyg_sessaug.training.distributed import (
    first_on_machine_first,
    process_group,
    rank,
)


def main(argv: Optional[Sequence[str]] = None) -> None:
    r"""Runs a command.

    Args:
        argv (list, optional): Its arguments. (default: :obj:`None`, those
            of the process)
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    args = parse_args(argv)
    try:
        if args.threads is not None:
            torch.set_num_threads(args.threads)
        with process_group():
            COMMANDS[args.command](args)
    except BrokenPipeError:  # Whoever read the output has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (ValueError, TypeError, OSError, ImportError) as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        again = [x for x in argv if x != '--resume']
        again += ['--resume'] * (args.command == 'train')
        command = shlex.join(['python', '-m', 'pyg_sessaug', *again])
        print(f'\nInterrupted. Go on with: {command}', file=sys.stderr)
        sys.exit(130)


def prepare(args: argparse.Namespace) -> None:
    r"""Prepares a log and describes its splits."""
    splits = ['train', *['val'] * (args.val_ratio > 0), 'test']
    for data in load_data(args, splits):
        print(
            f'{data.split}: {data.sessions} sessions, {data.clicks} clicks, '
            f'{len(data)} samples, {data.average_length:.2f} clicks per '
            f'session, {data.repeat_share:.1%} of targets clicked before, '
            f'{data.unseen_target_share:.1%} never seen in training'
        )
    print(
        f'{data.num_items} items, {data.num_categories or "no"} categories; '
        f'prepared files are in {data.processed_dir}'
    )


def train(args: argparse.Namespace) -> None:
    r"""Trains a model and writes a recommender."""
    if osp.isdir(args.output) or not osp.basename(args.output):
        raise IsADirectoryError(f'{args.output} is a folder; name a file')
    files = checkpoint_files(args.output, args.augment).values()
    if args.resume and rank() == 0 and not any(map(osp.exists, files)):
        print(
            f'no .part file of {args.output} to go on from; starting anew',
            file=sys.stderr,
        )
    with first_on_machine_first():
        train, val = load_data(args, ['train', 'val'])
    model, histories = fit_augmented(
        partial(
            MODELS[args.model],
            train.num_items,
            hidden_channels=args.hidden,
            num_layers=args.num_layers,
            precision=choose_precision(args.precision, args.device),
            scale=args.scale,
            dropout=args.dropout,
        ),
        train,
        val,
        args.augment,
        num_clusters=args.num_clusters,
        seed=args.seed,
        weight_decay=args.weight_decay,
        patience=args.patience,
        augmented_weight_decay=args.augmented_weight_decay,
        augmented_patience=args.augmented_patience,
        checkpoint=args.output,
        resume=args.resume,
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        decay_steps=args.decay_steps,
        device=args.device,
        progress=not args.quiet,
    )
    if rank() > 0:
        return
    for name, history in histories.items():
        best = history[best_epoch(history) - 1]
        print(
            f'{name} model: best of {len(history)} epochs is '
            f'{best["epoch"]}, validation loss {best["val_loss"]:.4f}'
        )
    Recommender.from_dataset(model, train).save(args.output)
    remove_checkpoints(args.output, args.augment)
    print(f'Written to {args.output}')


def evaluate(args: argparse.Namespace) -> None:
    r"""Measures a recommender on test or validation sessions."""
    recommender = Recommender.load(args.recommender, args.device)
    (data,) = load_data(args, [args.split])
    ids = data.item_ids
    ids = ids.tolist() if isinstance(ids, torch.Tensor) else ids
    if ids != recommender.item_ids:
        raise ValueError(
            f'{args.recommender} was trained on other items than those of '
            f'this data; use the options it was trained with: '
            f'{recommender.about.get("settings")}'
        )
    _check_same_split(args.recommender, recommender.about, data)
    ranks = rank_samples(recommender.model, data, progress=sys.stderr.isatty())
    result: Dict[str, Any] = {'split': args.split, 'samples': len(data)}
    for k in args.k:
        result.update(ranking_metrics(ranks, k))
    result['unseen_target_share'] = data.unseen_target_share
    result['repeat_share'] = data.repeat_share
    if args.format == 'json':
        print(json.dumps(result))
        return
    print(f'{len(data)} samples of the {args.split} split')
    for k in args.k:
        for name in (f'HR@{k}', f'MRR@{k}'):
            print(f'{name:8}{100 * result[name]:6.2f} %')


def _check_same_split(path: str, about: Dict[str, Any], data: Any) -> None:
    # Another log or other options have training sessions in their test split.
    then = about.get('settings', data.settings)
    changed = [
        f'{key}={then.get(key)!r}, not {value!r}'
        for key, value in data.settings.items()
        if key != 'file' and then.get(key) != value  # It may have moved.
    ]
    raw = about.get('raw_sha256', data.raw_sha256)
    # By contents alone: names may change.
    if sorted(raw.values()) != sorted(data.raw_sha256.values()):
        changed.append('a log of other contents')
    if changed:
        raise ValueError(
            f'{path} was trained with {"; ".join(changed)}: sessions it was '
            f'trained on may be in this {data.split} split; use the same log '
            f'and options'
        )


def recommend(args: argparse.Namespace) -> None:
    r"""Recommends items to sessions from arguments or standard input."""
    recommender = Recommender.load(args.recommender, args.device)
    is_int = isinstance(recommender.item_ids[0], int)
    to_id: Callable[[str], Id] = parse_id if is_int else str
    block = [to_id(x) for x in args.block]
    known = set(recommender.item_ids)
    missing = [x for x in block if x not in known]
    if missing:
        print(f'unknown items to block: {missing}', file=sys.stderr)
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Bytes that are no text belong to an unknown id; the rest goes on.
        sys.stdin.reconfigure(errors='backslashreplace')
    # At a terminal each line gets its answer; else many share the work.
    size = 1 if sys.stdin.isatty() else 512
    if args.separator is not None:
        args.items = [y for x in args.items for y in x.split(args.separator)]
    lines: Iterator[List[str]] = (
        iter([args.items])
        if args.items
        else (
            line.rstrip('\r\n').split(args.separator) if line.strip() else []
            for line in sys.stdin
        )
    )
    number = 0
    while chunk := list(islice(lines, size)):
        sessions = [[to_id(x) for x in line] for line in chunk]
        with warnings.catch_warnings():
            # Unknown ids are printed; none is of a mistaken type.
            warnings.simplefilter('ignore', UserWarning)
            results = recommender.recommend(
                sessions,
                args.k,
                args.exclude_clicked,
                block,
                return_scores=args.format == 'json',
            )
        for result in cast(List[Recommendations], results):
            number += 1
            _print(result, number, args)


def _print(
    result: Recommendations, number: int, args: argparse.Namespace
) -> None:
    if args.format == 'json':
        print(json.dumps(result._asdict()), flush=True)
        return
    if result.unknown or result.fallback:
        parts = [f'unknown items {result.unknown}'] if result.unknown else []
        if result.fallback:
            parts.append('no known item, these are the most popular ones')
        unknown = ''.join(map(str, result.unknown))
        between = [x for x in ',;|' if x in unknown]
        if between and args.separator is None:
            parts.append(f"ids separated so need --separator '{between[0]}'")
        print(f'session {number}: {"; ".join(parts)}', file=sys.stderr)
    separator = ' ' if args.separator is None else args.separator
    print(separator.join(map(str, result.items)), flush=True)


COMMANDS = {
    'prepare': prepare,
    'train': train,
    'evaluate': evaluate,
    'recommend': recommend,
}

if __name__ == '__main__':
    warnings.formatwarning = lambda message, *_: f'warning: {message}\n'
    main()
