"""JiT: zero-shot unlearning by Lipschitz regularisation, from D_f alone. Foster et al., arXiv:2402.01401.

    l(x) = 1/N sum_j ||f(x) - f(x + xi_j)||_2 / ||xi_j||_2,   xi_j ~ N(0, sigma^2 I),   N = 25
    one SGD step of learning rate eta per batch of D_f, on l summed over the batch; one pass

As in the released code f(x + xi) carries no gradient, x + xi is clamped to the batch's own range, and xi is what then
remains of the noise. The loss is a sum over the batch, so eta belongs to the batch size: in the
class task that is 128, as in the authors' study, else the task's.

Differs 1: Under `-protocol released` the network stays in train mode, and the gradients of earlier
steps are never cleared.
"""

import torch

from common.errors import UserError
from learning.images import batches
from learning.protocol import PAPER
from learning.training import task_batch_size, trains_alone
from methods._method import Method
from models import ViT

CLASS_BATCH_SIZE = 128  # to which the authors' eta for a class belongs
SETTINGS = {  # (network, what is forgotten): sigma, eta on normalised inputs; the authors', for ViT and VGG11
    ("ViT", "class"): (0.8, 1.5),
    ("ViT", "sub-class"): (1.5, 0.5),
    ("ViT", "images"): (0.5, 0.1),
    ("convolutional", "class"): (0.5, 3e-4),
    ("convolutional", "sub-class"): (0.01, 3e-4),
    ("convolutional", "images"): (0.01, 3e-4),
}


def defaults(model, split, batch_size=None, chosen=None):
    """sigma, eta and the batch size that belong to this network and task, as a dict.

    batch_size: the task's, None for the released scripts'. What else was chosen does not matter.
    """
    net = "ViT" if isinstance(model, ViT) else "convolutional"
    if split.forget_class is None:
        forgotten = "images"
    else:
        forgotten = "class" if split.forgets_whole_class else "sub-class"
    sigma, eta = SETTINGS[net, forgotten]
    if forgotten == "class":
        batch_size = CLASS_BATCH_SIZE
    elif batch_size is None:
        batch_size = task_batch_size(split)
    return {"sigma": sigma, "eta": eta, "batch_size": batch_size}


def check(model, split, *, batch_size, sigma, protocol=PAPER, **_):
    """UserError where there is no noise, or where BatchNorm would be trained on one image."""
    if not sigma > 0:
        raise UserError("sigma=0: without noise there is nothing to compare; take a positive one")
    forget = batches(split.forget, model, batch_size)
    in_train_mode = protocol.jit_accumulates_in_train_mode
    if in_train_mode and forget.leaves_one and not trains_alone(model, forget.size):
        raise UserError(
            f"batches of {batch_size} images leave BatchNorm a batch of one image to train on; "
            "take others (-set batch_size=...), or -protocol paper"
        )


def unlearn(
    model,
    split,
    *,
    batch_size: int | None = None,
    sigma: float | None = None,
    eta: float | None = None,
    copies=25,
    protocol=PAPER,
):
    """Make the network smooth around D_f's images, in place.

    batch_size, sigma, eta: None takes what `defaults` says. UserError where there is no noise, and
    where BatchNorm would be trained on one image.
    """
    usual = defaults(model, split)
    sigma = usual["sigma"] if sigma is None else sigma
    eta = usual["eta"] if eta is None else eta
    batch_size = usual["batch_size"] if batch_size is None else batch_size
    check(model, split, batch_size=batch_size, sigma=sigma, protocol=protocol)
    forget = batches(split.forget, model, batch_size, what="JiT")
    optimizer = torch.optim.SGD(model.parameters(), eta)
    model.train(protocol.jit_accumulates_in_train_mode)
    for x, _, _ in forget:
        if not protocol.jit_accumulates_in_train_mode:
            optimizer.zero_grad()
        lipschitz(model, x, sigma, copies).sum().backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval()


def lipschitz(model, x, sigma, copies):
    """l(x) of each image of x [B, 3, S, S]: [B]."""
    outputs, low, high = model(x), x.min(), x.max()
    total = 0
    for _ in range(copies):
        noisy = (x + sigma * torch.randn(x.shape).to(x.device)).clamp(low, high)
        with torch.no_grad():
            others = model(noisy)
        total = total + (outputs - others).norm(dim=1) / (noisy - x).flatten(1).norm(dim=1)
    return total / copies


METHOD = Method(
    unlearn,
    family="ssd",
    optimizer={"optimizer": "SGD", "momentum": 0.0, "weight_decay": 0.0},
    ranges={"sigma": (0.01, 2), "eta": (1e-5, 2)},
    defaults=defaults,
    check=check,
)
