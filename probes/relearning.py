"""Relearning: how fast does a network get D_f back that it was to forget?

A copy of the network is trained on, once on D_r only and once on ten images of D_f. Its accuracy on
D_f is taken after 0, 1, 2, 4, ... 128 steps. Retrained networks do not get D_f back from D_r.
Source: arXiv:2505.22310, which trains for up to 100 epochs.

SGD with momentum 0.9, no weight decay, BatchNorm with the statistics that it has: ten images of one
class would give it others. The rate is ours.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from learning.images import ImageSet, batches
from metrics import accuracy, logits_of
from splits import Split

STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128)  # after which the accuracy is taken
RATE = 1e-3
BATCH_SIZE = 64
IMAGES = 10  # of D_f that the attacker has


def relearn(model: nn.Module, split: Split) -> dict[str, list]:
    """Curves of the accuracy on D_f, percent: `retain` by training on D_r, `forget` on ten images.

    steps: after which each entry was taken. The accuracy is that on D_f's test images; where D_f is
    random images, that on those of them that the attacker does not have.
    """
    order = torch.randperm(len(split.forget)).to(split.forget.index.device)
    few, others = split.forget.take(order[:IMAGES]), split.forget.take(order[IMAGES:])
    judged = split.forget_test if split.forget_test_from == "test" or not len(others) else others
    return {
        "steps": list(STEPS),
        "retain": curve(model, split.retain, judged),
        "forget": curve(model, few, judged),
    }


def curve(model: nn.Module, images: ImageSet, judged: ImageSet) -> list[float]:
    """The accuracy on `judged`, percent, after each of STEPS on batches of `images`."""
    model = copy.deepcopy(model).eval()
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=0.9)
    accuracies = []
    for step, (x, y) in enumerate(_endless(images, model)):
        if step in STEPS:
            labels = judged.labels.to(x.device)
            accuracies.append(accuracy(logits_of(model, judged), labels))
        if step == STEPS[-1]:
            break
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return accuracies


def _endless(images, model):
    """(x, y) of shuffled batches, over and over."""
    while True:
        for x, y, _ in batches(images, model, BATCH_SIZE, shuffle=True):
            yield x, y
