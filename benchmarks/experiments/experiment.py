"""Algorithm 3 of the thesis, one run at a time and resumable."""

import json
import math
import os
import os.path as osp
import time
import zlib
from argparse import Namespace
from dataclasses import replace
from glob import glob
from typing import Any, Callable, Dict, List, Optional

import torch
from torch import Tensor

from benchmarks.experiments.datasets import SPLITS, load
from benchmarks.experiments.methods import (
    DEFAULT,
    PLAIN,
    TIMED,
    WEIGHTED,
    LiveItemDistance,
    Method,
    changed_edges,
    fit_mixture,
    parse_method,
    permute,
    shuffled_clusters,
    time_weights,
    training_transform,
)
from benchmarks.experiments.results import check_same
from pyg_sessaug.clusters import ItemClusters, ItemMixture
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.evaluation import rank_samples
from pyg_sessaug.files import load_state, save_atomically
from pyg_sessaug.nn import SRGNN, TAGNN, CovarianceSRGNN, SessionModel
from pyg_sessaug.nn.loss.catalogue import choose_precision
from pyg_sessaug.training import best_epoch, fit
from pyg_sessaug.training.augmented import fit_clusters
from pyg_sessaug.transforms import (
    ClusterDistance,
    ItemDistance,
    SoftClusterDistance,
    TimeDecay,
    VertexInjection,
    WeightChannels,
)

