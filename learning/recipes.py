"""By which recipe a network is trained: epochs, milestones, learning rates.

To train otherwise, change a row or add one. The flags of pretrain_model.py do so for one run.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How long a network is trained, and how fast."""

    epochs: int
    milestones: tuple[int, ...]  # finished epochs after which the rate falls to a fifth
    lr: float  # SGD's learning rate after the warm-up
    source: Literal["published", "ours"]  # of epochs and milestones, and of a ResNet's lr


# ViT's learning rate is published nowhere. At ResNet18's 0.1 it diverges. This one is not tuned.
VIT_LR = 0.01

# (network, data set) -> recipe
RECIPES = {
    ("ResNet18", "Cifar100"): Recipe(
        epochs=200, milestones=(60, 120, 160), lr=0.1, source="published"
    ),
    ("ResNet18", "PinsFaceRecognition"): Recipe(
        epochs=200, milestones=(60, 120, 160), lr=0.1, source="published"
    ),
    ("ResNet18", "Cifar20"): Recipe(epochs=40, milestones=(15, 30, 35), lr=0.1, source="published"),
    ("ResNet18", "Cifar10"): Recipe(epochs=20, milestones=(8, 12, 16), lr=0.1, source="published"),
    ("ViT", "Cifar100"): Recipe(epochs=8, milestones=(7,), lr=VIT_LR, source="published"),
    ("ViT", "Cifar20"): Recipe(epochs=9, milestones=(8,), lr=VIT_LR, source="published"),
    ("ViT", "Cifar10"): Recipe(epochs=8, milestones=(7,), lr=VIT_LR, source="published"),
    ("ResNet18Slim", "Digits"): Recipe(epochs=20, milestones=(8, 12, 16), lr=0.05, source="ours"),
    ("ResNet18Slim", "DigitShapes"): Recipe(
        epochs=20, milestones=(8, 12, 16), lr=0.05, source="ours"
    ),
}

# network -> recipe on all other data sets
DEFAULT_RECIPES = {
    "ResNet18": Recipe(epochs=20, milestones=(8, 12, 16), lr=0.1, source="ours"),
    "ResNet18Slim": Recipe(epochs=20, milestones=(8, 12, 16), lr=0.1, source="ours"),
    "ViT": Recipe(epochs=8, milestones=(7,), lr=VIT_LR, source="ours"),
}

# Of every recipe, as published.
WARM_UP_EPOCHS = 1
BATCH_SIZE = 64
# What the rate is multiplied by at each milestone.
MILESTONE_FACTOR = 0.2


def recipe(net: str, dataset: str) -> dict:
    """Pre-training's settings as a record keeps them, for a network and a data set by name.

    Keys: epochs, milestones, lr, warm (epochs of warm-up), batch_size, numerics.
    """
    row = RECIPES.get((net, dataset), DEFAULT_RECIPES[net])
    return {
        "epochs": row.epochs,
        "milestones": list(row.milestones),
        "lr": row.lr,
        "warm": WARM_UP_EPOCHS,
        "batch_size": BATCH_SIZE,
        "numerics": "fp32",
    }


def lr_factor(step: int, steps_per_epoch: int, warm: float, milestones: list[int]) -> float:
    """What multiplies the learning rate at a step, counted from 0.

    A line from 0 to 1 over `warm` epochs, then 1, and 0.2 of it at each milestone passed.
    """
    epoch = step / steps_per_epoch
    if epoch < warm:
        return epoch / warm
    passed = sum(epoch >= milestone for milestone in milestones)
    return MILESTONE_FACTOR**passed
