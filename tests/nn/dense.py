"""Dense, one-session-at-a-time references, written from the equations."""

import itertools

import torch
from torch import Tensor


def adjacency(clicks: list, weight: dict | None = None) -> tuple:
    """Nodes, and the in- and out-normalised matrices of one session.

    Row i of the first matrix holds what node i receives along its incoming
    edges, row i of the second what it receives back along outgoing ones.
    """
    nodes = list(dict.fromkeys(clicks))
    a = torch.zeros(len(nodes), len(nodes), dtype=torch.float64)
    for u, v in itertools.pairwise(clicks):
        pair = nodes.index(u), nodes.index(v)
        a[pair] = 1.0 if weight is None else weight[pair]
    into, out = a.sum(0), a.sum(1)
    into[into == 0] = 1.0
    out[out == 0] = 1.0
    return nodes, (a / into).t(), a / out.view(-1, 1)


def gated_cell(conv, a_in: Tensor, a_out: Tensor, h: Tensor) -> Tensor:
    """SR-GNN's cell, gate by gate."""
    d = h.size(1)
    w, b, c = conv.lin.weight, conv.lin.bias, conv.bias
    m_in = a_in @ (h @ w[:d].t() + b[:d]) + c[:d]
    m_out = a_out @ (h @ w[d:].t() + b[d:]) + c[d:]
    m = torch.cat([m_in, m_out], dim=1)
    gi = m @ conv.gru.weight_ih.t() + conv.gru.bias_ih
    gh = h @ conv.gru.weight_hh.t() + conv.gru.bias_hh
    r = torch.sigmoid(gi[:, :d] + gh[:, :d])
    z = torch.sigmoid(gi[:, d : 2 * d] + gh[:, d : 2 * d])
    n = torch.tanh(gi[:, 2 * d :] + r * gh[:, 2 * d :])
    return n + z * (h - n)


def encode(model, clicks: list, weight: dict | None = None) -> tuple:
    """Vectors of all clicks, the last one and the attention readout."""
    nodes, a_in, a_out = adjacency(clicks, weight)
    h = model.item_embedding[torch.tensor(nodes)]
    a_in, a_out = a_in.to(h.dtype), a_out.to(h.dtype)
    for _ in range(model.num_layers):
        h = gated_cell(model.conv, a_in, a_out, h)
    x = h[torch.tensor([nodes.index(i) for i in clicks])]
    att, last, pooled = model.readout, x[-1], 0.0
    for click in x:
        gate = torch.sigmoid(
            att.lin_last.weight @ last
            + att.lin_node.weight @ click
            + att.lin_node.bias
        )
        pooled = pooled + (att.lin_score.weight[0] @ gate) * click
    return x, last, pooled


def srgnn_scores(model, clicks: list, weight: dict | None = None) -> Tensor:
    _, last, pooled = encode(model, clicks, weight)
    session = model.lin.weight @ torch.cat([last, pooled])
    return model.item_embedding @ session


def tagnn_scores(model, clicks: list, weight: dict | None = None) -> Tensor:
    x, last, pooled = encode(model, clicks, weight)
    w3, scores = model.lin.weight, []
    for item in model.item_embedding:
        beta = torch.softmax(model.lin_key(x) @ item, dim=0)
        target = model.lin_target(beta @ x)
        session = target + w3 @ torch.cat([pooled, last])
        scores.append(session @ item)
    return torch.stack(scores)
