"""SSD as a method: what it dampens and notes, and that a stored I_D is used."""

import pytest
import torch
from helpers import assert_identical, small_split, tiny_resnet, twin

import ssd as library
from learning.images import batches
from methods import METHODS

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
def test_an_alpha_at_the_ceiling_is_warned_of(method):
    split, model, full = start(method)
    with pytest.warns(UserWarning, match="alpha = 50 "):
        METHODS[method].unlearn(
            model, split, alpha=50.0, lam=1, batch_size=32, full_importance=full
        )
