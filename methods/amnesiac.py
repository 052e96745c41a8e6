"""Unlearning by wrong labels ("amnesiac" in the released scripts).

Graves, Nagisetty, Ganesh: Amnesiac Machine Learning. AAAI 2021, arXiv:2010.10981.

    minimise CE over D_r with its labels and over D_f with random wrong ones

This is the paper's relabelling variant; its other one needs a log of the training. A wrong label is
drawn once for each image, uniformly from the other classes. In the sub-class task these are the
other super-classes. Defaults: the released SSD scripts'.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from learning.images import batches, joined
from learning.training import ADAM, adam, fit
from methods._method import Method
from splits import Split


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    epochs: int = 3,
    lr: float = 1e-4,
    batch_size: int = 128,
) -> nn.Module:
    """Train on both parts, un-augmented, in shuffled batches, in place."""
    labels = wrong_labels(split.forget.labels, split.num_classes)
    relabelled = replace(split.forget, labels=labels)
    data = batches(joined(split.retain, relabelled), model, batch_size, shuffle=True)
    return fit(model, data, adam(model, lr), epochs, title="amnesiac")


def wrong_labels(labels: Tensor, num_classes: int) -> Tensor:
    """For each label [N] another one [N], all others being equally likely."""
    shift = torch.randint(1, num_classes, labels.shape).to(labels.device)
    return (labels + shift) % num_classes


METHOD = Method(
    unlearn,
    family="other",
    optimizer=ADAM,
    ranges={"lr": (1e-5, 1e-2), "epochs": (1, 10)},
)
