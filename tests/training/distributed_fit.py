"""Trains small models: alone, or in processes that `torchrun` starts."""

import sys

import torch
from torch_geometric.transforms import Compose

from pyg_sessaug import fit
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN, TAGNN
from pyg_sessaug.training import distributed
from pyg_sessaug.transforms import GaussianBlur, NormalizeEdges

BLUR = Compose([NormalizeEdges(), GaussianBlur()])
MODELS = {
    'srgnn': lambda: SRGNN(30, 8),
    'nograph': lambda: SRGNN(30, 8, num_layers=0),
    'scaled': lambda: SRGNN(30, 8, num_layers=1, scale=8.0),
    'tagnn': lambda: TAGNN(30, 8, num_layers=1),
}


class Interrupted(Exception):
    pass


class Stop:
    """Blurs, and raises at the given call."""

    batchwise = True

    def __init__(self, call):
        self.call = call

    def __getstate__(self):
        return None  # The call does not matter.

    def __call__(self, batch):
        self.call -= 1
        if self.call == 0:
            raise Interrupted
        return BLUR(batch)


def load(root):
    with distributed.first_on_machine_first():
        return [
            MultimodalSessions(root, x, num_sessions=60, num_items=30)
            for x in ('train', 'val')
        ]


def uneven(count):
    """A batch size that leaves one sample to the last batch."""
    return next(x for x in range(16, count) if count % x == 1)


def train(model, data, **kwargs):
    """Losses by epoch, and the weights."""
    kwargs = {'epochs': 2, 'lr': 0.01, 'progress': False, **kwargs}
    size = uneven(len(data[0]))
    history = fit(model, *data, batch_size=size, seed=1, **kwargs)
    losses = [[x['train_loss'], x['val_loss']] for x in history]
    return losses, [x.detach() for x in model.parameters()]


def train_plain(data):
    results = {}
    for name, make in MODELS.items():
        torch.manual_seed(distributed.rank())
        results[name] = train(make(), data)
    return results


def train_blurred(data, call=0, **kwargs):
    torch.manual_seed(0)
    model = SRGNN(30, 8, num_layers=1, dropout=0.2)
    return train(
        model, data, epochs=3, progress=True, transform=Stop(call), **kwargs
    )


def main(root):
    with distributed.process_group():
        data = load(root)
        results = train_plain(data)
        results['whole'] = train_blurred(data)
        # Its folder is there for the first process alone.
        path = f'{root}/rank{distributed.rank()}.pt'
        steps = -(-len(data[0]) // uneven(len(data[0])))
        try:
            train_blurred(data, 2 * steps + 2, checkpoint=path)
        except Interrupted:
            torch.manual_seed(5)
            results['resumed'] = train_blurred(
                data, checkpoint=path, resume=True
            )
        results['next'] = torch.rand(3)
        torch.save(results, f'{root}/results{distributed.rank()}')


if __name__ == '__main__':
    main(sys.argv[1])
