"""Baseline: the original network, nothing forgotten; where every method starts.

theta <- theta
"""

from torch import nn

from methods._method import Method
from splits import Split


def unlearn(model: nn.Module, split: Split) -> nn.Module:
    """Give the model back as it is."""
    return model.eval()


METHOD = Method(
    unlearn,
    family="original",
    draws_for_class=False,
    heals=True,
)
