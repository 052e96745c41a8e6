"""Retrain against plain loops, under both protocols."""

from dataclasses import replace

import pytest
import torch
from helpers import RECIPE, assert_identical, assert_same, small_split, tiny_resnet, twin
from torch.nn import functional as F

from common.errors import UserError
from learning.images import batches
from learning.protocol import RELEASED
from methods import finetune, retrain
from models import fresh


def trained():
    """A network of which every statistic is one of training."""
    torch.manual_seed(0)
    model = tiny_resnet()
    finetune.unlearn(model, small_split("full_class"), batch_size=32, epochs=1)
    return model


def train(network, data, rates):
    """A step at each of the rates, epoch by epoch over the batches."""
    optimizer = torch.optim.SGD(network.parameters(), 1.0, momentum=0.9, weight_decay=5e-4)
    network.train()
    for first in range(0, len(rates), len(data)):
        of_epoch = rates[first : first + len(data)]
        for rate, (x, y, _) in zip(of_epoch, data, strict=True):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            F.cross_entropy(network(x), y).backward()
            optimizer.step()
    return network


def test_it_is_the_plain_loop_from_new_weights_by_the_recipe():
    """Augmented images, a warm-up of one epoch, a fifth of the rate from the milestone on."""
    split, model = small_split("full_class"), trained()
    recipe = {**RECIPE, "epochs": 3, "milestones": [2]}
    torch.manual_seed(3)
    result = retrain.unlearn(model, split, recipe=recipe, batch_size=999)
    torch.manual_seed(3)
    network = fresh(model)
    data = batches(split.retain, network, 48, shuffle=True, augment=True)
    n = len(data)
    rates = [0.05 * step / n for step in range(n)] + [0.05] * n + [0.01] * n
    assert_same(result, train(network, data, rates))


def test_it_shares_nothing_with_the_original():
    model = trained()
    result = retrain.unlearn(model, small_split("full_class"), recipe=RECIPE, batch_size=64)
    state = result.state_dict()
    for name, before in model.state_dict().items():
        if "num_batches" not in name:
            assert (before != state[name]).any(), name


def test_it_never_sees_a_forgotten_image():
    """Whatever D_f and D hold, the network is the same."""
    split, model = small_split("full_class"), trained()
    assert not set(split.retain.index.tolist()) & set(split.forget.index.tolist())
    nothing = split.forget.take(torch.arange(1))
    without = replace(split, forget=nothing, full=nothing, train=nothing, forget_test=nothing)
    results = []
    for parts in (split, without):
        torch.manual_seed(3)
        results.append(retrain.unlearn(twin(model), parts, recipe=RECIPE, batch_size=64))
    assert_identical(*results)


def test_released_it_keeps_all_but_the_last_layer_and_has_a_rate_of_its_own():
    """Plain images in the task's batches; the rate rises to 0.02 within two epochs, then 0.01."""
    split, model = small_split("full_class"), trained()
    recipe = {"epochs": 5, "milestones": [3, 4], "lr": 0.1, "warm": 1, "batch_size": 16}
    torch.manual_seed(3)
    result = retrain.unlearn(model, split, recipe=recipe, batch_size=64, protocol=RELEASED)
    torch.manual_seed(3)
    network = fresh(model)
    last_layer = twin(network.fc)
    network.load_state_dict(model.state_dict())
    network.fc = last_layer
    data = batches(split.retain, network, 64, shuffle=True)
    n = len(split.retain) // 64 + 1
    assert len(data) == n
    rates = [0.01 * step / n for step in range(2 * n)] + [0.01] * n + [0.002] * n + [0.0004] * n
    assert max(rates) > 0.015
    assert_same(result, train(network, data, rates))


def test_tf32_is_refused_on_a_cpu():
    recipe = {**RECIPE, "numerics": "tf32"}
    with pytest.raises(UserError, match="add -gpu"):
        retrain.unlearn(tiny_resnet(), small_split("full_class"), recipe=recipe, batch_size=64)
