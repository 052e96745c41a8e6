"""A network of your own for the harness: give its function to -net.

    python pretrain_model.py -net examples/outside/network.py:small -dataset Digits

RECIPE, ALPHA and LAMBDA may stand in the same file. Flags go before them. DECODE_SIZE, which this
file does not have, says to how many pixels a side a folder's images are resized (32).
"""

from torch import nn

RECIPE = {"epochs": 6, "lr": 0.05, "milestones": (4,)}
# {method: value}
ALPHA = {"ssd": 4, "lfssd": 4}
LAMBDA = {"ssd": 1, "lfssd": 1}


def small(num_classes: int) -> nn.Module:
    """A network of two convolutions. It ends in a linear layer, which probes and UNSIR need."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, num_classes),
    )
