"""Probes of networks whose features are known, and of trained ones."""

import pytest
import torch
from helpers import net, small_split, tiny_resnet, tiny_split, twin, weights_of
from torch import nn

import metrics
import probes
from learning.images import batches
from learning.training import fit, sgd
from methods import head_distill
from metrics import accuracy, mia_of_forget_set, split_logits
from probes.linear import linear_probe
from probes.prototype import prototype_attack, with_prototype
from probes.relearning import STEPS, curve, relearn


@pytest.fixture(scope="module")
def trained():
    """(a split of the digits, a network that has learned all of it)."""
    split = small_split("full_class")
    torch.manual_seed(0)
    model = tiny_resnet()
    data = batches(split.train, model, 48, shuffle=True)
    return split, fit(model, data, sgd(model, 0.05), 8)


class Blind(nn.Module):
    """A network whose features are the same for every image."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 10)

    def forward(self, x):
        return self.head(torch.ones(len(x), 3))


# ---- linear probe ----


def test_features_that_hold_the_class_are_found(trained):
    split, model = trained
    assert linear_probe(model, split)["forget"] > 80


def test_features_that_hold_nothing_are_at_chance():
    split = small_split("full_class")
    accuracies = linear_probe(Blind(), split)
    assert min(accuracies["forget"], accuracies["retain"]) == 0  # one class for all images
    assert accuracies["forget"] + accuracies["retain"] < 120


def test_head_distillation_passes_accuracy_and_the_attack_and_fails_the_probe(trained):
    split, model = trained
    hidden = twin(model)
    torch.manual_seed(0)
    head_distill.unlearn(hidden, split, epochs=60)
    attacked = mia_of_forget_set(split_logits(model, split), split)
    logits = split_logits(hidden, split)
    assert accuracy(metrics.forget_test_logits(logits, split), split.forget_test.labels) < 12
    assert mia_of_forget_set(logits, split) < attacked / 2
    before, after = linear_probe(model, split), linear_probe(hidden, split)
    assert after == before  # the features are the original's


# ---- prototype attack ----


def test_the_mended_row_lies_between_the_row_and_the_prototype():
    rows = torch.eye(3)
    mended = with_prototype(rows, 0, torch.tensor([0.0, 5.0, 0.0]))
    assert torch.allclose(mended[0], torch.tensor([0.5, 0.5, 0.0]).sqrt())
    assert torch.equal(mended[1:], rows[1:])
    assert torch.equal(rows, torch.eye(3))  # the head's own rows stay


def test_five_images_bring_a_hidden_class_back(trained):
    split, model = trained
    hidden = twin(model)
    torch.manual_seed(0)
    head_distill.unlearn(hidden, split, epochs=60)
    numbers = prototype_attack(hidden, split)
    assert numbers["forget_before"] < 20
    assert numbers["forget"] > 50


# ---- relearning ----


def test_relearning_leaves_the_network_as_it_was(trained):
    split, model = trained
    before = weights_of(model)
    curves = relearn(model, split)
    assert torch.equal(weights_of(model), before)
    assert curves["steps"] == list(STEPS)
    assert len(curves["retain"]) == len(curves["forget"]) == len(STEPS)


def test_a_curve_starts_at_the_networks_own_accuracy_and_moves_by_steps_of_sgd():
    split = tiny_split()
    model = net(dropout=0.0)
    accuracies = curve(model, split.forget, split.forget)
    assert accuracies[-1] > accuracies[0]  # 128 steps on these very images


def test_random_images_are_judged_on_those_that_the_attacker_lacks():
    split = small_split("random")
    model = net(dropout=0.0)
    torch.manual_seed(0)
    curves = relearn(model, split)
    count = len(split.forget) - 10
    right = curves["retain"][0] / 100 * count
    assert right == pytest.approx(round(right))


# ---- which probes a split allows ----


def test_random_images_have_no_class_to_probe():
    assert set(probes.measure(net(), tiny_split("random"))) == {"relearning"}
    assert set(probes.measure(net(), tiny_split())) == {"linear", "prototype", "relearning"}
