"""JiT: zero-shot unlearning by Lipschitz regularisation, from D_f alone. Foster et al., arXiv:2402.01401.

    l(x) = 1/N sum_j ||f(x) - f(x + xi_j)||_2 / ||xi_j||_2,   xi_j ~ N(0, sigma^2 I),   N = 25
    one SGD step of learning rate eta per batch of D_f, on l summed over the batch; one pass

As in the released code f(x + xi) carries no gradient, x + xi is clamped to the batch's own range, and xi is what then
remains of the noise. Differs under the released protocol: the network stays in train mode and gradients of earlier
steps are never cleared.
"""

import torch

from common import UserError
from images import batches
from models import ViT
from protocol import PAPER
from training import trains_alone

SETTINGS = {  # (network, what is forgotten): sigma, eta on normalised inputs; the authors', for ViT and VGG11
    ("ViT", "class"): (0.8, 1.5),
    ("ViT", "sub-class"): (1.5, 0.5),
    ("ViT", "images"): (0.5, 0.1),
    ("convolutional", "class"): (0.5, 3e-4),
    ("convolutional", "sub-class"): (0.01, 3e-4),
    ("convolutional", "images"): (0.01, 3e-4),
}
RANGES = {"sigma": (0.01, 2), "eta": (1e-5, 2)}


def unlearn(model, split, *, batch_size, sigma: float | None = None, eta: float | None = None, copies=25, protocol=PAPER):
    """Make the network smooth around D_f's images, in place. sigma, eta: None takes the table's for network and task."""
    net = "ViT" if isinstance(model, ViT) else "convolutional"
    what = "images" if split.forget_class is None else "class" if split.whole else "sub-class"
    usual_sigma, usual_eta = SETTINGS[net, what]
    sigma, eta = usual_sigma if sigma is None else sigma, usual_eta if eta is None else eta
    if not sigma > 0:
        raise UserError("sigma=0: without noise there is nothing to compare; take a positive one")
    forget = batches(split.forget, model, batch_size, what="JiT")
    if protocol.jit_accumulates_in_train_mode and forget.leaves_one and not trains_alone(model, forget.size):
        raise UserError(f"-b {batch_size} leaves BatchNorm a batch of one image to train on; take another, or -protocol paper")
    optimizer = torch.optim.SGD(model.parameters(), eta)
    model.train(protocol.jit_accumulates_in_train_mode)
    for x, _ in forget:
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
