"""The ways to measure importance: which losses' gradients are taken, and how large they count."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F


class Measure(NamedTuple):
    """A way to measure importance: the mean size of the gradients of some losses."""

    name: str
    losses: Callable  # (logits [N, C], y [N]) -> [K, N]: K losses of each sample or token
    power: int  # the gradients' size: their absolute values, to this power
    least_classes: int  # with fewer all gradients are zero
    reads_labels: bool = False


def _cross_entropies(logits, y):
    """CE(f(x), y), [1, N]."""
    return F.cross_entropy(logits, y.long(), reduction="none")[None]


def _squared_norms(logits, y):
    """||f(x)||_2^2, [1, N]."""
    return logits.square().sum(1)[None]


def _norms(logits, y):
    """||f(x)||_2, [1, N]."""
    return torch.linalg.vector_norm(logits, dim=1)[None]


def _weighted_cross_entropies(logits, y):
    """sqrt(p(c)) CE(f(x), c) for every label c, [C, N].

    The squares of its gradients are those of CE(f(x), c), weighted by p(c), the model's own
    probability.
    """
    log_p = F.log_softmax(logits, 1)
    return (-(log_p.detach() / 2).exp() * log_p).T


MEASURES = {
    "fisher": Measure("fisher", _cross_entropies, 2, least_classes=2, reads_labels=True),
    "norm": Measure("norm", _squared_norms, 1, least_classes=1),
    "xlf": Measure("xlf", _norms, 1, least_classes=1),
    "true_fisher": Measure("true_fisher", _weighted_cross_entropies, 2, least_classes=2),
}
