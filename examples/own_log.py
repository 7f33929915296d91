"""From a CSV of clicks to recommendations, with augmented training.

Without --log a small log is generated: people walk up a shelf of 30 items.
"""

import argparse
import os
import random
from functools import partial

from pyg_sessaug import Recommender, evaluate
from pyg_sessaug.datasets import SessionLog
from pyg_sessaug.nn import SRGNN
from pyg_sessaug.training import preset
from pyg_sessaug.training.augmented import AUGMENTATIONS, fit_augmented

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--log', help='CSV of clicks')
parser.add_argument('--session', default='session_id')
parser.add_argument('--item', default='item_id')
parser.add_argument('--time', default='time')
parser.add_argument('--category', help='for category and inject-same')
parser.add_argument('--root', default='data/own_log')
parser.add_argument('--augment', default='i2i', choices=AUGMENTATIONS)
parser.add_argument('--epochs', type=int, default=5)
args = parser.parse_args()

log = os.path.abspath(args.log or os.path.join(args.root, 'clicks.csv'))
if args.log is None:
    random.seed(0)
    os.makedirs(args.root, exist_ok=True)
    with open(log, 'w') as f:
        f.write('session_id,item_id,time\n')
        for session in range(1000):
            item = random.randrange(30)
            for click in range(random.randint(2, 6)):
                time = 3600 * session + 60 * click
                f.write(f'{session},item-{item},{time}\n')
                item = (item + random.randint(1, 2)) % 30

columns = dict(session=args.session, item=args.item, time=args.time)
train, val, test = (
    SessionLog(args.root, split, file=log, category=args.category, **columns)
    for split in ('train', 'val', 'test')
)
model, histories = fit_augmented(
    partial(SRGNN, train.num_items, hidden_channels=32),
    train,
    val,
    args.augment,
    **preset('auto', train, epochs=args.epochs),
)
print(evaluate(model, test, k=5))

path = os.path.join(args.root, 'recommender.pt')
Recommender.from_dataset(model, train).save(path)
recommender = Recommender.load(path)
session = recommender.item_ids[:2]
result = recommender.recommend(session, k=5)
print(f'after {session}: {result.items}')
