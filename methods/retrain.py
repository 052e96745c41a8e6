"""Retrain: a fresh network trained on the retain set; the target that unlearning tries to reach without the cost.

The recipe (epochs, milestones, lr, warm, batch_size, numerics) is that by which the original was trained: same optimiser, same
augmentation.

Differs 1: Under `-protocol released` all layers but the last keep their weights. The learning rate
rises to 0.02 within two epochs and is then 0.01 with the milestones. Images are un-augmented, in
the task's batches. That network has seen D_f.
"""

from common.errors import UserError
from learning.images import batches
from learning.numerics import compute_in
from learning.protocol import PAPER
from learning.recipes import lr_factor
from learning.training import SGD, fit, sgd
from methods._method import Method
from models import fresh


def unlearn(model, split, *, recipe, batch_size, protocol=PAPER):
    """Minimise the cross-entropy over D_r from new random weights; returns a new model, D_f is never looked at."""
    network = fresh(model)
    numerics = recipe.get("numerics", "fp32")
    if numerics == "tf32" and next(model.parameters()).device.type == "cpu":
        raise UserError(
            "the network was pre-trained in tf32, and so must be the one without D_f: add -gpu"
        )
    compute_in(network, numerics)
    if protocol.retrain_resets_last_layer_only:
        _keep_all_but_last_layer(network, model)
    how = in_effect(recipe, batch_size, protocol)
    data = batches(split.retain, network, how["batch_size"], shuffle=True, augment=how["augment"])

    def factor(step):
        if protocol.retrain_by_short_recipe:
            return released_factor(step, len(data), recipe["milestones"])
        return lr_factor(step, len(data), recipe["warm"], recipe["milestones"])

    fit(network, data, sgd(network, how["lr"]), recipe["epochs"], factor=factor, what="retrain")
    compute_in(network, model.numerics)
    return network


def in_effect(recipe, batch_size, protocol):
    """{name: value} of all that retraining goes by; batch_size: the task's, which the released recipe takes."""
    how = {**recipe, "augment": True}
    if protocol.retrain_by_short_recipe:
        how |= {"lr": 0.01, "warm": 2, "batch_size": batch_size, "augment": False}
    return how


def released_factor(step, steps_per_epoch, milestones):
    """The released code's: 0 to 1 in the first epoch, on to 2 in the second, then 1 and a fifth at each milestone."""
    epoch = step / steps_per_epoch
    return epoch if epoch < 2 else 0.2 ** sum(epoch >= milestone for milestone in milestones)


def _keep_all_but_last_layer(network, model):
    last = {
        f"{name}.{key}"
        for name, layer in list(model.named_children())[-1:]
        for key in layer.state_dict()
    }
    network.load_state_dict(
        {k: v for k, v in model.state_dict().items() if k not in last}, strict=False
    )


METHOD = Method(
    unlearn,
    family="goal",
    heals=True,
    optimizer=SGD,
    by_recipe=in_effect,
)
