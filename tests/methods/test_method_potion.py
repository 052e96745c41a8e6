"""Potion: its importance by hand, and its search the slow way."""

import math

import numpy as np
import pytest
import torch
from helpers import all_of, assert_same, net, small_split, tiny_resnet, twin

import ssd
from learning.images import batches
from learning.training import fit, sgd
from methods import potion


def test_xlf_is_the_gradient_of_the_norm_not_squared():
    model, x = net(), torch.randn(5, 192, generator=torch.Generator().manual_seed(0))
    model.eval()
    norms = [outputs.square().sum().sqrt() for outputs in model(x)]
    gradients = torch.autograd.grad(torch.stack(norms).mean(), list(model.parameters()))
    importance = ssd.importance(model, [(x, torch.zeros(5))], measure="xlf")
    for value, gradient in zip(importance.values(), gradients, strict=True):
        assert torch.allclose(value, gradient.abs(), rtol=1e-4, atol=1e-6)


def share_right(model, x, y):
    with torch.no_grad():
        return float((model(x).argmax(1) == y).double().mean())


def slow_search(original, split, rho):
    """(network, steps, strength): importances sorted anew, every network from the original."""
    x, y = all_of(split.forget, original)
    rest = ssd.importance(original, batches(split.retain, original, 48), measure="xlf")
    known = ssd.importance(original, batches(split.forget, original, 48), measure="xlf")
    ratios = torch.cat([(known[name] / rest[name]).flatten() for name in rest]).numpy()
    ratios = np.where(np.isfinite(ratios), ratios, np.nan).astype(np.float64)
    share_known = len(split.forget) / len(split.full)
    strength, steps = 1 / 25, 0
    while True:
        steps += 1
        network = twin(original)
        percent = math.log(1 + 100 * strength * share_known)
        alpha = float(np.nanpercentile(ratios, 100 - percent))
        ssd.dampen(network, rest, known, alpha=alpha, lam=1)
        if share_right(network, x, y) <= rho * share_right(original, x, y):
            return network, steps, strength
        strength *= 1.1


def test_it_searches_from_the_original_and_stops_at_the_first_that_heals():
    torch.manual_seed(0)
    split, model = small_split("full_class"), tiny_resnet()
    fit(model, batches(split.full, model, 32, shuffle=True), sgd(model, 0.05), 12)
    wanted, steps, strength = slow_search(twin(model), split, rho=0.2)
    notes = {}
    potion.unlearn(model, split, batch_size=48, rho=0.2, notes=notes)
    assert notes["search"] == {"steps": steps, "strength": pytest.approx(strength)}
    assert steps > 1
    assert_same(model, wanted)


def test_what_the_importances_say_is_of_the_original_and_noted_once(monkeypatch):
    calls = []

    def suitability(model, *importances, **options):
        calls.append(twin(model))
        return measure(model, *importances, **options)

    measure = ssd.suitability
    monkeypatch.setattr(ssd, "suitability", suitability)
    torch.manual_seed(0)
    split, model = small_split("full_class"), tiny_resnet()
    fit(model, batches(split.full, model, 32, shuffle=True), sgd(model, 0.05), 12)
    original, notes = twin(model), {}
    potion.unlearn(model, split, batch_size=48, rho=0.2, notes=notes)
    assert notes["search"]["steps"] > 1
    (measured,) = calls
    assert_same(measured, original)
    assert notes["suitability"]["denominator"] == "D_r"
    # Adaptive SSD's alpha selects more than Potion's, whose strength is below 1 here.
    assert notes["search"]["strength"] < 1
    assert notes["suitability"]["adaptive_alpha"] < notes["adaptive_alpha"]


def test_healing_nothing_is_warned_of():
    split, model = small_split("full_class"), net()
    # All images are of D_f's class, whatever is dampened a little.
    with torch.no_grad():
        model.b.bias[split.forget_class] = 100
    with pytest.warns(UserWarning, match="in 2 steps"):
        potion.unlearn(model, split, batch_size=48, steps=2, strength=1e-9)
