"""Sessions for counts, and their samples one by one and as batches."""

from itertools import chain

import torch

from pyg_sessaug.data.graphs import SessionGraphs
from pyg_sessaug.data.sessions import Sessions
from pyg_sessaug.datasets import SessionDataset

NUM_ITEMS = 30


def flat(sessions):
    length = torch.tensor([len(s) for s in sessions])
    return Sessions.from_lengths(torch.tensor([*chain(*sessions)]), length)


def draw(num_sessions, items, seed):
    generator = torch.Generator().manual_seed(seed)
    length = torch.randint(2, 9, (num_sessions,), generator=generator)
    # Squared: some items are far more popular than others.
    draws = torch.rand(int(length.sum()), generator=generator) ** 2
    return [x.tolist() for x in (draws * items).long().split(length.tolist())]


# Items 28 and 29 are in no training session.
TRAIN = draw(120, NUM_ITEMS - 2, 0)
LATER = [
    *draw(40, NUM_ITEMS, 1),
    [28, 29, 3, 29, 28],
    [29, 0],
    [5, 29],
    # Longer than any linear decay, and than the clicks that score.
    [i % 7 for i in range(25)],
]


def prefixes(sessions):
    """Clicks of each sample, in the order of the samples."""
    return [s[:i] for s in sessions for i in range(1, len(s))]


def batch(sessions, index=None, number=None):
    """Samples as one batch, all of them unless told which."""
    graphs = SessionGraphs(flat(sessions), number)
    if index is None:
        index = torch.arange(graphs.sessions.num_samples)
    return graphs.batch(index)


def parts(sessions):
    """All samples of counted sessions, which know their session."""
    return batch(sessions, number=torch.arange(len(sessions)))


class Log(SessionDataset):
    """Sessions as a data set, without validation sessions."""

    def __init__(self, root, sessions=TRAIN, num_items=NUM_ITEMS):
        self.given, self.given_items = sessions, num_items
        super().__init__(root, val_ratio=0.0)

    def prepare(self):
        return {
            'train': flat(self.given),
            'test': flat(LATER),
            'item_ids': torch.arange(self.given_items),
            'categories': None,
        }
