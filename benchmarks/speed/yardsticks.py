"""What a training step is measured against: plain dense code, and a floor."""

from itertools import pairwise
from typing import List, NamedTuple, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


class DenseBatch(NamedTuple):
    """Padded sessions as the papers' code takes them.

    Args:
        items: Distinct items, 0 pads, ``[B, k]``.
        adjacency: In- and out-normalised matrices, ``[B, k, 2k]``.
        alias: Node of each click, ``[B, L]``.
        mask: 1 for clicks, 0 for padding, ``[B, L]``.
        target: ``[B]``.
    """

    items: Tensor
    adjacency: Tensor
    alias: Tensor
    mask: Tensor
    target: Tensor


def dense_batch(sessions: List[List[int]], target: Tensor) -> DenseBatch:
    """Builds padded matrices in a Python loop, as the papers' code does."""
    length = max(map(len, sessions))
    width = max(len(set(s)) for s in sessions) + 1
    items = torch.zeros(len(sessions), width, dtype=torch.long)
    adjacency = torch.zeros(len(sessions), width, 2 * width)
    alias = torch.zeros(len(sessions), length, dtype=torch.long)
    mask = torch.zeros(len(sessions), length)
    for b, session in enumerate(sessions):
        # 0 pads, so items count from 1 and node 0 is no item.
        nodes = {item: i + 1 for i, item in enumerate(sorted(set(session)))}
        items[b, 1 : len(nodes) + 1] = torch.tensor(sorted(nodes)) + 1
        walk = [nodes[item] for item in session]
        a = torch.zeros(width, width)
        for u, v in pairwise(walk):
            a[u, v] = 1.0
        adjacency[b, :, :width] = (a / a.sum(0).clamp(min=1)).t()
        adjacency[b, :, width:] = a / a.sum(1, keepdim=True).clamp(min=1)
        alias[b, : len(walk)] = torch.tensor(walk)
        mask[b, : len(walk)] = 1.0
    return DenseBatch(items, adjacency, alias, mask, target)


class DenseModel(torch.nn.Module):
    """SR-GNN, or TAGNN with ``[B, num_items, d]`` session vectors."""

    def __init__(
        self, num_items: int, d: int = 100, steps: int = 2, tagnn: bool = False
    ) -> None:
        super().__init__()
        linear = torch.nn.Linear
        self.steps, self.tagnn = steps, tagnn
        self.embedding = torch.nn.Embedding(num_items + 1, d)
        self.lin_in, self.lin_out = linear(d, d), linear(d, d)
        self.bias = torch.nn.Parameter(torch.zeros(2 * d))
        self.gru = torch.nn.GRUCell(2 * d, d)
        self.lin_last, self.lin_node = linear(d, d), linear(d, d)
        self.lin_alpha = linear(d, 1, bias=False)
        self.lin_session = linear(2 * d, d)
        self.lin_key = linear(d, d, bias=False)
        for parameter in self.parameters():
            torch.nn.init.normal_(parameter, std=0.1)

    def forward(self, batch: DenseBatch) -> Tensor:
        """Scores of all items, ``[B, num_items]``."""
        size, k = batch.items.size()
        h = self.embedding(batch.items)
        a_in, a_out = batch.adjacency.split(k, dim=2)
        for _ in range(self.steps):
            message = torch.cat(
                [a_in @ self.lin_in(h), a_out @ self.lin_out(h)], dim=2
            )
            message = (message + self.bias).view(size * k, -1)
            h = self.gru(message, h.view(size * k, -1)).view(size, k, -1)
        index = batch.alias.unsqueeze(2).expand(-1, -1, h.size(2))
        clicks = h.gather(1, index)
        rows = torch.arange(size)
        last = clicks[rows, batch.mask.sum(1).long() - 1]
        mask = batch.mask.unsqueeze(2)
        gate = self.lin_last(last).unsqueeze(1) + self.lin_node(clicks)
        alpha = self.lin_alpha(torch.sigmoid(gate)) * mask
        session = self.lin_session(
            torch.cat([(alpha * clicks).sum(1), last], dim=1)
        )
        items = self.embedding.weight[1:]
        if not self.tagnn:
            return session @ items.t()
        clicks = clicks * mask
        logit = items @ self.lin_key(clicks).transpose(1, 2)
        beta = torch.softmax(logit, dim=2)
        target = beta @ clicks
        return ((session.unsqueeze(1) + target) * items).sum(2)

    def step(
        self, batch: DenseBatch, optimizer: torch.optim.Optimizer
    ) -> None:
        optimizer.zero_grad()
        F.cross_entropy(self(batch), batch.target).backward()
        optimizer.step()


class Floor:
    """The products that no exact step can avoid, and nothing around them.

    SRGNN needs three products of ``batch_size`` rows with the item table,
    TAGNN two of as many rows as the batch has nodes, per chunk of items,
    forward, the same two again and four more backward; both a softmax over
    all scores, in place, and an Adam update of the table.
    """

    def __init__(
        self, num_items: int, batch_size: int, d: int, precision: str,
        num_nodes: int = 0, chunk: int = 4096,
    ) -> None:  # fmt: skip
        dtype = torch.bfloat16 if precision == 'bf16' else torch.float32
        self.table = torch.nn.Parameter(0.1 * torch.randn(num_items, d))
        self.table.grad = 1e-3 * torch.randn(num_items, d)
        self.optimizer = torch.optim.Adam([self.table], fused=True)
        self.items = self.table.detach().to(dtype)
        self.x = torch.randn(batch_size, d).to(dtype)
        self.nodes = torch.randn(num_nodes, d).to(dtype)
        self.scores = torch.randn(batch_size, num_items)
        self.chunk = chunk

    def step(self) -> None:
        """Runs the floor of one training step."""
        self.products()
        self.optimizer.step()

    def products(self) -> None:
        """Runs the products and the softmax alone."""
        if self.nodes.size(0) == 0:
            score = self.x @ self.items.t()
            torch.softmax(score, dim=1, out=score)
            score @ self.items
            score.t() @ self.x
        else:
            for items in self.items.split(self.chunk):
                for _ in range(4):  # Twice forward, twice recomputed.
                    score = self.nodes @ items.t()
                for _ in range(2):
                    score @ items
                    score.t() @ self.nodes
            torch.softmax(self.scores, dim=1, out=self.scores)


def prefixes(dataset: object, index: Tensor) -> Tuple[List[List[int]], Tensor]:
    """Click lists and targets of samples, for :func:`dense_batch`."""
    flat = dataset.flat_sessions  # type: ignore[attr-defined]
    target = flat.target[index]
    start = flat.ptr[flat.session_of(target)]
    item = flat.item
    return ([item[a:b].tolist() for a, b in zip(start, target)], item[target])
