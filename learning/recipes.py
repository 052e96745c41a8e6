"""By which recipe a network is trained: epochs, learning rates, and what images it is shown.

There are two kinds. A published recipe has many epochs, and a rate that falls in steps. A fast one
has few; its rate rises and falls once, and its first epochs show small images.

To train otherwise, change a row or add one. The flags of pretrain_model.py do so for one run.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from common import references
from common.errors import UserError
from common.references import Table

PUBLISHED, FAST = "published", "fast"


# ---- the published recipes ----


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
_OURS = Recipe(epochs=20, milestones=(8, 12, 16), lr=0.1, source="ours")
DEFAULT_RECIPES = Table(
    {
        "ResNet18": _OURS,
        "ResNet18Slim": _OURS,
        "ViT": Recipe(epochs=8, milestones=(7,), lr=VIT_LR, source="ours"),
    },
    lambda net: _recipe_beside(net),
)


def _recipe_beside(net):
    """RECIPE in the file of a network from outside; ResNet18's where it has none."""
    values = references.beside(net, "RECIPE") if references.is_reference(net) else None
    if values is None:
        return _OURS
    try:
        made = Recipe(**{"milestones": (), "source": "ours", **values})
        numbers_of_epochs = [made.epochs, *made.milestones]
        are_whole = all(epoch == int(epoch) for epoch in numbers_of_epochs)
        is_sound = are_whole and min(numbers_of_epochs) > 0 and 0 < made.lr < math.inf
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{net}: RECIPE in its file must be a dict of epochs, lr and milestones ({error})"
        ) from error
    if not is_sound:
        raise UserError(
            f"{net}: RECIPE in its file: epochs and milestones are whole numbers above 0, lr is a "
            "number above 0"
        )
    return made


# Of every recipe, as published.
WARM_UP_EPOCHS = 1
BATCH_SIZE = 64
# What the rate is multiplied by at each milestone.
MILESTONE_FACTOR = 0.2


# ---- the fast recipes ----

# What the settings of a fast recipe hold and those of a published one do not.
FAST_SETTINGS = (
    "name",
    "sizes",
    "degrees",
    "label_smoothing",
    "nesterov",
    "whole_batches_only",
)


@dataclass(frozen=True, kw_only=True)
class FastRecipe:
    """A short training: SGD with Nesterov's momentum, a rate that rises and falls once.

    A last batch that is not whole is omitted: one of two images can spoil a network.
    """

    # (share of the images' side, epochs), in this order: the first epochs show smaller images
    sizes: tuple[tuple[float, int], ...]
    batch_size: int
    lr: float  # the highest
    warm: float  # epochs in which the rate rises to it, from 0; then it falls to 0
    degrees: float  # by which an image is turned at most
    label_smoothing: float


# What was tried for them, and what each part brings: docs/performance.md.
_DIGITS = FastRecipe(
    sizes=((1, 9),),  # 8x8 pixels leave nothing to shrink
    batch_size=64,  # there are few digits: larger batches leave too few steps
    lr=0.07,
    warm=2,
    degrees=10,  # as published: without it accuracy falls
    label_smoothing=0.1,
)
_SMALL_IMAGES = FastRecipe(
    # At half the side a step takes a quarter of the time. The last epochs must show whole images.
    sizes=((0.5, 4), (0.75, 4), (1, 3)),
    batch_size=64,  # larger ones save no time on a CPU and lose accuracy
    lr=0.2,
    warm=1,
    degrees=0,  # left out from the start; whether turning images pays is not measured
    label_smoothing=0.1,
)
# Twice as many epochs: the published recipes of these have 40 and more.
_SMALL_IMAGES_LONG = replace(_SMALL_IMAGES, sizes=((0.5, 8), (0.75, 8), (1, 6)), warm=2)
# (network, data set) -> fast recipe
FAST_RECIPES = {
    ("ResNet18", "Cifar20"): _SMALL_IMAGES_LONG,
    ("ResNet18", "Cifar100"): _SMALL_IMAGES_LONG,
    ("ResNet18Slim", "Digits"): _DIGITS,
    ("ResNet18Slim", "DigitShapes"): _DIGITS,
}
# network -> fast recipe on all other data sets
DEFAULT_FAST_RECIPES = {
    "ResNet18": _SMALL_IMAGES,
    "ResNet18Slim": _SMALL_IMAGES,
}


