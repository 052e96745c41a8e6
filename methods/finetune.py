"""Finetune: go on training on the retain set and hope that the rest fades (catastrophic forgetting).

5 epochs, SGD with learning rate 0.02, momentum 0.9, weight decay 5e-4, constant rate: the released SSD scripts.
"""

from learning.images import batches
from learning.training import SGD, fit, sgd
from methods._method import Method


def unlearn(model, split, *, batch_size, epochs=5, lr=0.02):
    """Minimise the cross-entropy over D_r, un-augmented, in shuffled batches."""
    data = batches(split.retain, model, batch_size, shuffle=True)
    return fit(model, data, sgd(model, lr), epochs, what="finetune")


METHOD = Method(
    unlearn,
    family="other",
    heals=True,
    optimizer=SGD,
    ranges={"lr": (1e-4, 0.1), "epochs": (1, 10)},
)
