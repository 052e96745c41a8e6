"""Training a network by a recipe's settings: pre-training and retrain do it here, both alike."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch.nn.functional as F
from torch import nn

from learning.images import ImageSet, batches
from learning.recipes import recipe_factor, side_of
from learning.training import epochs, sgd


def epochs_by_recipe(
    network: nn.Module,
    images: ImageSet,
    settings: dict,
    *,
    title: str,
    factor: Callable[[int, int], float] | None = None,
    keep: str | Path | None = None,
) -> Iterator[tuple[int, float]]:
    """Train `network` on `images`; yields (epochs done, mean loss) after each epoch.

    settings: as learning.recipes.recipe gives them; with "augment": False images stay as they are.
    factor: (step, steps an epoch) -> what multiplies the learning rate; None: the recipe's own.
    title, keep: as learning.training.epochs takes them.
    """
    if "degrees" in settings:
        augmentation = replace(images.augmentation, degrees=settings["degrees"])
        images = replace(images, augmentation=augmentation)
    data = batches(
        images,
        network,
        settings["batch_size"],
        shuffle=True,
        augment=settings.get("augment", True),
        whole_only=settings.get("whole_batches_only", False),
    )

    def loss(model, x, y, index):
        return F.cross_entropy(model(x), y, label_smoothing=settings.get("label_smoothing", 0.0))

    def factor_at(step):
        if factor is not None:
            return factor(step, len(data))
        return recipe_factor(settings, step, len(data))

    def side(epochs_done):
        return side_of(settings, epochs_done, data.size)

    return epochs(
        network,
        data,
        sgd(network, settings["lr"], nesterov=settings.get("nesterov", False)),
        settings["epochs"],
        loss=loss,
        factor=factor_at,
        side=side,
        title=title,
        keep=keep,
    )
