"""JiT: zero-shot unlearning by Lipschitz regularisation, from D_f only.

Foster, Fogarty, Schoepf, Oztireli, Brintrup: Zero-Shot Machine Unlearning at Scale via Lipschitz
Regularization. arXiv:2402.01401.

    l(x) = 1/N sum_j ||f(x) - f(x + xi_j)||_2 / ||xi_j||_2,   xi_j ~ N(0, sigma^2 I),   N = 25
    one pass over D_f: for each batch an SGD step of learning rate eta on the sum of l(x)

As in the released code f(x + xi) carries no gradient, x + xi is clamped to the batch's own range,
and xi is what then remains of the noise. Defaults: the authors' table of sigma and eta. The loss is
a sum over the batch, so eta belongs to the batch size. In the class task that is 128, as in the
authors' study, else the task's.

Differs 1: Under `-protocol released` the network stays in train mode, and the gradients of earlier
steps are never cleared.
"""

import torch
from torch import Tensor, nn

from common.errors import UserError
from learning.images import batches
from learning.protocol import PAPER, Protocol
from learning.training import task_batch_size, trains_alone
from methods._method import Method, resolved
from models import ViT
from splits import Split

# To which the authors' eta for a class belongs.
CLASS_BATCH_SIZE = 128
# {(network, what is forgotten): settings} on normalised inputs. The authors', found for ViT and for
# VGG11, which stands for all convolutional networks here.
SETTINGS = {
    ("ViT", "class"): {"sigma": 0.8, "eta": 1.5},
    ("ViT", "sub-class"): {"sigma": 1.5, "eta": 0.5},
    ("ViT", "images"): {"sigma": 0.5, "eta": 0.1},
    ("convolutional", "class"): {"sigma": 0.5, "eta": 3e-4},
    ("convolutional", "sub-class"): {"sigma": 0.01, "eta": 3e-4},
    ("convolutional", "images"): {"sigma": 0.01, "eta": 3e-4},
}


def defaults(
    model: nn.Module, split: Split, batch_size: int | None = None, chosen: dict | None = None
) -> dict:
    """sigma, eta and the batch size that belong to this network and task.

    batch_size: the task's; None for the released scripts'.
    """
    network = "ViT" if isinstance(model, ViT) else "convolutional"
    if split.forget_class is None:
        forgotten = "images"
    elif split.forgets_whole_class:
        forgotten = "class"
    else:
        forgotten = "sub-class"
    if forgotten == "class":
        batch_size = CLASS_BATCH_SIZE
    elif batch_size is None:
        batch_size = task_batch_size(split)
    return {**SETTINGS[network, forgotten], "batch_size": batch_size}


def check(
    model: nn.Module,
    split: Split,
    *,
    batch_size: int,
    sigma: float,
    protocol: Protocol = PAPER,
    **_: object,
) -> None:
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
    model: nn.Module,
    split: Split,
    *,
    batch_size: int | None = None,
    sigma: float | None = None,
    eta: float | None = None,
    copies: int = 25,
    protocol: Protocol = PAPER,
) -> nn.Module:
    """Make the network smooth around D_f's images, in place.

    batch_size, sigma, eta: None takes what `defaults` says. copies: N.
    UserError where there is no noise, and where BatchNorm would be trained on one image.
    """
    usual = defaults(model, split)
    values = resolved(usual, batch_size=batch_size, sigma=sigma, eta=eta)
    check(model, split, protocol=protocol, **values)
    forget = batches(split.forget, model, values["batch_size"], title="JiT")
    optimizer = torch.optim.SGD(model.parameters(), values["eta"])
    model.train(protocol.jit_accumulates_in_train_mode)
    for x, _, _ in forget:
        if not protocol.jit_accumulates_in_train_mode:
            optimizer.zero_grad()
        loss = lipschitz(model, x, values["sigma"], copies).sum()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval()


def lipschitz(model: nn.Module, x: Tensor, sigma: float, copies: int) -> Tensor:
    """l(x) of each image of x [B, 3, S, S]: [B]."""
    outputs = model(x)
    low, high = x.min(), x.max()
    total = x.new_zeros(())
    for _ in range(copies):
        noise = sigma * torch.randn(x.shape).to(x.device)
        noisy = (x + noise).clamp(low, high)
        with torch.no_grad():
            noisy_outputs = model(noisy)
        change = (outputs - noisy_outputs).norm(dim=1)
        distance = (noisy - x).flatten(1).norm(dim=1)
        total = total + change / distance
    return total / copies


METHOD = Method(
    unlearn,
    family="ssd",
    optimizer={"optimizer": "SGD", "momentum": 0.0, "weight_decay": 0.0},
    ranges={"sigma": (0.01, 2), "eta": (1e-5, 2)},
    defaults=defaults,
    check=check,
)
