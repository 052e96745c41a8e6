"""SalUn: wrong labels for D_f, learned only by the salient weights.

Fan, Liu, Zhang, Wong, Wei, Liu: SalUn. ICLR 2024, arXiv:2310.12508.

    mask     the half of all parameters with the largest |gradient of CE over D_f| at the start
    then     minimise CE over D_r with its labels and over D_f with random wrong ones;
             outside the mask nothing moves

Defaults: the training of `amnesiac` (3 epochs, Adam 1e-4, batches of 128), so that the mask is the
only difference. The paper tunes for each task.

Differs 1: Wrong labels are drawn once, from the C - 1 other classes. The authors' repository draws
from all C, the true one included, anew in each epoch.
Differs 2: Adam at 1e-4 for 3 epochs. The authors' repository has SGD at 0.013 for 10 epochs.
Differs 3: Batches mix D_r and D_f in a random order. The authors' repository has another order.
Differs 4: The mask is by the gradient of the sum over all images of D_f. The authors' repository
takes the gradients of batch means, so that images of a short last batch weigh more.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import UserError
from learning.images import Batches, batches
from learning.training import ADAM
from methods import amnesiac
from methods._method import Method
from splits import Split


def check(model: nn.Module, split: Split, *, share: float, **_: object) -> None:
    """UserError where the settings cannot be."""
    if not 0 < share <= 1:
        raise UserError(f"share={share:g}: it lies above 0 and is at most 1")


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    epochs: int = 3,
    lr: float = 1e-4,
    batch_size: int = 128,
    share: float = 0.5,
) -> nn.Module:
    """Mask, then train, in place. share: of the parameters that may move.

    BatchNorm's running statistics follow the data as in any training.
    """
    check(model, split, share=share)
    masks = salient(model, batches(split.forget, model, batch_size), share)
    hooks = []
    for p, mask in zip(model.parameters(), masks, strict=True):
        hooks.append(p.register_hook(masking(mask)))
    try:
        return amnesiac.unlearn(model, split, epochs=epochs, lr=lr, batch_size=batch_size)
    finally:
        for hook in hooks:
            hook.remove()


def masking(mask: Tensor) -> Callable:
    """A hook that sets a parameter's gradient to 0 outside the mask."""

    def hook(gradient):
        return gradient * mask

    return hook


def salient(model: nn.Module, forget_batches: Batches, share: float) -> list[Tensor]:
    """A bool mask for each parameter tensor, of its shape.

    Chosen is the `share` of all parameters with the largest |gradient| over the batches.
    """
    parameters = list(model.parameters())
    gradients = summed_gradients(model, forget_batches)
    sizes = torch.cat([gradient.abs().flatten() for gradient in gradients])  # [P]
    count = max(1, round(share * len(sizes)))
    is_salient = torch.zeros(len(sizes), dtype=torch.bool, device=sizes.device)
    is_salient[sizes.topk(count).indices] = True
    masks = []
    parts = is_salient.split([p.numel() for p in parameters])
    for p, part in zip(parameters, parts, strict=True):
        masks.append(part.view(p.shape))
    return masks


def summed_gradients(model: nn.Module, forget_batches: Batches) -> list[Tensor]:
    """The gradient of the cross-entropy, summed over all images, for each parameter tensor."""
    parameters = list(model.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    model.eval()
    for x, y, _ in forget_batches:
        loss = F.cross_entropy(model(x), y, reduction="sum")
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for value, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                value += gradient
    return total


METHOD = Method(
    unlearn,
    family="other",
    optimizer=ADAM,
    ranges={"lr": (1e-5, 1e-2), "epochs": (1, 10), "share": (0.1, 0.9)},
    check=check,
)
