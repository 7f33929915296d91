import copy

import torch
import torch.nn.functional as F

from pyg_sessaug.training.row_adam import RowAdam


def grads(seed, table, dense):
    torch.manual_seed(seed)
    item = torch.randint(10, (7,))  # Some more than once.
    value = torch.randn(7, 3)
    (F.embedding(item, table, sparse=True) * value).sum().backward()
    (dense * torch.randn(3)).sum().backward()
    return item


def test_equal_to_the_optimizers_of_torch():
    torch.manual_seed(9)
    start, other = torch.randn(10, 3), torch.randn(3)
    table, dense = start.clone().requires_grad_(), other.clone()
    dense.requires_grad_()
    groups = [
        {'params': [table], 'weight_decay': 0.0},
        {'params': [dense]},
    ]
    own = RowAdam(groups, lr=0.1, weight_decay=0.01)
    tables, others = start.clone().requires_grad_(), other.clone()
    others.requires_grad_()
    sparse = torch.optim.SparseAdam([tables], lr=0.1)
    adam = torch.optim.Adam([others], lr=0.1, weight_decay=0.01)
    for step in range(6):
        before = table.detach().clone()
        item = grads(step, table, dense)
        grads(step, tables, others)
        own.step()
        sparse.step()
        adam.step()
        moved = (table.detach() != before).any(dim=1).nonzero().view(-1)
        assert torch.equal(moved, item.unique())
        for optimizer in (own, sparse, adam):
            optimizer.zero_grad()
    assert torch.allclose(table, tables, atol=1e-6)
    assert torch.equal(dense, others)


def test_state_goes_on():
    torch.manual_seed(9)
    table, dense = torch.randn(10, 3), torch.randn(3)
    params = [table.requires_grad_(), dense.requires_grad_()]
    own = RowAdam(params, lr=0.1, fused=True)
    for step in range(2):
        grads(step, *params)
        own.step()
        own.zero_grad()
    copies = [x.detach().clone().requires_grad_() for x in params]
    again = RowAdam(copies, lr=0.1, fused=True)
    again.load_state_dict(copy.deepcopy(own.state_dict()))
    for optimizer, values in ((own, params), (again, copies)):
        grads(5, *values)
        optimizer.step()
    assert all(map(torch.equal, params, copies))
