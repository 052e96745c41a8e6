"""NTK scrubbing. Golatkar, Achille, Soatto, ECCV 2020, arXiv:2003.02960: forget as the linearised network would.

    w(S) = -G_S (G_S^T G_S + decay |S| I)^-1 r_S        G_S = Jacobian of all logits over S [P, |S| C], r_S = softmax - onehot
    step = w(D_r) - w(D);   m = -w(D_r)
    theta <- theta + step / |step| * ( |step| + 2 |cos(step, m)| |m| )

decay 0.1 and the rescaling are the released scripts'. G is never held: linearised.py.

Differs 1: D is a random subsample, half of it from D_f where D_f is large enough.
"""

import torch

from common.console import progress
from common.errors import UserError
from learning.images import joined
from methods._linearised import block_size, jacobian_times, kernel_and_residual
from methods._method import Method


def defaults(model, split, batch_size=None, chosen=None):
    """How many images of D are used: 100, or all where there are fewer."""
    return {"images": min(100, len(split.full))}


def check(model, split, *, images, memory, **_):
    """UserError where D has fewer images, or `memory` GB do not suffice."""
    if images < 2:
        raise UserError(
            f"ntk on {images} image: it needs at least two, one to keep and one to forget (-set images=100)"
        )
    most = len(split.full)
    if images > most:
        way_out = f"use at most all of them (-set images={most})"
        raise UserError(f"ntk on {images} images: D has {most}; {way_out}")
    block_size(model, images, split.num_classes, memory)


def unlearn(model, split, *, images: int | None = None, decay=0.1, memory=16.0, notes=None):
    """Move the weights by the scaled step, in place.

    images: of D that are used, None for what `defaults` says; memory: GB that it may take.
    notes["subsample"]: how many images of D_r and of D_f were used. UserError where D has fewer
    images, and where `memory` does not suffice.
    """
    if images is None:
        images = defaults(model, split)["images"]
    check(model, split, images=images, memory=memory)
    model.eval()
    retain, forget = subsample(split, images)
    both, kept = joined(retain, forget), len(retain) * split.num_classes
    if notes is not None:
        notes["subsample"] = {"retain": len(retain), "forget": len(forget)}
    block = block_size(model, len(both), split.num_classes, memory)
    kernel, residual = kernel_and_residual(model, both, split.num_classes, block)
    with progress(None, "ntk step", total=4) as bar:
        all_of_it = solve(kernel, residual, decay * len(both))
        bar.update()
        without = torch.zeros_like(residual)
        without[:kept] = solve(kernel[:kept, :kept], residual[:kept], decay * len(retain))
        bar.update()
        step = jacobian_times(model, both, all_of_it - without)
        bar.update()
        m = jacobian_times(model, both, without)
        bar.update()
    step = rescaled(step, m)
    with torch.no_grad():
        for p, part in zip(
            model.parameters(), step.split([p.numel() for p in model.parameters()]), strict=True
        ):
            p.add_(part.view_as(p))
    return model


def subsample(split, images):
    """(retain, forget): at most `images` of both together, at random, halves unless one side has fewer."""
    forget = min(len(split.forget), max(images // 2, images - len(split.retain)))
    counts = {split.retain: min(len(split.retain), images - forget), split.forget: forget}
    return [part.take(torch.randperm(len(part))[:count]) for part, count in counts.items()]


def rescaled(step, m):
    """The step [P] at its predicted length; m [P]: the error that linearising is expected to make."""
    if not (step.any() and m.any()):
        return step
    cosine = torch.dot(
        step / step.norm(), m / m.norm()
    )  # the released scripts' sin(acos c - pi/2) for c < 0 is -c
    return step * (1 + 2 * cosine.abs() * m.norm() / step.norm())


def solve(kernel, residual, ridge):
    """(kernel + ridge I)^-1 residual in double precision; kernel [M, M], residual [M]."""
    damped = kernel.to(torch.float64, copy=True)  # the caller's kernel stays as it is
    damped.diagonal().add_(ridge)
    factor = torch.linalg.cholesky(damped)
    solution = torch.cholesky_solve(residual.double()[:, None], factor)
    return solution[:, 0].to(residual)


METHOD = Method(
    unlearn,
    family="other",
    too_slow_on=("ViT",),
    aliases=("NTK",),
    defaults=defaults,
    check=check,
)
