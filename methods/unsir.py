"""UNSIR: unlearning by selective impair and repair. Tarun et al., IEEE TNNLS 2023, arXiv:2111.08947.

    noise    minimise -CE(f(noise), forgotten class) + 0.1 mean over the images of ||noise||^2
    impair   train on that noise, labelled as the forgotten class, and on some of D_r
    repair   train on the same part of D_r

All defaults are the released SSD scripts'. The noise is in normalised pixels at the network's input
size. The part of D_r is up to 500 images of each of its classes, in the sub-class task of each of
its sub-classes.

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

from common.errors import UserError
from learning.images import batches, joined
from learning.protocol import PAPER
from learning.training import ADAM, adam, adam_of, fit
from methods._method import Method


def defaults(model, split, batch_size=None, chosen=None):
    """How many steps the noise is trained for in this task; the batch size does not matter."""
    return {"noise_steps": 25 if split.forgets_whole_class else 250}


def check(model, split, **_):
    """UserError where D_f is no class."""
    if split.forget_class is None:
        raise UserError(
            "unsir makes noise for one class, and random images are of none; take it for a class or a sub-class"
        )


def scoring(protocol):
    """What metrics.score takes for this method besides what it takes for all."""
    return {"retain_batch_size": 32} if protocol.unsir_scores_in_batches_of_32 else {}


def unlearn(
    model,
    split,
    *,
    noise_images=32,
    noise_lr=0.1,
    noise_weight=0.1,
    noise_steps: int | None = None,
    repeats=80,
    per_class=500,
    lr=1e-4,
    batch_size=32,
    repair_batch_size=128,
    protocol=PAPER,
):
    """Impair and repair, one epoch each, in place. UserError where D_f is no class.

    noise_steps: None takes what `defaults` says. repeats: how often each noise image is seen;
    per_class: how many images of each class in D_r are used, at random (in the sub-class task, of
    each sub-class).
    """
    check(model, split)
    if noise_steps is None:
        noise_steps = defaults(model, split)["noise_steps"]
    shape = (noise_images, 3, *[batches(split.retain, model, 1).size] * 2)
    model.train(protocol.unsir_uses_three_noises)
    keeps_gradients, label = protocol.unsir_keeps_noise_gradients, split.forget_class
    noise = noise_against(model, label, shape, noise_steps, noise_lr, noise_weight, keeps_gradients)
    used = noise[:3] if protocol.unsir_uses_three_noises else noise
    labels = split.retain.labels
    kinds = labels if split.forgets_whole_class else split.retain.fine_labels
    kept = split.retain.take(some_of_each(kinds, per_class))
    # Noise travels through the shuffled batches as images after those kept, all of them copies of
    # the first one: where such an image stands says which noise takes its place.
    places = kept.take(torch.zeros(repeats * len(used), dtype=torch.int64))
    places = replace(places, labels=torch.full_like(places.labels, label))

    def impaired(model, x, y, index):
        number = index - len(kept)  # [B]; negative: an image of D_r
        is_noise = (number >= 0)[:, None, None, None]
        x = torch.where(is_noise, used[number % len(used)], x)
        return F.cross_entropy(model(x), y)

    data = batches(joined(kept, places), model, batch_size, shuffle=True)
    optimizer = adam(model, lr)
    fit(model, data, optimizer, 1, loss=impaired, what="impair", uses_gradients=keeps_gradients)
    optimizer = adam(model, lr)
    return fit(
        model, batches(kept, model, repair_batch_size, shuffle=True), optimizer, 1, what="repair"
    )


def some_of_each(labels, count):
    """Positions of at most `count` of each label in labels [N], drawn at random."""
    order = torch.randperm(len(labels)).to(labels.device)
    return torch.cat([order[labels[order] == label][:count] for label in labels.unique()])


def noise_against(model, label, shape, steps, lr, weight, keeps_gradients=False):
    """Noise images [*shape] on which the model's loss for `label` is large.

    The model is used in the mode it is in. keeps_gradients: its own gradients, summed over the
    steps, are left in its parameters.
    """
    noise = torch.randn(shape).to(next(model.parameters()).device).requires_grad_()
    labels = torch.full((len(noise),), label, device=noise.device)
    optimizer = adam_of([noise], lr)
    model.zero_grad()
    for _ in range(steps):
        loss = (
            -F.cross_entropy(model(noise), labels) + weight * noise.square().sum((1, 2, 3)).mean()
        )
        if keeps_gradients:
            optimizer.zero_grad()
            loss.backward()
        else:
            (noise.grad,) = torch.autograd.grad(loss, [noise])
        optimizer.step()
    return noise.detach()


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
