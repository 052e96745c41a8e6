"""l1-sparse: finetune on D_r while a penalty empties the weights.

Jia, Liu, Ram, Yao, Liu, Liu, Sharma, Liu: Model Sparsity Can Simplify Machine Unlearning. NeurIPS
2023, arXiv:2304.04934.

    minimise CE(D_r) + c ||theta||_1,   c falling linearly to 0 after the last step

Defaults: the penalty's start of 5e-4 is the paper's, the optimiser is that of `finetune`; rate and
epochs are ours, found on validation images (docs/methods.md).

Differs 1: The penalty c falls at every step. In the authors' repository it falls once per epoch.
"""

import itertools

import torch.nn.functional as F
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
    epochs: int = 3,
    lr: float = 0.003,
    penalty: float = 5e-4,
) -> nn.Module:
    """Train un-augmented, in shuffled batches, in place. penalty: c at the first step."""
    data = batches(split.retain, model, batch_size, shuffle=True)
    step_count = epochs * len(data)
    steps = itertools.count()

    def loss(model, x, y, index):
        c = penalty * (1 - next(steps) / step_count)
        l1_norm = sum(p.abs().sum() for p in model.parameters())
        return F.cross_entropy(model(x), y) + c * l1_norm

    return fit(model, data, sgd(model, lr), epochs, loss=loss, title="l1-sparse")


METHOD = Method(
    unlearn,
    family="other",
    optimizer=SGD,
    ranges={"lr": (1e-4, 5e-2), "epochs": (1, 10), "penalty": (1e-5, 1e-2)},
)
