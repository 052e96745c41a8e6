"""What several test files use: small splits, tiny networks, and steps of training by hand.

Fixtures, and scripts run as a user runs them, are in conftest.py.
"""

import copy
import inspect

import torch
from torch import nn
from transformers import ViTConfig

import datasets
import models
import splits
from learning.images import batches
from methods import METHODS

# ---- splits ----

FORGOTTEN = "7"  # the class or sub-class


def split_of(task, *, every, share):
    """A split of the digits, in the sub-class task of their shapes.

    every: 5 takes each fifth training image. share: of them forgotten in the random task.
    """
    train, test = datasets.load("DigitShapes" if task == "sub_class" else "Digits")
    train = train.take(torch.arange(0, len(train), every))
    test = test.take(torch.arange(0, len(test), 5))
    if task == "random":
        return splits.split_random(train, test, share, 0)
    if task == "sub_class":
        return splits.split_sub_class(train, test, FORGOTTEN)
    return splits.split_class(train, test, FORGOTTEN)


def small_split(task):
    """About 290 images of the digits."""
    return split_of(task, every=5, share=0.1)


def tiny_split(task="full_class"):
    """A few dozen images of the digits, so that one batch holds all."""
    return split_of(task, every=36, share=0.2)


def all_of(images, model):
    """(x, y) of a whole set as one batch."""
    x, y, _ = next(iter(batches(images, model, len(images))))
    return x, y


# ---- networks ----


def tiny_resnet(num_classes=10):
    return models.ResNet18(num_classes, width=8)


def tiny_vit(num_classes=10):
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=16,
        patch_size=4,
    )
    return models.ViT(num_classes, config)


NETWORKS = {"ResNet18": tiny_resnet, "ViT": tiny_vit}


class Net(nn.Module):
    """A network that the repository does not have: no convolution, no BatchNorm, a Dropout."""

    def __init__(self, num_classes=10, inputs=192):
        super().__init__()
        self.a = nn.Linear(inputs, 16)
        self.drop = nn.Dropout(0.3)
        self.b = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.b(self.drop(torch.tanh(self.a(x.flatten(1)))))


def net(seed=0, dropout=0.3):
    torch.manual_seed(seed)
    network = Net()
    network.drop.p = dropout
    return network


def twin(model):
    return copy.deepcopy(model)


def weights_of(model):
    """All parameters in one vector [P]."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# ---- methods ----

# Batches of 48 leave no last batch of two images, on which BatchNorm's statistics are of no use.
RECIPE = {"epochs": 1, "milestones": [], "lr": 0.05, "warm": 1, "batch_size": 48}
SETTINGS = {"alpha": 2, "lam": 1, "batch_size": 48, "recipe": RECIPE, "images": 8}


def settings_for(method, model):
    """What a run would give the method, of tiny size."""
    offered = {**SETTINGS, "untrained": twin(model)}
    settings = {}
    for name, parameter in METHODS[method].parameters.items():
        has_its_own = name == "batch_size" and parameter.default is not inspect.Parameter.empty
        if name in offered and not has_its_own:
            settings[name] = offered[name]
    return settings


def traced_fit(monkeypatch, module):
    """A list to which each training in `module` adds (data, optimizer, epochs), and trains nothing.

    For what a single step by hand cannot tell: which images, in which batches, at which rate.
    """
    calls = []

    def fit(model, data, optimizer, epochs, **options):
        calls.append((data, optimizer, epochs))
        return model

    monkeypatch.setattr(module, "fit", fit)
    return calls


# ---- training by hand ----


def one_adam_step(model, loss):
    """The parameters after Adam's first step at 1e-4: theta - lr g / (|g| + eps)."""
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    results = []
    for p, g in zip(model.parameters(), gradients, strict=True):
        results.append(p.detach() - 1e-4 * g / (g.abs() + 1e-8))
    return results


def sgd_step(model, loss, lr, **options):
    """One step of a new SGD optimiser, in place."""
    optimizer = torch.optim.SGD(model.parameters(), lr, **options)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def assert_parameters(model, wanted):
    """Equal except for a few entries of a gradient so near 0 that its sign is float noise."""
    differing = count = 0
    for p, w in zip(model.parameters(), wanted, strict=True):
        differing += int(((p.detach() - w).abs() > 2e-6).sum())
        count += p.numel()
    assert differing <= 0.002 * count, differing


def assert_same(model, other):
    """Equal parameters but for float noise."""
    for (name, p), wanted in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(p, wanted, rtol=1e-4, atol=2e-6), name


def assert_identical(model, other):
    """Bitwise equal parameters and buffers."""
    state = other.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name
