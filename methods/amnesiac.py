"""Unlearning by wrong labels ("amnesiac" in the released scripts). Graves, Nagisetty, Ganesh, AAAI 2021, arXiv:2010.10981.

    minimise CE over D_r with its labels and D_f with random wrong ones

The paper's relabelling variant; its other one needs a log of the training. All defaults are the released SSD scripts'. A
wrong label is drawn once for each image, uniformly from the others (in the sub-class task: from the other super-classes).
"""

from dataclasses import replace

import torch

from learning.images import batches, joined
from learning.training import ADAM, adam, fit
from methods._method import Method


def unlearn(model, split, *, epochs=3, lr=1e-4, batch_size=128):
    """Train on both parts, un-augmented, in shuffled batches, in place."""
    forget = replace(split.forget, labels=wrong_labels(split.forget.labels, split.num_classes))
    data = batches(joined(split.retain, forget), model, batch_size, shuffle=True)
    return fit(model, data, adam(model, lr), epochs, what="amnesiac")


def wrong_labels(labels, num_classes):
    """For each label [N] another one, all others being equally likely."""
    return (labels + torch.randint(1, num_classes, labels.shape).to(labels.device)) % num_classes


METHOD = Method(
    unlearn,
    family="other",
    optimizer=ADAM,
    ranges={"lr": (1e-5, 1e-2), "epochs": (1, 10)},
)
