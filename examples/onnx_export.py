"""A trained model in ONNX Runtime, without PyTorch.

Needs the extra `onnx`: pip install 'pyg-sessaug[onnx]'. The file keeps its
weights inside, up to the 2 GB that the format allows.
"""

import argparse
import os

import numpy as np
import onnxruntime
import torch

from pyg_sessaug.datasets import MultimodalSessions
from pyg_sessaug.nn import SRGNN, TAGNN
from pyg_sessaug.serving.export import export_model
from pyg_sessaug.training import fit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument('--root', default='data/onnx_export')
parser.add_argument('--model', default='srgnn', choices=['srgnn', 'tagnn'])
parser.add_argument('--num-sessions', type=int, default=1000)
parser.add_argument('--epochs', type=int, default=2)
args = parser.parse_args()

train, val = (
    MultimodalSessions(args.root, split, num_sessions=args.num_sessions)
    for split in ('train', 'val')
)
model = {'srgnn': SRGNN, 'tagnn': TAGNN}[args.model](train.num_items, 32)
fit(model, train, val, epochs=args.epochs)

program = export_model(model)
path = os.path.join(args.root, f'{args.model}.onnx')
torch.onnx.export(
    program,
    (),
    path,
    dynamo=True,
    input_names=['item', 'length'],
    output_names=['scores'],
    external_data=False,  # Else weights are in a second file beside it.
    verbose=False,
)

# Here nothing but NumPy and ONNX Runtime is needed. The program checks no
# index: pass places in `item_ids`, and at least one click a session.
session = onnxruntime.InferenceSession(path)
rng = np.random.default_rng(0)
length = rng.integers(1, 20, 1000)
item = rng.integers(0, train.num_items, (1000, 20))
(scores,) = session.run(['scores'], {'item': item, 'length': length})
best = np.argsort(-scores, axis=1, kind='stable')[:, :20]

with torch.no_grad():
    expected = program.module()(torch.tensor(item), torch.tensor(length))
top = expected.sort(dim=1, descending=True, stable=True)[1][:, :20].numpy()
same = (best == top).all(axis=1)
print(f'same 20 items in the same order: {same.sum()} of {same.size}')
