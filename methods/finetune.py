"""Finetune: go on training on the retain set, and hope that the rest fades.

    minimise CE over D_r, starting from theta

Defaults: the released SSD scripts'. 5 epochs of SGD at a constant rate of 0.02, momentum
0.9, weight decay 5e-4.
"""

from torch import nn

from learning.images import batches
from learning.training import SGD, fit, sgd
from methods._method import Method
from splits import Split


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    batch_size: int,
    epochs: int = 5,
    lr: float = 0.02,
) -> nn.Module:
    """Train on D_r, un-augmented, in shuffled batches, in place."""
    data = batches(split.retain, model, batch_size, shuffle=True)
    return fit(model, data, sgd(model, lr), epochs, title="finetune")


METHOD = Method(
    unlearn,
    family="other",
    heals=True,
    optimizer=SGD,
    ranges={"lr": (1e-4, 0.1), "epochs": (1, 10)},
)
