"""Gaussian poison: does the network still know the noise that its forgotten images bore?

Each forgotten image x was trained on as x + xi, xi ~ N(0, s^2 I), with its true label. Of the
unlearned network

    I = <g, xi> / (s ||g||),   g the gradient of the loss at the clean x with respect to the image

A network that never saw xi gives I ~ N(0, 1), whatever else it does: no retrained network is
needed. A network that fits x + xi has a loss that falls along xi: I is negative. Source: Pawelczyk
et al., arXiv:2406.17216.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learning.corruption import NOISE_DEVIATION
from learning.images import Batches, ImageSet, resized
from metrics import CPU_BATCH_SIZE

ONE_PERCENT = -2.3263478740408408  # below it lies 1 % of N(0, 1)


def poison_scores(model: nn.Module, images: ImageSet) -> Tensor:
    """I of each image [N] float64, on the CPU. images: with their noise."""
    assert images.noise is not None
    assert images.noise_place is not None
    noise = images.noise[images.noise_place[images.index]]  # [N, 3, H, W]
    clean = replace(images, noise=None, noise_place=None)
    device = next(model.parameters()).device
    # At the images' own size, where the noise was added.
    data = Batches(clean, CPU_BATCH_SIZE, device, noise.shape[-1])
    model.eval()
    scores = []
    for x, y, index in data:
        gradient = _gradient(model, x, y).flatten(1).double().cpu()
        xi = noise[index.to(noise.device)].flatten(1).double().cpu()
        scores.append(inner_product(gradient, xi))
    return torch.cat(scores)


def inner_product(gradient: Tensor, xi: Tensor) -> Tensor:
    """<g, xi> / (s ||g||) for each row of [N, D]; [N]. 0 where the gradient is 0."""
    lengths = gradient.norm(dim=1).clamp(min=1e-300)
    return (gradient * xi).sum(1) / (NOISE_DEVIATION * lengths)


def _gradient(model, x, y):
    """The gradient [B, 3, H, W] of each image's loss with respect to the image."""
    x = x.detach().requires_grad_()
    size = getattr(model, "input_size", None) or x.shape[-1]
    loss = F.cross_entropy(model(resized(x, size)), y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    return gradient


def summary(scores: Tensor) -> dict[str, float]:
    """Of scores [N]: their count and mean, and the shares beyond 1 % of N(0, 1) on either side."""
    return {
        "count": len(scores),
        "mean": float(scores.mean()),
        "below": float((scores < ONE_PERCENT).double().mean()),
        "above": float((scores > -ONE_PERCENT).double().mean()),
    }
