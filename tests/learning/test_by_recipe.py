"""Training by a recipe's settings, against plain loops."""

from dataclasses import replace

import pytest
import torch
from helpers import RECIPE, assert_same, small_split, tiny_resnet, twin
from torch.nn import functional as F

from learning.by_recipe import epochs_by_recipe
from learning.images import batches, resized
from learning.protocol import RELEASED
from methods import retrain
from models import fresh

FAST = {
    "name": "fast",
    "epochs": 3,
    "sizes": [[0.75, 2], [1, 1]],
    "lr": 0.1,
    "warm": 1,
    "batch_size": 48,
    "degrees": 0,
    "label_smoothing": 0.2,
    "nesterov": True,
    "whole_batches_only": True,
    "numerics": "fp32",
}


def plain_fast_loop(network, images):
    """Three epochs of FAST: at 6, 6 and 8 pixels a side; the rate rises in one, falls in two."""
    optimizer = torch.optim.SGD(
        network.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    data = batches(images, network, 48, shuffle=True, augment=True, whole_only=True)
    count = len(images) // 48
    network.train()
    step = 0
    for side in (6, 6, 8):
        for x, y, _ in data:
            assert len(x) == 48
            rate = (step + 1) / count if step + 1 < count else (3 * count - step) / (2 * count)
            optimizer.param_groups[0]["lr"] = 0.1 * rate
            optimizer.zero_grad()
            loss = F.cross_entropy(network(resized(x, side)), y, label_smoothing=0.2)
            loss.backward()
            optimizer.step()
            step += 1
    return network.eval()


def without_rotation(images):
    """The same images, which training does not turn."""
    return replace(images, augmentation=replace(images.augmentation, degrees=0))


def test_a_fast_training_is_the_plain_loop():
    images = small_split("full_class").train
    start = tiny_resnet()
    expected = twin(start)
    torch.manual_seed(3)
    losses = [loss for _, loss in epochs_by_recipe(start, images, FAST, title="training")]
    torch.manual_seed(3)
    plain_fast_loop(expected, without_rotation(images))
    assert_same(start.eval(), expected)
    assert len(losses) == 3


def test_retrain_follows_the_fast_recipe_of_the_original():
    split, model = small_split("full_class"), tiny_resnet()
    torch.manual_seed(3)
    result = retrain.unlearn(model, split, recipe=FAST, batch_size=999)
    torch.manual_seed(3)
    network = fresh(model)
    assert_same(result, plain_fast_loop(network, without_rotation(split.retain)))


def test_released_retraining_takes_nothing_but_the_epochs_of_a_fast_recipe():
    settings = retrain.in_effect(FAST, 64, RELEASED)
    assert settings == {
        "epochs": 3,
        "milestones": [],
        "lr": 0.01,
        "warm": 2,
        "batch_size": 64,
        "augment": False,
        "numerics": "fp32",
    }


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_fast_training_that_was_stopped_goes_on_bitwise(tmp_path, stop_after):
    images = small_split("full_class").train
    start = tiny_resnet()
    whole, stopped, resumed = twin(start), twin(start), twin(start)
    torch.manual_seed(3)
    for _ in epochs_by_recipe(whole, images, FAST, title="training"):
        pass
    torch.manual_seed(3)
    keep = tmp_path / "state"
    training = epochs_by_recipe(stopped, images, FAST, title="training", keep=keep)
    for epochs_done, _ in training:
        if epochs_done > stop_after:  # the state after `stop_after` epochs is then on disk
            break
    torch.manual_seed(99)
    for _ in epochs_by_recipe(resumed, images, FAST, title="training", keep=keep):
        pass
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_a_published_recipe_neither_resizes_nor_smooths():
    """The same loop as before there were fast recipes."""
    images = small_split("full_class").train
    start = tiny_resnet()
    expected = twin(start)
    torch.manual_seed(3)
    for _ in epochs_by_recipe(start, images, {**RECIPE, "epochs": 1, "warm": 0}, title="training"):
        pass
    torch.manual_seed(3)
    optimizer = torch.optim.SGD(expected.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    expected.train()
    for x, y, _ in batches(images, expected, RECIPE["batch_size"], shuffle=True, augment=True):
        optimizer.zero_grad()
        F.cross_entropy(expected(x), y).backward()
        optimizer.step()
    assert_same(start.eval(), expected.eval())
