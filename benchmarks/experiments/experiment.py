"""Algorithm 3 of the thesis, one run at a time and resumable."""

import json
import math
import os
import os.path as osp
import time
from argparse import Namespace
from functools import partial
from glob import glob
from typing import Any, Callable, Dict, List, Optional

import torch
from torch_geometric.transforms import Compose

from benchmarks.experiments.datasets import SPLITS, load
from benchmarks.experiments.methods import (
    DEFAULT,
    METHODS,
    WEIGHTED,
    Annealed,
    Method,
    Power,
    Sources,
    changed_edges,
    parse_method,
)
from benchmarks.experiments.results import check_same
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.files import load_state, save_atomically
from pyg_sessaug.nn import CovarianceSRGNN, SessionModel
from pyg_sessaug.nn.constructor import accepted
from pyg_sessaug.nn.loss.catalogue import choose_precision
from pyg_sessaug.registry import find_class
from pyg_sessaug.training import best_epoch
from pyg_sessaug.training.augmentations import (
    derive,
    lacks,
    training_transform,
)
from pyg_sessaug.training.augmented import fit_one, new_model
from pyg_sessaug.transforms import ClusterDistance


class Experiment:
    """All runs of one data set and model, and their folder.

    Args:
        args: Arguments of the command line.
    """

    def __init__(self, args: Namespace) -> None:
        self.args = args
        self.folder = osp.join(args.output, 'models')
        self.data = {x: self._load(x, args.fraction) for x in SPLITS}
        self.decay_steps: Optional[int] = None
        self.epochs = args.epochs
        if args.schedule == 'steps':
            whole = len(self._load('train', 1.0))
            self.decay_steps = 2 * math.ceil(whole / args.batch_size)
            self.epochs = math.ceil(args.epochs / args.fraction)
        self.precision = choose_precision(args.precision, args.device)
        self.methods = self._choose_methods()

    @property
    def settings(self) -> Dict[str, Any]:
        """Whatever changes the result of a run."""
        names = (
            'dataset model fraction schedule batch_size lr num_layers '
            'hidden num_clusters weight_decay augmented_weight_decay patience '
            'augmented_patience scale dropout edge_p edge_power inject_p '
            'blur_p blur_std anneal'
        )
        return {
            **{name: getattr(self.args, name) for name in names.split()},
            'epochs': self.epochs,
            'decay_steps': self.decay_steps,
            'precision': self.precision,
            'raw_sha256': self.data['train'].raw_sha256,
        }

    def run(
        self,
        seed: int,
        method: Method,
        weights: Optional[Callable] = None,
        split: str = 'test',
    ) -> Dict[str, Any]:
        """One trained and tested model; read from its file if finished.

        Args:
            seed: Every random number of the run derives from it; initial
                weights and order of samples are those of the base.
            method: The method; weights need the seed's base model.
            weights: Transform that sets weights, in place of the method's.
            split: Whose samples are ranked; ``'val'`` for a search that must
                not look at the test set.

        Returns:
            dict: ``history`` of training, ``weights`` (cluster sizes and
            share of changed edges, if any), ``rank`` of each
            sample, ``test_seconds`` and the ``model``'s weights.
        """
        args = self.args
        suffix = 'pt' if split == 'test' else f'{split}.pt'
        path = self._path(seed, method, suffix)
        if args.resume and osp.exists(path):
            return load_state(path, 'delete it to run it again')
        record = self._stopped_sooner(seed, method, suffix)
        if record is not None:
            save_atomically(record, path)
            return record
        model = self.model(seed, method)
        about = None
        if weights is None:
            weights, about = self._weights(seed, method, model)
        checkpoint = self._path(seed, method, 'unfinished.pt')
        history = fit_one(
            method, model, self.data['train'], self.data['val'],
            self._transform(method, weights), seed, args.weight_decay,
            args.patience, args.augmented_weight_decay,
            args.augmented_patience, epochs=self.epochs,
            batch_size=args.batch_size, lr=args.lr, schedule='steps',
            decay_steps=self.decay_steps, device=args.device,
            checkpoint=checkpoint, resume=args.resume,
        )  # fmt: skip
        start = time.perf_counter()
        rank = rank_samples(model, self.data[split])
        record = {
            'history': history,
            'weights': about,
            'rank': rank.int(),
            'test_seconds': time.perf_counter() - start,
            'model': {k: v.cpu() for k, v in model.state_dict().items()},
        }
        save_atomically(record, path)
        os.unlink(checkpoint)
        return record

    def _stopped_sooner(
        self, seed: int, method: Method, suffix: str
    ) -> Optional[Dict[str, Any]]:
        """A finished run that differs in patience alone, cut short.

        None if there is none, or the shorter run would have stopped before
        the best epoch: weights of other epochs are not kept.
        """
        longer = METHODS.get(method.name.removesuffix('-patience'), method)
        path = self._path(seed, longer, suffix)
        patience = self.args.augmented_patience
        if longer == method or not osp.exists(path):
            return None
        if patience > self.args.patience:
            return None
        record = load_state(path, 'delete it to run it again')
        history = stop(record['history'], patience)
        if best_epoch(history) != best_epoch(record['history']):
            return None
        return {**record, 'history': history}

    def model(self, seed: int, method: Method) -> SessionModel:
        """The untrained model of a run."""
        args, train = self.args, self.data['train']
        cls: Any = find_class(args.model)
        layers = 0 if method.name == 'nograph' else args.num_layers
        options = dict(num_layers=layers, precision=self.precision)
        options.update(scale=args.scale, dropout=args.dropout)
        if method.name == 'channels':
            timed = train.flat_sessions.time is not None
            options['num_channels'] = 3 if timed else 2
        options = accepted(cls, options)
        make = partial(cls.from_dataset, train)
        if method.name == 'covariance':
            mixture = self._source(seed, method).mixture()
            make = partial(CovarianceSRGNN, mixture)
        return new_model(partial(make, args.hidden, **options), seed)

    def _given(self, part: str) -> Dict[str, float]:
        """Options of a transform that are not the transform's own."""
        names = {k: f'{part}_{k}' for k in ('p', 'std')}
        options = {k: getattr(self.args, x, None) for k, x in names.items()}
        return {k: v for k, v in options.items() if v is not None}

    def _transform(self, method: Method, weights: Optional[Callable]) -> Any:
        """What a training batch goes through."""
        args = self.args
        if args.edge_power is not None and method.weights in WEIGHTED:
            weights = Compose([weights, Power(args.edge_power)])
        steps = training_transform(method, weights, **self._given('blur'))
        if args.anneal is None:
            return steps
        return Annealed(steps.transforms, args.anneal)

    def _load(self, split: str, fraction: float) -> SessionDataset:
        args, folder = self.args, osp.join(self.args.output, 'data')
        return load(args.dataset, args.root, split, fraction, folder)

    def _path(self, seed: int, method: Method, suffix: str = 'pt') -> str:
        return osp.join(self.folder, f'seed{seed}-{method.name}.{suffix}')

    def _source(
        self, seed: int, method: Method, model: Optional[SessionModel] = None
    ) -> Sources:
        """What a method's weights are made from."""
        embedding = None
        if method.from_base:
            path = self._path(seed, parse_method('base'))
            base = load_state(path, 'run base again')
            embedding = base['model']['item_embedding']
        return Sources(
            self.data['train'], embedding, self.args.num_clusters, seed,
            self._path(seed, method, 'clusters.pt'), self.args.resume,
            {part: self._given(part) for part in ('edge', 'inject')},
            '-shuffled' in method.name,
            self._path(seed, method, 'mixture.pt'), model,
        )  # fmt: skip

    def _weights(
        self, seed: int, method: Method, model: SessionModel
    ) -> 'tuple[Any, Any]':
        """What sets weights or nodes, and what to know about it."""
        weights = self._source(seed, method, model).weights(method)
        if method.weights not in WEIGHTED:
            return weights, None
        train, about = self.data['train'], {}
        if isinstance(weights, ClusterDistance):
            clusters = weights.clusters
            seen, k = train.seen_items, clusters.num_clusters
            size = clusters.labels[seen].bincount(minlength=k)
            about['cluster_sizes'] = size.tolist()
        torch.manual_seed(derive(seed, method.name, 'edges'))
        about['changed_edges'] = changed_edges(train, weights)
        return weights, about

    def _choose_methods(self) -> List[Method]:
        """The methods asked for, or all possible; the base comes first."""
        train = self.data['train']

        def impossible(method: Method) -> bool:
            return lacks(method, train) is not None

        methods = self.args.methods or [
            x for x in map(parse_method, DEFAULT) if not impossible(x)
        ]
        methods = list(dict.fromkeys([METHODS['base'], *methods]))
        if METHODS['covariance'] in methods and self.args.model != 'srgnn':
            raise ValueError(
                f'the method covariance is a variant of srgnn; choose --model '
                f'srgnn, not {self.args.model}'
            )
        for method in filter(impossible, methods):
            names = [k for k, x in METHODS.items() if not impossible(x)]
            raise ValueError(
                f'{self.args.dataset} has no {method.needs} in '
                f'{self.args.root}, but {method.name} needs them; choose '
                f'from {", ".join(names)}'
            )
        return methods

    def claim(self) -> None:
        """Makes the output folder that of these settings: those of other
        ones are refused, and without --resume older runs are deleted.
        """
        path = osp.join(self.args.output, 'settings.json')
        if osp.exists(path) and glob(osp.join(self.folder, 'seed*-*.pt')):
            with open(path) as f:
                old = json.load(f)
            remedy = 'use the same settings, another --output, or delete it'
            check_same(self.args.output, old, self.settings, remedy)
        os.makedirs(self.folder, exist_ok=True)
        with open(path, 'w') as f:
            json.dump(self.settings, f, indent=2)
        if not self.args.resume:
            for old_file in glob(osp.join(self.folder, 'seed*-*.pt')):
                os.unlink(old_file)


def stop(history: List[Dict[str, float]], patience: int) -> List:
    """The epochs until none has improved for so many."""
    for count in range(patience, len(history)):
        if count - best_epoch(history[:count]) >= patience:
            return history[:count]
    return history
