"""UNSIR: unlearning by selective impair and repair. Tarun et al., IEEE TNNLS 2023, arXiv:2111.08947.

    noise    minimise -CE(f(noise), forgotten class) + 0.1 mean over the images of ||noise||^2
    impair   train on that noise, labelled as the forgotten class, and on some of D_r
    repair   train on the same part of D_r

All defaults are the released SSD scripts'. The noise is in normalised pixels at the network's input size.
Differs under the released protocol (protocol.py): 3 of the noise images are used, trained in train mode.
Differs: images of D_r are drawn, not the first of their class: in the sub-class task these are all of one sub-class.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F

from common import UserError
from images import batches, joined
from protocol import PAPER
from training import adam, fit

RANGES = {"lr": (1e-5, 1e-2)}


def unlearn(model, split, *, noise_images=32, noise_lr=0.1, noise_weight=0.1, noise_steps=25, sub_class_noise_steps=250,
            repeats=80, per_class=500, lr=1e-4, batch_size=32, repair_batch_size=128, protocol=PAPER):  # fmt: skip
    """Impair and repair, one epoch each, in place. UserError where D_f is no class.

    repeats: how often each noise image is seen; per_class: how many images of each class in D_r are used, at random.
    """
    if split.forget_class is None:
        raise UserError("unsir makes noise for one class, and random images are of none; take it for a class or a sub-class")
    shape = (noise_images, 3, *[batches(split.retain, model, 1).size] * 2)
    steps = noise_steps if split.whole else sub_class_noise_steps
    model.train(protocol.unsir_uses_three_noises)
    noise = noise_against(model, split.forget_class, shape, steps, noise_lr, noise_weight)
    used = noise[:3] if protocol.unsir_uses_three_noises else noise
    labels = split.retain.labels
    kept = split.retain.take(some_of_each(split.retain.labels, per_class))
    # Noise travels through the shuffled batches as an image whose label says which noise takes its place.
    places = kept.take(torch.zeros(repeats * len(used), dtype=torch.int64))
    places = replace(places, labels=split.num_classes + torch.arange(len(places), device=labels.device) % len(used))

    def impaired(model, x, y):
        is_noise = y >= split.num_classes
        x = torch.where(is_noise[:, None, None, None], used[(y - split.num_classes).clamp(min=0)], x)
        return F.cross_entropy(model(x), torch.where(is_noise, split.forget_class, y))

    optimizer = adam(model, lr)
    fit(model, batches(joined(kept, places), model, batch_size, shuffle=True), optimizer, 1, loss=impaired, what="impair")
    optimizer = adam(model, lr)
    return fit(model, batches(kept, model, repair_batch_size, shuffle=True), optimizer, 1, what="repair")


def some_of_each(labels, count):
    """Positions of at most `count` of each label in labels [N], drawn at random."""
    order = torch.randperm(len(labels)).to(labels.device)
    return torch.cat([order[labels[order] == label][:count] for label in labels.unique()])


def noise_against(model, label, shape, steps, lr, weight):
    """Noise images [*shape] on which the model's loss for `label` is large; the model is used in the mode it is in."""
    noise = torch.randn(shape).to(next(model.parameters()).device).requires_grad_()
    labels = torch.full((len(noise),), label, device=noise.device)
    optimizer = torch.optim.Adam([noise], lr)
    for _ in range(steps):
        loss = -F.cross_entropy(model(noise), labels) + weight * noise.square().sum((1, 2, 3)).mean()
        (noise.grad,) = torch.autograd.grad(loss, [noise])
        optimizer.step()
    return noise.detach()
