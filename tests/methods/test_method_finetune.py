"""Finetune against a plain loop over D_r."""

import pytest
import torch
from helpers import all_of, assert_same, net, small_split, twin
from torch.nn import functional as F

from methods import METHODS, finetune


@pytest.mark.parametrize("task", ["full_class", "sub_class", "random"])
def test_it_is_the_plain_loop_on_the_retain_set_at_a_constant_rate(task):
    split = small_split(task)
    model = net(dropout=0.0)
    plain = twin(model).train()
    torch.manual_seed(3)
    finetune.unlearn(model, split, batch_size=48, epochs=3)
    torch.manual_seed(3)
    optimizer = torch.optim.SGD(plain.parameters(), 0.02, momentum=0.9, weight_decay=5e-4)
    x, y = all_of(split.retain, plain)
    for _ in range(3):
        for some in torch.randperm(len(x)).split(48):
            optimizer.zero_grad()
            F.cross_entropy(plain(x[some]), y[some]).backward()
            optimizer.step()
    assert_same(model, plain)


def test_defaults_are_the_released_scripts():
    parameters = METHODS["finetune"].parameters
    assert parameters["epochs"].default == 5
    assert parameters["lr"].default == 0.02
    optimizer = {"optimizer": "SGD", "momentum": 0.9, "weight_decay": 5e-4}
    assert METHODS["finetune"].optimizer == optimizer
