"""JiT: its steps by hand, its table, and what it refuses."""

from dataclasses import replace

import pytest
import torch
from helpers import (
    Net,
    assert_identical,
    assert_same,
    net,
    small_split,
    tiny_resnet,
    tiny_split,
    tiny_vit,
    twin,
    weights_of,
)

from common.errors import UserError
from learning.images import batches
from learning.protocol import PAPER, RELEASED
from methods import METHODS, jit


def lipschitz_by_hand(model, x, sigma, copies):
    """Summed over the images, one image and one copy at a time."""
    total, outputs = 0, model(x)
    for _ in range(copies):
        noisy = torch.minimum(torch.maximum(x + sigma * torch.randn(x.shape), x.min()), x.max())
        noisy_outputs = model(noisy).detach()
        for i in range(len(x)):
            distance = (noisy[i] - x[i]).square().sum().sqrt()
            total = total + (outputs[i] - noisy_outputs[i]).square().sum().sqrt() / distance
    return total / copies


@pytest.mark.parametrize("protocol", [PAPER, RELEASED])
def test_steps_by_hand(protocol):
    split, model = tiny_split(), net()
    assert len(split.forget) > 3
    other = twin(model).train(protocol is RELEASED)
    size = 2 + len(split.forget) % 2  # two batches or more, no last one of a single image
    torch.manual_seed(3)
    jit.unlearn(model, split, batch_size=size, sigma=0.5, eta=0.01, copies=2, protocol=protocol)
    torch.manual_seed(3)
    for x, _, _ in batches(split.forget, other, size):
        if protocol is PAPER:
            other.zero_grad()
        lipschitz_by_hand(other, x, 0.5, 2).backward()
        with torch.no_grad():
            for p in other.parameters():
                p -= 0.01 * p.grad
    assert not model.training
    assert_same(model, other)


BATCH_SIZES = [("full_class", 128), ("sub_class", 64), ("random", 128)]


@pytest.mark.parametrize(("task", "size"), BATCH_SIZES)
def test_without_a_batch_size_it_takes_the_tasks_and_for_a_class_the_studys(task, size):
    """150 images, some several times, so that no size holds them all: as with that size only."""
    split = small_split(task)
    many = torch.arange(len(split.forget)).repeat(8)[:150]
    split = replace(split, forget=split.forget.take(many))
    results = []
    for options in ({}, {"batch_size": size}, {"batch_size": 100}):
        torch.manual_seed(0)
        model = Net(split.num_classes)
        jit.unlearn(model, split, sigma=0.5, eta=0.01, copies=1, **options)
        results.append(weights_of(model))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize(("task", "size"), [("full_class", 128), ("sub_class", 77), ("random", 77)])
def test_in_a_run_it_takes_the_tasks_batch_size_and_for_a_class_the_studys(task, size):
    split = small_split(task)
    assert METHODS["jit"].defaults(tiny_resnet(), split, 77)["batch_size"] == size


# The authors' sigma and eta; those of VGG11 stand for all convolutional networks.
TABLE = [
    (tiny_vit, "full_class", 0.8, 1.5),
    (tiny_vit, "sub_class", 1.5, 0.5),
    (tiny_vit, "random", 0.5, 0.1),
    (tiny_resnet, "full_class", 0.5, 3e-4),
    (tiny_resnet, "sub_class", 0.01, 3e-4),
    (tiny_resnet, "random", 0.01, 3e-4),
]


@pytest.mark.parametrize(("network", "task", "sigma", "eta"), TABLE)
def test_sigma_and_eta_are_the_authors(network, task, sigma, eta):
    split = small_split(task)
    torch.manual_seed(0)
    model = network(split.num_classes)
    results = []
    for options in ({}, {"sigma": sigma, "eta": eta, "copies": 25}):
        torch.manual_seed(3)
        results.append(jit.unlearn(twin(model), split, batch_size=999, **options))
    assert_identical(*results)
    defaults = METHODS["jit"].defaults(model, split)
    assert (defaults["sigma"], defaults["eta"]) == (sigma, eta)


def test_no_noise_is_refused():
    with pytest.raises(UserError, match="sigma=0"):
        jit.unlearn(net(), small_split("full_class"), batch_size=8, sigma=0.0)


def test_a_batch_of_one_image_is_refused_where_batchnorm_is_trained():
    split = small_split("full_class")
    size = len(split.forget) - 1
    with pytest.raises(UserError, match="batch of one image"):
        jit.unlearn(tiny_resnet(), split, batch_size=size, protocol=RELEASED)
    jit.unlearn(net(), split, batch_size=size, protocol=RELEASED)  # a network without BatchNorm
