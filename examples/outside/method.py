"""A method of your own for the harness: give its function to -method.

    python forget_full_class_main.py -net ResNet18Slim -dataset Digits -forget_class 3 \\
        -method examples/outside/method.py:ascend -set lr=0.01

Its settings are the parameters with a default; -set changes them. METHOD, which says more of a
method, may stand in the same file (docs/extending.md).
"""

import torch.nn.functional as F
from torch import nn

from learning.images import batches
from learning.training import SGD, fit, sgd
from methods._method import Method
from splits import Split


def ascend(
    model: nn.Module, split: Split, *, batch_size: int, epochs: int = 1, lr: float = 0.001
) -> nn.Module:
    """Gradient ascent: climb the loss on D_f, in place."""

    def loss(model, x, y, index):
        return -F.cross_entropy(model(x), y)

    data = batches(split.forget, model, batch_size, shuffle=True)
    return fit(model, data, sgd(model, lr), epochs, loss=loss, title="ascent")


METHOD = Method(ascend, family="other", optimizer=SGD, ranges={"lr": (1e-4, 0.1)})
