"""l1-sparse: finetune on D_r while a penalty empties the weights. Jia et al., NeurIPS 2023, arXiv:2304.04934.

    minimise CE(D_r) + c ||theta||_1,   c falling linearly from 5e-4 at the first step to 0 behind the last

Optimiser as `finetune`.

Differs 1: The penalty c falls at every step. In the authors' repository it falls once per epoch.
"""

import itertools

import torch.nn.functional as F

from learning.images import batches
from learning.training import SGD, fit, sgd
from methods._method import Method


def unlearn(model, split, *, batch_size, epochs=3, lr=0.003, penalty=5e-4):
    """Train un-augmented, in shuffled batches, in place. penalty: c at the first step."""
    data = batches(split.retain, model, batch_size, shuffle=True)
    steps, count = epochs * len(data), itertools.count()

    def loss(model, x, y, index):
        c = penalty * (1 - next(count) / steps)
        return F.cross_entropy(model(x), y) + c * sum(p.abs().sum() for p in model.parameters())

    return fit(model, data, sgd(model, lr), epochs, loss=loss, what="l1-sparse")


METHOD = Method(
    unlearn,
    family="other",
    optimizer=SGD,
    ranges={"lr": (1e-4, 5e-2), "epochs": (1, 10), "penalty": (1e-5, 1e-2)},
)
