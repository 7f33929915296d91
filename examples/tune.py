"""Settings by Optuna: chosen on validation; a second call goes on.

The newest training sessions validate, as taste may drift; the test set is
read once, in the end. Needs the extra `tune`.
"""

import argparse
import os

import optuna
import torch

from pyg_sessaug import evaluate, fit
from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNNPlus
from pyg_sessaug.training import preset

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--root', default='data')
parser.add_argument('--num-sessions', type=int, default=1500)
parser.add_argument('--epochs', type=int, default=5)
parser.add_argument('--trials', type=int, default=8, help='in all')
parser.add_argument('--study', help='file of the trials; in ROOT without it')
args = parser.parse_args()
path = os.path.abspath(args.study or os.path.join(args.root, 'tune.db'))

train, val, test = (
    MultimodalSessions(
        args.root, split, num_sessions=args.num_sessions, num_items=300,
        drift=0.5, val_split='time',
    )
    for split in ('train', 'val', 'test')
)  # fmt: skip


def trained(params):
    torch.manual_seed(0)
    model = SRGNNPlus(train.num_items, 32, dropout=params['dropout'])
    options = preset(
        'auto', train, epochs=args.epochs, lr=params['lr'],
        recency=params['recency'],
    )  # fmt: skip
    fit(model, train, val, progress=False, seed=0, **options)
    return model


def objective(trial):
    params = {
        'dropout': trial.suggest_float('dropout', 0.0, 0.5),
        'lr': trial.suggest_float('lr', 1e-3, 2e-2, log=True),
        'recency': trial.suggest_float('recency', 0.2, 2.0, log=True),
    }
    value = evaluate(trained(params), val)['NDCG@20']
    print(f'trial {trial.number}: {value:.4f} by {params}', flush=True)
    return value


optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(
    study_name='tune', storage=f'sqlite:///{path}', direction='maximize',
    load_if_exists=True,
)  # fmt: skip
done = sum(x.state.name == 'COMPLETE' for x in study.trials)
# Other draws than those before an interruption:
study.sampler = optuna.samplers.TPESampler(seed=done)
study.optimize(objective, n_trials=max(0, args.trials - done))
print(f'best of {len(study.trials)} trials: {study.best_params}')
print('test:', evaluate(trained(study.best_params), test))
