"""UNSIR: unlearning by selective impair and repair.

Tarun, Chundawat, Mandal, Kankanhalli: Fast Yet Effective Machine Unlearning. IEEE TNNLS 2023,
arXiv:2111.08947.

    noise    minimise -CE( f(noise), forgotten class ) + 0.1 mean over the images of ||noise||^2
    impair   minimise CE over that noise, labelled as the forgotten class, and over a part of D_r
    repair   minimise CE over the same part of D_r

The noise is in normalised pixels at the network's input size. The part of D_r is up to 500 images
of each of its classes, in the sub-class task of each of its sub-classes. Defaults: the released SSD
scripts'.

Differs 1: Under `-protocol released` 3 of the 32 noise images are used, and the noise is trained
with BatchNorm in train mode.
Differs 2: Under `-protocol released` the gradients of the noise's steps stay in the network and are
added to those of the first impair step.
Differs 3: Under `-protocol released` RetainTestAcc is the mean over batches of 32.
Differs 4: Images of D_r are drawn at random. The released code takes the first of each class.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import UserError
from learning.images import ImageSet, batches, joined
from learning.protocol import PAPER, Protocol
from learning.training import ADAM, adam, adam_of, fit
from methods._method import Method
from splits import Split


def defaults(
    model: nn.Module, split: Split, batch_size: int | None = None, chosen: dict | None = None
) -> dict:
    """How many steps the noise is trained for in this task."""
    return {"noise_steps": 25 if split.forgets_whole_class else 250}


def check(model: nn.Module, split: Split, **_: object) -> None:
    """UserError where D_f is no class."""
    if split.forget_class is None:
        raise UserError(
            "unsir makes noise for one class, and random images are of none; "
            "take it for a class or a sub-class"
        )


def scoring(protocol: Protocol) -> dict:
    """What metrics.score takes for this method besides what it takes for all."""
    if protocol.unsir_scores_in_batches_of_32:
        return {"retain_batch_size": 32}
    return {}


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    noise_images: int = 32,
    noise_lr: float = 0.1,
    noise_weight: float = 0.1,
    noise_steps: int | None = None,
    repeats: int = 80,
    per_class: int = 500,
    lr: float = 1e-4,
    batch_size: int = 32,
    repair_batch_size: int = 128,
    protocol: Protocol = PAPER,
) -> nn.Module:
    """Impair and repair, one epoch each, in place. UserError where D_f is no class.

    noise_steps: None takes what `defaults` says. repeats: how often each noise image is seen.
    per_class: how many images of each class in D_r are used (in the sub-class task, of each
    sub-class).
    """
    check(model, split)
    if noise_steps is None:
        noise_steps = defaults(model, split)["noise_steps"]

    in_train_mode = protocol.unsir_uses_three_noises  # the released code does both
    model.train(in_train_mode)
    pixels = batches(split.retain, model, 1).size
    shape = (noise_images, 3, pixels, pixels)
    label = split.forget_class
    assert label is not None
    keeps_gradients = protocol.unsir_keeps_noise_gradients
    noise = noise_against(model, label, shape, noise_steps, noise_lr, noise_weight, keeps_gradients)
    noise = noise[:3] if protocol.unsir_uses_three_noises else noise

    classes = split.retain.labels if split.forgets_whole_class else split.retain.fine_labels
    retain = split.retain.take(some_of_each(classes, per_class))

    impair(
        model,
        retain,
        noise,
        label,
        repeats=repeats,
        lr=lr,
        batch_size=batch_size,
        uses_gradients=keeps_gradients,
    )
    data = batches(retain, model, repair_batch_size, shuffle=True)
    return fit(model, data, adam(model, lr), 1, title="repair")


def noise_against(
    model: nn.Module,
    label: int,
    shape: tuple,
    steps: int,
    lr: float,
    weight: float,
    keeps_gradients: bool = False,
) -> Tensor:
    """Noise images [*shape] on which the model's loss for `label` is large.

    The model is used in the mode it is in. keeps_gradients: the gradients in its parameters, summed
    over the steps, stay there.
    """
    noise = torch.randn(shape).to(next(model.parameters()).device).requires_grad_()
    labels = torch.full((len(noise),), label, device=noise.device)
    optimizer = adam_of([noise], lr)
    model.zero_grad()
    for _ in range(steps):
        squared_norm = noise.square().sum((1, 2, 3)).mean()
        loss = -F.cross_entropy(model(noise), labels) + weight * squared_norm
        if keeps_gradients:
            optimizer.zero_grad()  # only the noise's gradient; the network's add up
            loss.backward()
        else:
            (noise.grad,) = torch.autograd.grad(loss, [noise])
        optimizer.step()
    return noise.detach()


def some_of_each(labels: Tensor, count: int) -> Tensor:
    """Positions of at most `count` of each label in labels [N], drawn at random."""
    order = torch.randperm(len(labels)).to(labels.device)
    positions = []
    for label in labels.unique():
        positions.append(order[labels[order] == label][:count])
    return torch.cat(positions)


def impair(
    model: nn.Module,
    retain: ImageSet,
    noise: Tensor,
    label: int,
    *,
    repeats: int,
    lr: float,
    batch_size: int,
    uses_gradients: bool,
) -> nn.Module:
    """Train for one epoch on `retain` and on each noise image, labelled `label`, `repeats` times.

    uses_gradients: what the noise's steps have left in the model is added to the first step's.
    """
    # Placeholders with positions after D_r's are shuffled among D_r; `loss` replaces them by noise.
    placeholders = retain.take(torch.zeros(repeats * len(noise), dtype=torch.int64))
    labels = torch.full_like(placeholders.labels, label)
    placeholders = replace(placeholders, labels=labels)

    def loss(model, x, y, index):
        number = index - len(retain)  # [B]; negative: an image of D_r
        is_noise = (number >= 0)[:, None, None, None]
        x = torch.where(is_noise, noise[number % len(noise)], x)
        return F.cross_entropy(model(x), y)

    data = batches(joined(retain, placeholders), model, batch_size, shuffle=True)
    optimizer = adam(model, lr)
    return fit(model, data, optimizer, 1, loss=loss, title="impair", uses_gradients=uses_gradients)


METHOD = Method(
    unlearn,
    family="other",
    needs_class=True,
    optimizer={**ADAM, "noise_optimizer": "Adam"},
    ranges={"lr": (1e-5, 1e-2)},
    aliases=("UNSIR",),
    defaults=defaults,
    check=check,
    scoring=scoring,
)