MODELS = {'srgnn': SRGNN, 'tagnn': TAGNN}


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
        self, seed: int, method: Method, weights: Optional[Callable] = None
    ) -> Dict[str, Any]:
        """One trained and tested model; read from its file if finished.

        Args:
            seed: Every random number of the run derives from it; initial
                weights and order of samples are those of the base.
            method: The method; weights need the seed's base model.
            weights: Transform that sets weights, in place of the method's.

        Returns:
            dict: ``history`` of training, ``weights`` (cluster sizes and
            share of changed edges, if any), ``rank`` of each
            test sample, ``test_seconds`` and the ``model``'s weights.
        """
        return self._finish(seed, method, 'test', weights)

    def validate(self, seed: int, method: Method) -> Dict[str, Any]:
        """The same with the ranks of validation samples, for a search that
        must not look at the test set.
        """
        return self._finish(seed, method, 'val')

    def _finish(
        self,
        seed: int,
        method: Method,
        split: str,
        weights: Optional[Callable] = None,
    ) -> Dict[str, Any]:
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
        history = fit(
            model,
            self.data['train'],
            self.data['val'],
            training_transform(
                method,
                weights,
                self._given('blur'),
                args.edge_power,
                args.anneal,
            ),
            epochs=self.epochs,
            batch_size=args.batch_size,
            lr=args.lr,
            weight_decay=getattr(args, method.option('wd')),
            patience=getattr(args, method.option('patience')),
            decay_steps=self.decay_steps,
            seed=derive(seed, 'base', 'training'),
            device=args.device,
            checkpoint=checkpoint,
            resume=args.resume,
        )
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
        longer = Method(method.name.removesuffix('-patience'))
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
        options = dict(
            hidden_channels=args.hidden,
            num_layers=0 if method.name == 'nograph' else args.num_layers,
            precision=self.precision,
            scale=args.scale,
            dropout=args.dropout,
        )
        if method.name == 'channels':
            timed = train.flat_sessions.time is not None
            options['num_channels'] = 3 if timed else 2
        mixture = None
        if method.name == 'covariance':
            mixture = self._mixture(seed, method)
        # One start and one order of samples for all methods of a seed, lest
        # a lucky start pass for a gain.
        torch.manual_seed(derive(seed, 'base', 'model'))
        if mixture is not None:
            return CovarianceSRGNN(mixture, **options)
        return MODELS[args.model](train.num_items, **options)

    def _given(self, part: str) -> Dict[str, float]:
        """Options of a transform that are not the transform's own."""
        options = {
            name: getattr(self.args, f'{part}_{name}', None)
            for name in ('p', 'std')
        }
        return {k: v for k, v in options.items() if v is not None}

    def _load(self, split: str, fraction: float) -> SessionDataset:
        return load(
            self.args.dataset,
            self.args.root,
            split,
            fraction,
            osp.join(self.args.output, 'data'),
        )

    def _path(self, seed: int, method: Method, suffix: str = 'pt') -> str:
        return osp.join(self.folder, f'seed{seed}-{method.name}.{suffix}')

    def _weights(
        self, seed: int, method: Method, model: SessionModel
    ) -> 'tuple[Any, Any]':
        """What sets weights or nodes, and what to know about it."""
        train = self.data['train']
        weights: Any
        if method.name.startswith('inject'):
            categories = train.categories
            if method.name == 'inject-cluster':
                torch.manual_seed(derive(seed, 'kmeans', 'weights'))
                by_kmeans = replace(method, weights='kmeans')
                categories = self._clusters(seed, by_kmeans).labels
            injection = VertexInjection(
                categories,
                mask=train.seen_items,
                same=method.name != 'inject',
                **self._given('inject'),
            )
            return injection, None
        if method.name == 'channels':
            weights = [
                ItemDistance(self._embedding(seed)),
                ClusterDistance(self._mixture(seed, method).clusters),
            ]
            if train.flat_sessions.time is not None:
                weights.append(TimeDecay())
            return WeightChannels(weights), None
        if method.weights is None:
            return None, None
        about: Dict[str, Any] = {}
        torch.manual_seed(derive(seed, method.weights, 'weights'))
        if method.clustered:
            clusters = self._clusters(seed, method)
            size = clusters.labels[train.seen_items].bincount(
                minlength=clusters.num_clusters
            )
            about['cluster_sizes'] = size.tolist()
            weights = ClusterDistance(clusters, **self._given('edge'))
        elif method.weights == 'soft':
            weights = SoftClusterDistance(self._mixture(seed, method))
        elif method.weights in TIMED:
            weights = time_weights(method)
        elif method.weights == 'live':
            order = permute(train.seen_items) if method.shuffled else None
            live = self._given('edge')
            weights = LiveItemDistance(model, order=order, **live)
        else:
            embedding = self._embedding(seed)
            if method.shuffled:
                embedding = embedding[permute(train.seen_items)]
            weights = ItemDistance(embedding, **self._given('edge'))
        torch.manual_seed(derive(seed, method.name, 'edges'))
        about['changed_edges'] = changed_edges(train, weights)
        return weights, about

    def _embedding(self, seed: int) -> Tensor:
        """Item embeddings of the seed's base model."""
        base = load_state(self._path(seed, Method('base')), 'run base again')
        return base['model']['item_embedding']

    # From a file when resumed: a fit may differ in the last bits.

    def _clusters(self, seed: int, method: Method) -> ItemClusters:
        train = self.data['train']
        path = self._path(seed, method, 'clusters.pt')
        if not (self.args.resume and osp.exists(path)):
            clusters = fit_clusters(
                method.weights,
                self._embedding(seed),
                train.seen_items,
                train.categories,
                self.args.num_clusters,
            )
            if method.shuffled:
                clusters = shuffled_clusters(clusters, train.seen_items)
            clusters.save(path)
        return ItemClusters.load(path)

    def _mixture(self, seed: int, method: Method) -> ItemMixture:
        path = self._path(seed, method, 'mixture.pt')
        if not (self.args.resume and osp.exists(path)):
            # The mixture whose labels gmm uses.
            torch.manual_seed(derive(seed, 'gmm', 'weights'))
            fit_mixture(
                method,
                self._embedding(seed),
                self.data['train'].seen_items,
                self.args.num_clusters,
            ).save(path)
        return ItemMixture.load(path)

    def _choose_methods(self) -> List[Method]:
        """The methods asked for, or all possible; the base comes first."""
        train = self.data['train']
        lacking = {
            'item categories': train.categories is None,
            'click times': train.flat_sessions.time is None,
        }

        def impossible(method: Method) -> bool:
            return lacking.get(method.needs, False)

        methods = self.args.methods or [
            x for x in map(parse_method, DEFAULT) if not impossible(x)
        ]
        methods = list(dict.fromkeys([Method('base'), *methods]))
        if Method('covariance') in methods and self.args.model != 'srgnn':
            raise ValueError(
                f'the method covariance is a variant of srgnn; choose --model '
                f'srgnn, not {self.args.model}'
            )
        for method in filter(impossible, methods):
            others = map(parse_method, [*PLAIN, *WEIGHTED])
            names = [x.name for x in others if not impossible(x)]
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
            check_same(
                self.args.output,
                old,
                self.settings,
                'use the same settings, another --output, or delete the '
                'folder',
            )
        os.makedirs(self.folder, exist_ok=True)
        with open(path, 'w') as f:
            json.dump(self.settings, f, indent=2)
        if not self.args.resume:
            for old_file in glob(osp.join(self.folder, 'seed*-*.pt')):
                os.unlink(old_file)


def derive(seed: int, *names: str) -> int:
    """A seed of its own for each purpose."""
    return zlib.crc32('/'.join([str(seed), *names]).encode())


def stop(history: List[Dict[str, float]], patience: int) -> List:
    """The epochs until none has improved for so many."""
    for count in range(patience, len(history)):
        if count - best_epoch(history[:count]) >= patience:
            return history[:count]
    return history
