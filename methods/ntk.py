"""NTK scrubbing. Golatkar, Achille, Soatto, ECCV 2020, arXiv:2003.02960: forget as the linearised network would.

    w(S) = -G_S (G_S^T G_S + decay |S| I)^-1 r_S        G_S = Jacobian of all logits over S [P, |S| C], r_S = softmax - onehot
    step = w(D_r) - w(D);   m = -w(D_r)
    theta <- theta + step / |step| * ( |step| + 2 |cos(step, m)| |m| )

decay 0.1 and the rescaling are the released scripts'. G is never held: the kernel G^T G [|S| C, |S| C] is summed from
blocks of images' Jacobians, as large as `memory` allows, and G's product with a vector is one backward pass.
Differs: D is a random subsample, half of it from D_f where D_f is large enough.
"""

import math

import torch
import torch.nn.functional as F

from common import UserError, progress
from gradients import jacobian
from images import batches, joined


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


def kernel_and_residual(model, images, num_classes, block):
    """(G^T G [N C, N C], softmax - onehot [N C]) of N images, image by image and within it class by class."""
    data = list(batches(images, model, block))
    size = len(images) * num_classes
    kernel, residual = data[0][0].new_empty(size, size), data[0][0].new_empty(size)
    rows = [slice(i * block * num_classes, min((i + 1) * block * num_classes, size)) for i in range(len(data))]
    for i, (x, y) in enumerate(progress(data, "ntk kernel")):
        with torch.no_grad():
            residual[rows[i]] = (model(x).softmax(1) - F.one_hot(y, num_classes)).flatten()
        one = jacobian(model, x, num_classes).flatten(0, 1)
        for j in range(i + 1):  # no second name for a block: two at a time are all that `memory` has room for
            part = one @ (one if i == j else jacobian(model, data[j][0], num_classes).flatten(0, 1)).T
            kernel[rows[i], rows[j]], kernel[rows[j], rows[i]] = part, part.T
    return kernel, residual


def jacobian_times(model, images, v):
    """G v [P] for v [N C]."""
    total, first = 0, 0
    for x, _ in batches(images, model, 32):
        logits = model(x).flatten()
        part = v[first : first + len(logits)]
        gradients = torch.autograd.grad(logits, list(model.parameters()), part, allow_unused=True, materialize_grads=True)
        total, first = total + torch.cat([g.flatten() for g in gradients]), first + len(logits)
    return total


def block_size(model, count, num_classes, memory):
    """How many images' Jacobians fit into `memory` GB beside the kernel, twice unless all fit; UserError for none."""
    image = 4e-9 * num_classes * sum(p.numel() for p in model.parameters())
    kernel = 32e-9 * (count * num_classes) ** 2  # in single and double precision, its factor, a copy
    if kernel + count * image <= memory:
        return count
    block = int((memory - kernel) / (2 * image))
    if block < 1:
        most = int(math.sqrt(max(0, memory - 2 * image) / 32e-9) / num_classes)
        fewer = f"use at most {most} images (-set images={most}), or " if most > 1 else ""
        raise UserError(f"ntk on {count} images needs {kernel + 2 * image:.3g} GB and may take {memory:g}: {fewer}"
                        f"allow it more (-set memory={math.ceil(kernel + 2 * image)})")  # fmt: skip
    return block
