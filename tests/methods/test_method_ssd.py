"""SSD as a method: what it dampens and notes, and that a stored I_D is used."""

import json

import pytest
import torch
from helpers import assert_identical, small_split, tiny_resnet, twin

import ssd as library
from learning.images import batches
from methods import METHODS
from methods._dampening import note_suitability
from runs import schema

# LFSSD is SSD with another measure.
MEASURES = {"ssd": "fisher", "lfssd": "norm"}
SETTINGS = {"alpha": 2, "lam": 1, "batch_size": 32}


def start(method):
    """(split, model, its I_D)."""
    torch.manual_seed(0)
    split, model = small_split("full_class"), tiny_resnet()
    data = batches(split.full, model, 32)
    return split, model, library.importance(model, data, measure=MEASURES[method])


@pytest.mark.parametrize("method", MEASURES)
def test_it_is_the_librarys_dampening(method):
    split, model, _ = start(method)
    wanted = twin(model).eval()
    parts = [batches(part, wanted, 32) for part in (split.forget, split.full)]
    library.unlearn(wanted, *parts, alpha=2, lam=0.5, measure=MEASURES[method])
    result = METHODS[method].unlearn(model, split, alpha=2, lam=0.5, batch_size=32)
    assert_identical(result, wanted)


@pytest.mark.parametrize("method", MEASURES)
def test_a_stored_importance_changes_nothing(method):
    split, model, full = start(method)
    other = twin(model)
    METHODS[method].unlearn(model, split, **SETTINGS, full_importance=full)
    METHODS[method].unlearn(other, split, **SETTINGS)
    assert_identical(model, other)


@pytest.mark.parametrize("method", MEASURES)
def test_a_stored_importance_is_used(method):
    """I_D so large that nothing is selected."""
    split, model, full = start(method)
    huge = {name: value + 1e9 for name, value in full.items()}
    notes = {}
    METHODS[method].unlearn(model, split, **SETTINGS, full_importance=huge, notes=notes)
    assert notes["selected"] == 0


@pytest.mark.parametrize("method", MEASURES)
def test_the_shares_noted_are_those_selected(method):
    split, model, full = start(method)
    before = twin(model)
    notes = {}
    METHODS[method].unlearn(model, split, **SETTINGS, full_importance=full, notes=notes)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    count = sum(sizes.values())
    by_name = notes["selected_by_name"]
    assert by_name.keys() == sizes.keys()
    selected = sum(by_name[name] * sizes[name] for name in sizes)
    assert selected / count == pytest.approx(notes["selected"])
    changed = 0
    for p, old in zip(model.parameters(), before.parameters(), strict=True):
        changed += int((p != old).sum())
    # A few that are selected are 0 already.
    assert 0 < changed <= notes["selected"] * count < changed * 1.2


@pytest.mark.parametrize("method", MEASURES)
def test_what_the_importances_say_beforehand_is_noted(method):
    """The overlap against torch's cosine, the shares against a comparison of all parameters."""
    split, model, full = start(method)
    parameters = dict(model.named_parameters())
    data = batches(split.forget, model, 32)
    forget = library.importance(model, data, measure=MEASURES[method])
    notes = {}
    METHODS[method].unlearn(model, split, **SETTINGS, full_importance=full, notes=notes)
    suitability = notes["suitability"]
    i_full, i_forget = joined(full, parameters), joined(forget, parameters)
    assert suitability["overlap"] == pytest.approx(cosine(i_full, i_forget))
    shares = {alpha: share_above(alpha, i_full, i_forget) for alpha in (1, 2, 5, 10, 20)}
    assert suitability["selected"] == {str(alpha): shares[alpha] for alpha in shares}
    assert suitability["selected"]["2"] == pytest.approx(notes["selected"])
    layer = ("bn1.weight", "bn1.bias")
    of_layer = cosine(joined(full, layer), joined(forget, layer))
    assert suitability["overlap_by_layer"]["bn1"] == pytest.approx(of_layer)
    assert suitability["ceiling"] == len(split.full) / len(split.forget)
    assert suitability["denominator"] == "D"
    assert "adaptive_alpha" not in suitability
    assert schema.Suitability.model_validate(json.loads(json.dumps(suitability)))


def joined(importances, names):
    """The importances of these parameters in one vector."""
    return torch.cat([importances[name].flatten() for name in names])


def cosine(a, b):
    return float(torch.cosine_similarity(a.double(), b.double(), dim=0))


def share_above(alpha, i_full, i_forget):
    return float((i_forget > alpha * i_full).double().mean())


@pytest.mark.parametrize("method", MEASURES)
def test_noting_changes_neither_the_network_nor_the_random_numbers(method):
    split, model, full = start(method)
    other = twin(model)
    state = torch.get_rng_state()
    METHODS[method].unlearn(model, split, **SETTINGS, full_importance=full, notes={})
    assert torch.equal(torch.get_rng_state(), state)
    METHODS[method].unlearn(other, split, **SETTINGS, full_importance=full)
    assert_identical(model, other)


def test_an_overlap_of_nothing_is_not_noted():
    """Where an importance is zero there is no angle, and JSON has no NaN."""
    split, model, full = start("ssd")
    nothing = {name: torch.zeros_like(value) for name, value in full.items()}
    notes = {}
    note_suitability(notes, model, full, nothing, split)
    assert "overlap" not in notes["suitability"]
    assert notes["suitability"]["overlap_by_layer"] == {}
    assert notes["suitability"]["selected"]["1"] == 0
    assert schema.Suitability.model_validate(notes["suitability"])


@pytest.mark.parametrize("method", MEASURES)
def test_an_alpha_at_the_ceiling_is_warned_of(method):
    split, model, full = start(method)
    with pytest.warns(UserWarning, match="alpha = 50 "):
        METHODS[method].unlearn(
            model, split, alpha=50.0, lam=1, batch_size=32, full_importance=full
        )