def recipe(net: str, dataset: str, name: str = PUBLISHED) -> dict:
    """Pre-training's settings as a record keeps them, for a network and a data set by name.

    name: PUBLISHED or FAST. Keys of both: epochs, lr, warm (epochs of warm-up), batch_size,
    numerics. Of a published one besides: milestones. Of a fast one: name, sizes, degrees,
    label_smoothing, nesterov, whole_batches_only. UserError where the network has no such recipe.
    """
    if name == FAST:
        return _fast_recipe(net, dataset)
    row = RECIPES.get((net, dataset)) or DEFAULT_RECIPES[net]
    return {
        "epochs": row.epochs,
        "milestones": list(row.milestones),
        "lr": row.lr,
        "warm": WARM_UP_EPOCHS,
        "batch_size": BATCH_SIZE,
        "numerics": "fp32",
    }


def _fast_recipe(net, dataset):
    row = FAST_RECIPES.get((net, dataset)) or DEFAULT_FAST_RECIPES.get(net)
    if row is None:
        raise UserError(
            f"there is no fast recipe for {net}; take -recipe published, or add one to "
            "learning/recipes.py"
        )
    return {
        "name": FAST,
        "epochs": sum(epochs for _, epochs in row.sizes),
        "sizes": [list(part) for part in row.sizes],
        "lr": row.lr,
        "warm": row.warm,
        "batch_size": row.batch_size,
        "degrees": row.degrees,
        "label_smoothing": row.label_smoothing,
        "nesterov": True,
        "whole_batches_only": True,
        "numerics": "fp32",
    }


def with_epochs(settings: dict, epochs: int) -> dict:
    """A recipe's settings with another number of epochs; what happens when keeps its share."""
    share = epochs / settings["epochs"]
    changed = {**settings, "epochs": epochs}
    if "milestones" in settings:
        changed["milestones"] = [round(epoch * share) for epoch in settings["milestones"]]
    if "sizes" in settings:
        changed["warm"] = settings["warm"] * share
        changed["sizes"] = _stretched(settings["sizes"], epochs)
    return changed


def _stretched(sizes, epochs):
    """Sizes over another number of epochs, rounded so that the last epoch shows whole images."""
    total = sum(count for _, count in sizes)
    stretched = []
    before, new_before = 0, 0
    for share, count in sizes:
        before += count
        end = before * epochs // total
        stretched.append([share, end - new_before])
        new_before = end
    return stretched


# ---- a recipe's settings, epoch by epoch ----


def recipe_factor(settings: dict, step: int, steps_per_epoch: int) -> float:
    """What multiplies a recipe's learning rate at a step, counted from 0."""
    warm = settings["warm"]
    if "milestones" in settings:
        return lr_factor(step, steps_per_epoch, warm, settings["milestones"])
    total = settings["epochs"] * steps_per_epoch
    return cycle_factor(step, total, warm * steps_per_epoch)


def lr_factor(step: int, steps_per_epoch: int, warm: float, milestones: list[int]) -> float:
    """What multiplies the learning rate of a published recipe at a step, counted from 0.

    A line from 0 to 1 over `warm` epochs, then 1, and 0.2 of it at each milestone passed.
    """
    epoch = step / steps_per_epoch
    if epoch < warm:
        return epoch / warm
    passed = sum(epoch >= milestone for milestone in milestones)
    return MILESTONE_FACTOR**passed


def cycle_factor(step: int, total: int, warm_steps: float) -> float:
    """What multiplies the learning rate of a fast recipe at a step, counted from 0.

    A line from 0 to 1 over `warm_steps` steps, then one down to 0, which step `total` would reach.
    Source: Smith and Topin, 2017 (arXiv:1708.07120), without their last phase.
    """
    if step + 1 < warm_steps:
        return (step + 1) / warm_steps
    return (total - step) / (total - warm_steps)


def side_of(settings: dict, epochs_done: int, side: int) -> int:
    """Pixels a side at which the next epoch's images are shown; `side`: at which they come."""
    passed = 0
    for share, epochs in settings.get("sizes", []):
        passed += epochs
        if epochs_done < passed:
            return round(share * side)
    return side
