"""Retrain: a fresh network trained on the retain set.

    minimise CE over D_r, starting from new random weights

It is the goal that unlearning tries to reach without the price. Defaults: the recipe by which the
original was trained (epochs, milestones, lr, warm, batch_size, numerics), with the same optimiser
and the same augmentation.

Differs 1: Under `-protocol released` all layers but the last keep their weights. The learning rate
rises to 0.02 within two epochs and is then 0.01 with the milestones. Images are un-augmented, in
the task's batches. That network has seen D_f.
"""

import functools

from torch import nn

from common.errors import UserError
from learning.by_recipe import epochs_by_recipe
from learning.numerics import compute_in
from learning.protocol import PAPER, Protocol
from learning.recipes import FAST_SETTINGS
from learning.training import SGD
from methods._method import Method
from models import fresh
from splits import Split


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    recipe: dict,
    batch_size: int,
    protocol: Protocol = PAPER,
) -> nn.Module:
    """A new model, trained on D_r from random weights; D_f is never looked at.

    recipe: the original's. batch_size: the task's, which only the released recipe takes.
    UserError where the original was trained in tf32 and the model is on a CPU.
    """
    network = fresh(model)
    numerics = recipe.get("numerics", "fp32")
    check_numerics(model, numerics)
    compute_in(network, numerics)
    if protocol.retrain_resets_last_layer_only:
        copy_all_but_last_layer(model, network)

    settings = in_effect(recipe, batch_size, protocol)
    factor = None
    if protocol.retrain_by_short_recipe:
        factor = functools.partial(released_factor, milestones=settings["milestones"])
    training = epochs_by_recipe(network, split.retain, settings, factor=factor, title="retrain")
    for _ in training:
        pass
    network.eval()
    compute_in(network, getattr(model, "numerics", "fp32"))
    return network


def check_numerics(model: nn.Module, numerics: str) -> None:
    """UserError where the recipe asks for numerics that the model's device does not have."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    if numerics == "tf32" and on_cpu:
        raise UserError(
            "the network was pre-trained in tf32, and so must be the one without D_f: add -gpu"
        )


def in_effect(recipe: dict, batch_size: int, protocol: Protocol) -> dict:
    """{name: value} of all that retraining goes by.

    batch_size: the task's, which only the released recipe takes.
    """
    settings = {**recipe, "augment": True}
    if protocol.retrain_by_short_recipe:
        for name in FAST_SETTINGS:
            settings.pop(name, None)
        settings.setdefault("milestones", [])
        settings |= {"lr": 0.01, "warm": 2, "batch_size": batch_size, "augment": False}
    return settings


def released_factor(step: int, steps_per_epoch: int, milestones: list[int]) -> float:
    """What the released code multiplies the learning rate by.

    It rises from 0 to 1 in the first epoch and to 2 in the second. Then it is 1, and a fifth of
    that from each milestone on.
    """
    epoch = step / steps_per_epoch
    if epoch < 2:
        return epoch
    passed = sum(epoch >= milestone for milestone in milestones)
    return 0.2**passed


def copy_all_but_last_layer(model: nn.Module, network: nn.Module) -> None:
    """Give the network the model's weights, except for those of its last layer."""
    *_, (last_layer, _) = model.named_children()
    weights = {}
    for name, value in model.state_dict().items():
        if not name.startswith(f"{last_layer}."):
            weights[name] = value
    network.load_state_dict(weights, strict=False)


METHOD = Method(
    unlearn,
    family="goal",
    heals=True,
    optimizer=SGD,
    by_recipe=in_effect,
)
