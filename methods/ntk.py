"""NTK scrubbing: forget as the linearised network would.

Golatkar, Achille, Soatto: Forgetting Outside the Box. ECCV 2020, arXiv:2003.02960.

    w(S) = -G_S (G_S^T G_S + decay |S| I)^-1 r_S
    step = w(D_r) - w(D),   m = -w(D_r)
    theta <- theta + step / |step| * ( |step| + 2 |cos(step, m)| |m| )

G_S [P, |S| C] is the Jacobian of all logits over S, and r_S [|S| C] their softmax less the one-hot
labels. G is never held: _linearised.py. Defaults: decay 0.1 and the rescaling are the released SSD
scripts'; 100 images and 16 GB are ours.

Differs 1: D is a random subsample, half of it from D_f where D_f is large enough.
"""

import torch
from torch import Tensor, nn

from common.console import progress
from common.errors import UserError
from learning.images import ImageSet, joined
from methods._linearised import block_size, jacobian_times, kernel_and_residual
from methods._method import Method
from splits import Split


def defaults(
    model: nn.Module, split: Split, batch_size: int | None = None, chosen: dict | None = None
) -> dict:
    """How many images of D are used: 100, or all where there are fewer."""
    return {"images": min(100, len(split.full))}


def check(model: nn.Module, split: Split, *, images: int, memory: float, **_: object) -> None:
    """UserError where D has fewer images, or `memory` GB do not suffice."""
    if images < 2:
        raise UserError(
            f"ntk on {images} image: it needs at least two, "
            "one to keep and one to forget (-set images=100)"
        )
    most = len(split.full)
    if images > most:
        way_out = f"use at most all of them (-set images={most})"
        raise UserError(f"ntk on {images} images: D has {most}; {way_out}")
    block_size(model, images, split.num_classes, memory)


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    images: int | None = None,
    decay: float = 0.1,
    memory: float = 16.0,
    notes: dict | None = None,
) -> nn.Module:
    """Move the weights by the scaled step, in place.

    images: how many of D are used; None takes what `defaults` says. memory: GB that it may take.
    notes["subsample"]: how many images of D_r and of D_f were used.
    UserError where D has fewer images, and where `memory` does not suffice.
    """
    if images is None:
        images = defaults(model, split)["images"]
    check(model, split, images=images, memory=memory)
    model.eval()
    retain, forget = subsample(split, images)
    if notes is not None:
        notes["subsample"] = {"retain": len(retain), "forget": len(forget)}

    both = joined(retain, forget)
    block = block_size(model, len(both), split.num_classes, memory)
    kernel, residual = kernel_and_residual(model, both, split.num_classes, block)
    # The kernel's rows of D_r, which come first.
    kept = len(retain) * split.num_classes
    with progress(None, "ntk step", total=4) as bar:
        # w(D) = -G by_all and w(D_r) = -G by_retain, with G over both sets: [N C] each.
        by_all = solve(kernel, residual, decay * len(both))
        bar.update()
        by_retain = torch.zeros_like(residual)
        by_retain[:kept] = solve(kernel[:kept, :kept], residual[:kept], decay * len(retain))
        bar.update()
        step = jacobian_times(model, both, by_all - by_retain)  # [P]
        bar.update()
        m = jacobian_times(model, both, by_retain)  # [P]
        bar.update()
    add(model, rescaled(step, m))
    return model


def subsample(split: Split, images: int) -> tuple[ImageSet, ImageSet]:
    """(retain, forget): `images` of both together, at random, halves unless one side has fewer."""
    forget_count = min(len(split.forget), max(images // 2, images - len(split.retain)))
    retain_count = min(len(split.retain), images - forget_count)
    retain = some_of(split.retain, retain_count)
    forget = some_of(split.forget, forget_count)
    return retain, forget


def some_of(images: ImageSet, count: int) -> ImageSet:
    """`count` images of a set, drawn at random."""
    return images.take(torch.randperm(len(images))[:count])


def solve(kernel: Tensor, residual: Tensor, ridge: float) -> Tensor:
    """(kernel + ridge I)^-1 residual, in double precision; kernel [M, M], residual [M]."""
    # A copy: the caller's kernel stays as it is.
    damped = kernel.to(torch.float64, copy=True)
    damped.diagonal().add_(ridge)
    factor = torch.linalg.cholesky(damped)
    solution = torch.cholesky_solve(residual.double()[:, None], factor)
    return solution[:, 0].to(residual)


def rescaled(step: Tensor, m: Tensor) -> Tensor:
    """The step [P] at its predicted length.

    m [P]: the error that linearising is expected to make.
    """
    if not (step.any() and m.any()):
        return step
    # For a negative cosine c the released scripts have sin(acos c - pi/2), which is -c.
    cosine = torch.dot(step / step.norm(), m / m.norm())
    return step * (1 + 2 * cosine.abs() * m.norm() / step.norm())


@torch.no_grad()
def add(model: nn.Module, step: Tensor) -> None:
    """Add a step [P] to all parameters, in their order, in place."""
    sizes = [p.numel() for p in model.parameters()]
    for p, part in zip(model.parameters(), step.split(sizes), strict=True):
        p.add_(part.view_as(p))


METHOD = Method(
    unlearn,
    family="other",
    too_slow_on=("ViT",),
    aliases=("NTK",),
    defaults=defaults,
    check=check,
)
