"""SalUn: wrong labels for D_f, learned by the salient weights alone. Fan et al., ICLR 2024, arXiv:2310.12508.

    mask     the half of all parameters with the largest |gradient of CE over D_f| at the original weights
    then     minimise CE over D_r with its labels and D_f with random wrong ones; outside the mask nothing moves

Training as `amnesiac` (3 epochs, Adam 1e-4, batch 128), so that the mask is the only difference; the paper tunes per task.

Differs 1: Wrong labels are drawn once, from the C - 1 other classes. The authors' repository draws
from all C, the true one included, anew in each epoch.
Differs 2: Adam at 1e-4 for 3 epochs. The authors' repository has SGD at 0.013 for 10 epochs.
Differs 3: Batches mix D_r and D_f in a random order. The authors' repository has another order.
Differs 4: The mask is by the gradient of the sum over all images of D_f. The authors' repository
takes the gradients of batch means, so that images of a short last batch weigh more.
"""

import torch
import torch.nn.functional as F

from common.errors import UserError
from learning.images import batches
from learning.training import ADAM
from methods import amnesiac
from methods._method import Method


def check(model, split, *, share, **_):
    """UserError where the settings cannot be."""
    if not 0 < share <= 1:
        raise UserError(f"share={share:g}: it lies above 0 and is at most 1")


def unlearn(model, split, *, epochs=3, lr=1e-4, batch_size=128, share=0.5):
    """Mask, then train, in place; BatchNorm's running statistics follow the data as ever. share: of parameters that may move."""
    check(model, split, share=share)
    masks = salient(model, batches(split.forget, model, batch_size), share)
    hooks = [
        p.register_hook(lambda g, mask=mask: g * mask)
        for p, mask in zip(model.parameters(), masks, strict=True)
    ]
    try:
        return amnesiac.unlearn(model, split, epochs=epochs, lr=lr, batch_size=batch_size)
    finally:
        for hook in hooks:
            hook.remove()


def salient(model, forget_batches, share):
    """A bool mask for each parameter tensor: the `share` of all parameters with the largest |gradient| over the batches."""
    parameters = list(model.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    model.eval()
    for x, y, _ in forget_batches:
        gradients = torch.autograd.grad(
            F.cross_entropy(model(x), y, reduction="sum"), parameters, allow_unused=True
        )
        for value, g in zip(total, gradients, strict=True):
            if g is not None:
                value += g
    sizes = torch.cat([value.abs().flatten() for value in total])
    chosen = torch.zeros(len(sizes), dtype=torch.bool, device=sizes.device)
    chosen[sizes.topk(max(1, round(share * len(sizes)))).indices] = True
    parts = chosen.split([p.numel() for p in parameters])
    return [part.view(p.shape) for part, p in zip(parts, parameters, strict=True)]


METHOD = Method(
    unlearn,
    family="other",
    optimizer=ADAM,
    ranges={"lr": (1e-5, 1e-2), "epochs": (1, 10), "share": (0.1, 0.9)},
    check=check,
)
