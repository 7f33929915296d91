r"""What the arguments of the command line say about training."""

import argparse
from typing import Any, Callable, Dict, List

from pyg_sessaug.training import fit_strongest
from pyg_sessaug.training.augmented import checkpoint_files, fit_augmented
from pyg_sessaug.training.distributed import rank
from pyg_sessaug.training.presets import STRONGEST, preset


def fit_model(
    args: argparse.Namespace,
    make: Callable[[], Any],
    train: Any,
    val: Any,
    everything: Any,
) -> 'tuple[Any, Dict[str, List[Dict[str, float]]]]':
    r"""A trained model, and the history of each training by its name.

    Args:
        args (argparse.Namespace): Arguments of the command ``train``.
        make (callable): Returns a model with new weights.
        train (SessionDataset): Training samples.
        val (SessionDataset): Validation samples.
        everything (SessionDataset, optional): Both, if the preset mixes
            the model with neighbours.
    """
    options = {
        'seed': args.seed,
        'resume': args.resume,
        'device': args.device,
        'progress': not args.quiet,
        **training_options(args, train),
    }
    if everything is None:
        return fit_augmented(
            make,
            train,
            val,
            args.augment,
            num_clusters=args.num_clusters,
            checkpoint=args.output,
            **options,
        )
    model, history = fit_strongest(
        make,
        train,
        val,
        everything,
        STRONGEST[args.preset],
        checkpoint=checkpoint_files(args.output, args.augment)['base'],
        **{k: v for k, v in options.items() if 'augmented' not in k},
    )
    return model, {'base': history}


def training_options(args: argparse.Namespace, train: Any) -> Dict[str, Any]:
    r"""The preset, replaced by what was given; says what it chose.

    Args:
        args (argparse.Namespace): Arguments of the command ``train``.
        train (SessionDataset): Training samples.
    """

    def given(*names: str) -> Dict[str, Any]:
        values = {name: getattr(args, name) for name in names}
        return {k: v for k, v in values.items() if v is not None}

    names = 'epochs', 'batch_size', 'lr', 'decay_steps'
    losses = 'loss', 'num_negatives'
    decays = 'weight_decay', 'patience'
    chosen = preset(args.preset, train, **given(*names, *losses, *decays))
    if rank() == 0:
        text = ', '.join(f'{k} {v}' for k, v in chosen.items())
        print(f'preset {args.preset}, for {len(train)} samples: {text}')
    augmented = {f'augmented_{x}': chosen[x] for x in decays}
    if args.preset == 'thesis':  # Its own, of `fit_augmented`
        augmented = {}
    return {
        **chosen,
        **augmented,
        **given(*(f'augmented_{x}' for x in decays)),
    }
