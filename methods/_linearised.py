"""A network as linear in its weights: G, the Jacobian of all logits over some images, [P, N C], which is never held.

Its kernel G^T G [N C, N C] is summed from blocks of images' Jacobians, as large as a given memory
allows; its product with a vector is one backward pass.
"""

import math

import torch
import torch.nn.functional as F

from common.console import progress
from common.errors import UserError
from learning.images import batches
from per_sample_gradients import _factors, _products


def jacobian(model, x, num_classes):
    """Every logit's gradient in all parameters, in their order: [B, C, P]; the model is in eval mode."""
    parameters = dict(model.named_parameters())
    sizes = [p.numel() for p in parameters.values()]
    result = x.new_zeros(len(x), num_classes, sum(sizes))
    part = dict(zip(parameters, result.split(sizes, dim=2), strict=True))
    for name, classes, samples, g, a in _factors(model, parameters, x, lambda logits, _: logits.T):
        mine = part[name][samples, classes]  # a view
        for at, k, product in [(slice(None), slice(None), g)] if a is None else _products(g, a):
            mine[at, k] = product.flatten(2).transpose(0, 1)
    return result


ROWS_AT_A_TIME = 480  # of the kernel, in one product


def kernel_and_residual(model, images, num_classes, block):
    """(G^T G [N C, N C], softmax - onehot [N C]) of N images, image by image and within it class by class."""
    data = list(batches(images, model, block))
    size = len(images) * num_classes
    kernel, residual = data[0][0].new_empty(size, size), data[0][0].new_empty(size)
    rows = [
        slice(i * block * num_classes, min((i + 1) * block * num_classes, size))
        for i in range(len(data))
    ]
    entries = sum(part.stop * (part.stop - part.start) for part in rows)
    with progress(None, "ntk kernel", entries) as bar:
        for i, (x, y, _) in enumerate(data):
            with torch.no_grad():
                residual[rows[i]] = (model(x).softmax(1) - F.one_hot(y, num_classes)).flatten()
            one = _jacobian_rows(model, x, num_classes)
            _fill(kernel, rows[i], rows[i], one, one, bar)
            for j in range(i):
                # No name for the other block: two at a time are all that `memory` has room for.
                _fill(
                    kernel,
                    rows[i],
                    rows[j],
                    one,
                    _jacobian_rows(model, data[j][0], num_classes),
                    bar,
                )
    return kernel, residual


def _jacobian_rows(model, x, num_classes):
    """The Jacobian of all logits of x, [B C, P]."""
    return jacobian(model, x, num_classes).flatten(0, 1)


def _fill(kernel, rows, columns, one, other, bar):
    """kernel[rows, columns] = one other^T, and its transpose: some rows at a time for the bar's sake."""
    first = rows.start
    for part in one.split(ROWS_AT_A_TIME):
        product = part @ other.T
        at = slice(first, first + len(part))
        kernel[columns, at] = product.T
        if rows != columns:
            kernel[at, columns] = product
        first = at.stop
        bar.update(product.numel())


def jacobian_times(model, images, v):
    """G v [P] for v [N C]."""
    total, first = 0, 0
    for x, _, _ in batches(images, model, 32):
        logits = model(x).flatten()
        part = v[first : first + len(logits)]
        gradients = torch.autograd.grad(
            logits, list(model.parameters()), part, allow_unused=True, materialize_grads=True
        )
        total, first = total + torch.cat([g.flatten() for g in gradients]), first + len(logits)
    return total


def block_size(model, count, num_classes, memory):
    """How many images' Jacobians fit into `memory` GB beside the kernel, twice unless all fit; UserError for none."""
    image = 4e-9 * num_classes * sum(p.numel() for p in model.parameters())
    kernel = (
        32e-9 * (count * num_classes) ** 2
    )  # in single and double precision, its factor, a copy
    if kernel + count * image <= memory:
        return count
    block = int((memory - kernel) / (2 * image))
    if block < 1:
        most = int(math.sqrt(max(0, memory - 2 * image) / 32e-9) / num_classes)
        fewer = f"use at most {most} images (-set images={most}), or " if most > 1 else ""
        raise UserError(
            f"ntk on {count} images needs {kernel + 2 * image:.3g} GB and may take {memory:g}: {fewer}"
            f"allow it more (-set memory={math.ceil(kernel + 2 * image)})"
        )
    return block
