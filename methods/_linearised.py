"""A network as linear in its weights: G, the Jacobian of all logits over some images, [P, N C].

G is never held. Its kernel G^T G [N C, N C] is summed from blocks of images' Jacobians, as large as
a given memory allows. Its product with a vector is one backward pass a batch.

P: parameters; N: images; C: classes.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.console import progress
from common.errors import UserError
from learning.images import ImageSet, batches
from per_sample_gradients import factors, gradient_blocks

KERNEL_ROWS_AT_A_TIME = 480  # in one product, so that the progress bar moves
GB_PER_ENTRY = 4e-9  # of a float32
# The kernel takes eight times that: single and double precision, its Cholesky factor, a copy.
GB_PER_KERNEL_ENTRY = 32e-9


def jacobian(model: nn.Module, x: Tensor, num_classes: int) -> Tensor:
    """Every logit's gradient in all parameters, in their order, [B, C, P].

    model: in eval mode. x: [B, 3, S, S].
    """
    parameters = dict(model.named_parameters())
    sizes = [p.numel() for p in parameters.values()]
    result = x.new_zeros(len(x), num_classes, sum(sizes))
    columns = dict(zip(parameters, result.split(sizes, dim=2), strict=True))  # views
    for factor in factors(model, parameters, x, lambda logits, _: logits.T):
        part = columns[factor.parameter][factor.samples, factor.losses]  # [b, c, its parameters]
        for classes, samples, gradients in gradient_blocks(factor):
            part[samples, classes] = gradients.flatten(2).transpose(0, 1)
    return result


def kernel_and_residual(
    model: nn.Module, images: ImageSet, num_classes: int, block: int
) -> tuple[Tensor, Tensor]:
    """(G^T G [N C, N C], softmax - onehot [N C]), image by image and within it class by class.

    block: how many images' Jacobians are held at a time, twice.
    """
    size = len(images) * num_classes
    parts = [(x, y) for x, y, _ in batches(images, model, block)]
    kernel, residual = parts[0][0].new_empty(size, size), parts[0][0].new_empty(size)
    rows = []
    for number in range(len(parts)):
        first = number * block * num_classes
        rows.append(slice(first, min(first + block * num_classes, size)))
    entries = sum(part.stop * (part.stop - part.start) for part in rows)
    with progress(None, "ntk kernel", entries) as bar:
        for i, (x, y) in enumerate(parts):
            with torch.no_grad():
                residual[rows[i]] = (model(x).softmax(1) - F.one_hot(y, num_classes)).flatten()
            left = _jacobian_rows(model, x, num_classes)
            _fill(kernel, rows[i], rows[i], left, left, bar)
            for j in range(i):
                # The other block has no name here: two at a time are all that there is memory for.
                x_j = parts[j][0]
                _fill(kernel, rows[i], rows[j], left, _jacobian_rows(model, x_j, num_classes), bar)
    return kernel, residual


def _jacobian_rows(model, x, num_classes):
    """The Jacobian of all logits of x, [B C, P]."""
    return jacobian(model, x, num_classes).flatten(0, 1)


def _fill(kernel, rows, columns, left, right, bar):
    """kernel[rows, columns] = left right^T, and its transpose, some rows at a time."""
    first = rows.start
    for part in left.split(KERNEL_ROWS_AT_A_TIME):
        product = part @ right.T
        part_rows = slice(first, first + len(part))
        kernel[columns, part_rows] = product.T
        if rows != columns:
            kernel[part_rows, columns] = product
        first = part_rows.stop
        bar.update(product.numel())


def jacobian_times(model: nn.Module, images: ImageSet, v: Tensor) -> Tensor:
    """G v [P] for v [N C]."""
    parameters = list(model.parameters())
    total = v.new_zeros(sum(p.numel() for p in parameters))
    first = 0
    for x, _, _ in batches(images, model, 32):
        logits = model(x).flatten()
        part = v[first : first + len(logits)]
        options = {"allow_unused": True, "materialize_grads": True}
        gradients = torch.autograd.grad(logits, parameters, part, **options)
        total = total + torch.cat([g.flatten() for g in gradients])
        first += len(logits)
    return total


def block_size(model: nn.Module, count: int, num_classes: int, memory: float) -> int:
    """How many images' Jacobians fit into `memory` GB next to the kernel of `count` images.

    They must fit twice, unless all images' fit once. UserError where not one fits.
    """
    per_image = GB_PER_ENTRY * num_classes * sum(p.numel() for p in model.parameters())
    kernel = GB_PER_KERNEL_ENTRY * (count * num_classes) ** 2
    if kernel + count * per_image <= memory:
        return count
    block = int((memory - kernel) / (2 * per_image))
    if block >= 1:
        return block
    needed = kernel + 2 * per_image
    way_out = f"allow it more (-set memory={math.ceil(needed)})"
    for_kernel = max(0, memory - 2 * per_image)
    most = int(math.sqrt(for_kernel / GB_PER_KERNEL_ENTRY) / num_classes)
    if most > 1:
        way_out = f"use at most {most} images (-set images={most}), or {way_out}"
    raise UserError(
        f"ntk on {count} images needs {needed:.3g} GB and may take {memory:g}: {way_out}"
    )
