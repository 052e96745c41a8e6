"""Gradient ascent: climb the loss on D_f until the network no longer knows it.

The plainest of all ways to unlearn, and a baseline in most papers on it. Of no one source.

    maximise CE(D_f)         until at most the share `threshold` of D_f is recognised

Defaults: rate 0.005, momentum 0.9, weight decay 5e-4, threshold 0.2: those of REM's benchmark
(arXiv:2505.17730) for ResNet9 on CIFAR-10, as its public reimplementation has them.

Differs 1: Images are not augmented, neither in the passes nor where the stop is decided.
Differs 2: The first state below the threshold is delivered. There, it is the best of several states
by a score on training images.
Differs 3: It ends after 100 passes at the latest. There it does not end.
"""

import torch.nn.functional as F
from torch import nn

from learning.training import SGD
from methods import _ascent
from methods._method import Method
from splits import Split


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    batch_size: int,
    lr: float = 0.005,
    threshold: float = 0.2,
    passes: int = 100,
    notes: dict | None = None,
) -> nn.Module:
    """Climb in place. threshold: a share of D_f. passes: over D_f, at most; at least one."""

    def loss(model, x, y, index):
        return -F.cross_entropy(model(x), y)

    return _ascent.climb(
        model,
        split,
        loss,
        batch_size=batch_size,
        lr=lr,
        threshold=threshold,
        passes=passes,
        notes=notes,
        title="ascent",
    )


METHOD = Method(
    unlearn,
    family="other",
    optimizer=SGD,
    ranges={"lr": (1e-4, 5e-2), "threshold": (0.01, 0.5)},
    check=_ascent.check,
)
