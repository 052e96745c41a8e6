"""NTK scrubbing. Golatkar, Achille, Soatto, ECCV 2020, arXiv:2003.02960: forget as the linearised network would.

    w(S) = -G_S (G_S^T G_S + decay |S| I)^-1 r_S        G_S = Jacobian of all logits over S [P, |S| C], r_S = softmax - onehot
    step = w(D_r) - w(D);   m = -w(D_r)
    theta <- theta + step / |step| * ( |step| + 2 |cos(step, m)| |m| )

decay 0.1 and the rescaling are the released scripts'. G is never held: linearised.py.
Differs: D is a random subsample, half of it from D_f where D_f is large enough.
"""

import torch

from common import UserError
from images import joined
from linearised import block_size, jacobian_times, kernel_and_residual

RANGES = {}


def unlearn(model, split, *, images=100, decay=0.1, memory=16.0, notes=None):
    """Move the weights by the scaled step, in place. images: of D that are used; memory: GB that it may take.

    notes["subsample"]: how many images of D_r and of D_f were used. UserError where `memory` does not suffice.
    """
    if images < 2:
        raise UserError(f"ntk on {images} image: it needs at least two, one to keep and one to forget (-set images=100)")
    model.eval()
    retain, forget = subsample(split, images)
    both, kept = joined(retain, forget), len(retain) * split.num_classes
    if notes is not None:
        notes["subsample"] = {"retain": len(retain), "forget": len(forget)}
    block = block_size(model, len(both), split.num_classes, memory)
    kernel, residual = kernel_and_residual(model, both, split.num_classes, block)
    all_of_it = solve(kernel, residual, decay * len(both))
    without = torch.zeros_like(residual)
    without[:kept] = solve(kernel[:kept, :kept], residual[:kept], decay * len(retain))
    step, m = (jacobian_times(model, both, v) for v in (all_of_it - without, without))
    step = rescaled(step, m)
    with torch.no_grad():
        for p, part in zip(model.parameters(), step.split([p.numel() for p in model.parameters()]), strict=True):
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
    cosine = torch.dot(step / step.norm(), m / m.norm())  # the released scripts' sin(acos c - pi/2) for c < 0 is -c
    return step * (1 + 2 * cosine.abs() * m.norm() / step.norm())


def solve(kernel, residual, ridge):
    """(kernel + ridge I)^-1 residual in double precision."""
    kernel = kernel.double()
    kernel.diagonal().add_(ridge)
    return torch.cholesky_solve(residual.double()[:, None], torch.linalg.cholesky(kernel))[:, 0].to(residual)
