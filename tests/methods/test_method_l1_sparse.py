"""l1-sparse: four steps by hand, at a penalty that falls to zero."""

import torch
from helpers import all_of, assert_same, net, tiny_split, twin
from torch.nn import functional as F

from methods import l1_sparse


def test_steps_by_hand_and_the_penalty_falls_to_zero():
    split, model = tiny_split(), net(dropout=0.0)
    other = twin(model).train()
    l1_sparse.unlearn(model, split, batch_size=999, epochs=4, lr=0.1, penalty=0.01)
    optimizer = torch.optim.SGD(other.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    x, y = all_of(split.retain, other)
    for c in (0.01, 0.0075, 0.005, 0.0025):
        size = sum(p.abs().sum() for p in other.parameters())
        optimizer.zero_grad()
        (F.cross_entropy(other(x), y) + c * size).backward()
        optimizer.step()
    assert_same(model, other)
