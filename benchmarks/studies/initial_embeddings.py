"""Do item vectors of Word2Vec help a model to start?"""

import math
from itertools import pairwise
from statistics import mean
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor

from benchmarks.experiments import study
from benchmarks.experiments.datasets import SPLITS
from benchmarks.experiments.options import positive
from benchmarks.experiments.plots import COLORS, legend_below, panels
from benchmarks.experiments.report import outcome
from benchmarks.experiments.results import Table, rows
from pyg_sessaug import evaluate, fit
from pyg_sessaug.datasets import SessionDataset
from pyg_sessaug.nn import SRGNN, SessionModel
from pyg_sessaug.training.augmentations import derive

METHODS = {
    'normal': 'normal',
    'word2vec': 'Word2Vec',
    'frozen': 'Word2Vec, frozen in the first epoch',
}
BATCH_SIZE = 100
# First steps of training, and steps of a moving average:
FIRST, WINDOW = 50, 50


def main(argv: Optional[List[str]] = None) -> None:
    parser = study.arguments(
        'initial_embeddings',
        'Section 5.3 and figure 5.3: training loss from normal item vectors '
        'and from those of Word2Vec, free or frozen in the first epoch. '
        'Trains three models; those of --run are not used.',
    )
    add = parser.add_argument
    add('--epochs', type=positive, default=6, help='of each model')
    add('--hidden', type=positive, default=100, help='size of all vectors')
    add('--lr', type=float, default=1e-3, help='learning rate at the start')
    args = study.start(parser, argv)
    data = {split: study.read(args, split) for split in SPLITS}
    torch.manual_seed(derive(args.seed, 'word2vec'))
    vectors = word2vec(data['train'], args.hidden)

    results: Dict[str, Any] = {}
    for method in METHODS:
        # All start from the same weights, but for the items.
        torch.manual_seed(derive(args.seed, 'model'))
        model = SRGNN(data['train'].num_items, args.hidden)
        seen = data['train'].seen_items
        if method != 'normal':
            with torch.no_grad():
                model.item_embedding[seen] = vectors[seen]
        spread = float(model.item_embedding.detach()[seen].std())
        steps = math.ceil(len(data['train']) / BATCH_SIZE)
        losses = record(model, steps if method == 'frozen' else 0)
        history = fit(
            model, data['train'], data['val'], epochs=args.epochs,
            patience=args.epochs, batch_size=BATCH_SIZE, lr=args.lr,
            # As many steps as 2 epochs of the whole training set have:
            schedule='steps', decay_every=2 / args.fraction,
            seed=derive(args.seed, 'training'), progress=False,
        )  # fmt: skip
        test = evaluate(model, data['test'])
        results[method] = {
            'initial_std': spread,
            'losses': [round(x, 4) for x in losses],
            'epochs': history,
            **{k: outcome(history)[k] for k in ('best_epoch', 'val_loss')},
            **{metric: 100 * x for metric, x in test.items()},
        }
        print(f'{METHODS[method]}: validation loss '
              f'{results[method]["val_loss"]:.3f}', flush=True)  # fmt: skip
    figure = draw(results, steps, type(data['train']).__name__)
    found = {'steps_per_epoch': steps, 'models': results}
    study.write(args, found, table(results), figure)


def word2vec(train: SessionDataset, channels: int) -> Tensor:
    """Item vectors of Word2Vec, zero for items not in training.

    Sessions are its sentences, items its words, everything else gensim's
    default.

    Args:
        train: The training split.
        channels: Size of the vectors.
    """
    from gensim.models import Word2Vec

    item = train.flat_sessions.item.tolist()
    ptr = train.flat_sessions.ptr.tolist()
    words = list(map(str, item))
    # One worker, since several do not give the same vectors again.
    model = Word2Vec(
        [words[start:end] for start, end in pairwise(ptr)],
        vector_size=channels, min_count=1, workers=1,
        seed=int(torch.randint(2**31 - 1, (1,))),
    )  # fmt: skip
    vectors = torch.zeros(train.num_items, channels)
    index = torch.tensor([int(word) for word in model.wv.index_to_key])
    vectors[index] = torch.from_numpy(model.wv.vectors)
    return vectors


def record(model: SessionModel, frozen_steps: int) -> List[float]:
    """Makes a model note the loss of each training step.

    Args:
        model: The model.
        frozen_steps: For how many steps its item vectors stay as they are.

    Returns:
        list: Filled by training.
    """
    losses: List[float] = []
    loss = model.loss

    def noted(batch: Any) -> Tensor:
        if not model.training:
            return loss(batch)
        model.item_embedding.requires_grad_(len(losses) >= frozen_steps)
        value = loss(batch)
        losses.append(value.item())
        return value

    model.loss = noted  # type: ignore[method-assign]
    return losses


def smooth(losses: List[float]) -> Tensor:
    """Means of the last :obj:`WINDOW` losses, or of all so far."""
    total = torch.tensor([0.0, *losses], dtype=torch.double).cumsum(0)
    end = torch.arange(1, len(losses) + 1)
    start = (end - WINDOW).clamp(min=0)
    return (total[end] - total[start]) / (end - start)


def table(results: Dict[str, Any]) -> Table:
    found = [
        {'name': METHODS[method], 'last': x['epochs'][-1], **x}
        for method, x in results.items()
    ]
    cells = [
        ('item vectors at the start', '{name}'),
        ('standard deviation', '{initial_std:.3f}'),
        (f'training loss, first {FIRST} steps',
         lambda x: f'{mean(x["losses"][:FIRST]):.3f}'),
        ('first epoch', '{epochs[0][train_loss]:.3f}'),
        ('last epoch', '{last[train_loss]:.3f}'),
        ('lowest validation loss', '{val_loss:.3f}'),
    ]  # fmt: skip
    cells += [(f'{x} (%)', f'{{{x}:.2f}}') for x in ('HR@20', 'MRR@20')]
    return rows(found, cells)


def draw(results: Dict[str, Any], steps: int, name: str) -> Any:
    figure, axes = panels(1, 3, (8, 3.6), 'both', width_ratios=(3, 4, 3))
    styles = zip((COLORS[0], COLORS[4], COLORS[5]), ('-', '--', ':'), 'osD')
    for (method, x), (color, line, marker) in zip(results.items(), styles):
        style = dict(color=color, ls=line, lw=1.5, label=METHODS[method])
        curve = smooth(x['losses'])
        epoch = (torch.arange(len(curve)) + 1) / steps
        first = min(2 * FIRST, len(curve))
        axes[0].plot(torch.arange(first) + 1, curve[:first], **style)
        axes[1].plot(epoch, curve, **style)
        axes[2].plot(
            [e['epoch'] for e in x['epochs']],
            [e['val_loss'] for e in x['epochs']],
            marker=marker, ms=4, **style,
        )  # fmt: skip
    axes[0].set(title='First steps', xlabel='Step', ylabel='Cross-entropy')
    axes[1].set(title='Training loss', xlabel='Epoch')
    axes[2].set(title='Validation loss', xlabel='Epoch')
    axes[2].xaxis.get_major_locator().set_params(integer=True)
    legend_below(figure, ncols=3, fontsize=10)
    figure.suptitle(f'Initial item vectors, SRGNN on {name}')
    return figure


if __name__ == '__main__':
    study.call(main)
