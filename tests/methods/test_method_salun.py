"""SalUn: the mask by hand, and that nothing moves outside it."""

import torch
from helpers import all_of, net, small_split, tiny_resnet, tiny_split, twin
from torch.nn import functional as F

from learning.images import batches
from methods import METHODS, salun


def test_half_of_all_parameters_are_masked_by_the_forget_gradient():
    split, model = tiny_split(), net()
    model.eval()
    x, y = all_of(split.forget, model)
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    sizes = torch.cat([gradient.abs().flatten() for gradient in gradients])
    masks = salun.salient(model, batches(split.forget, model, 2), 0.5)
    chosen = torch.cat([mask.flatten() for mask in masks])
    assert int(chosen.sum()) == round(len(sizes) / 2)
    assert sizes[chosen].min() >= sizes[~chosen].max() * (1 - 1e-4)


def test_nothing_moves_outside_the_mask():
    torch.manual_seed(0)
    split, model = small_split("full_class"), tiny_resnet()
    before = twin(model)
    masks = salun.salient(twin(model), batches(split.forget, model, 48), 0.5)
    salun.unlearn(model, split, batch_size=48, epochs=1)
    moved = 0
    for p, old, mask in zip(model.parameters(), before.parameters(), masks, strict=True):
        assert torch.equal(p[~mask], old[~mask])
        moved += int((p != old).sum())
    assert moved > 0.5 * sum(int(mask.sum()) for mask in masks)


def test_it_trains_as_amnesiac_does():
    for name in ("epochs", "lr", "batch_size"):
        default = METHODS["salun"].parameters[name].default
        assert default == METHODS["amnesiac"].parameters[name].default
