"""ASSD: its percentile against NumPy's, the paper's shares, and the library's adaptive alpha."""

import math

import numpy as np
import pytest
import torch
from helpers import assert_same, net, small_split, twin
from torch import nn

import ssd
from learning.images import batches
from methods import METHODS, assd


def random_importances(sizes=(4000, 500, 12)):
    """(I_D, I_Df) with two ratios that are NaN and one that is infinite."""
    generator = torch.Generator().manual_seed(0)
    full = {str(size): torch.rand(size, generator=generator) for size in sizes}
    forget = {str(size): torch.rand(size, generator=generator) for size in sizes}
    full["12"][:3] = 0
    forget["12"][:2] = 0
    return full, forget


@pytest.mark.parametrize(
    ("share", "strength"), [(83 / 50000, 1), (0.05, 1), (0.1, 1 / 25), (1.0, 1), (0.1, 1e3)]
)
def test_alpha_is_numpys_percentile(share, strength):
    full, forget = random_importances()
    ratios = np.concatenate([(forget[name] / full[name]).numpy() for name in full])
    ratios = ratios.astype(np.float64)
    ratios[np.isinf(ratios)] = np.nan
    wanted = np.nanpercentile(ratios, 100 - math.log(1 + 100 * strength * share))
    alpha = ssd.adaptive_alpha(ssd.sorted_ratios(full, forget), share, strength)
    assert alpha == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(("count", "percent"), [(83, 0.153), (500, 0.693), (2500, 1.792)])
def test_share_selected_is_the_papers(count, percent):
    """The published checks, of 50,000 images; random importances have no ties."""
    generator = torch.Generator().manual_seed(1)
    model = nn.Linear(1000, 100, bias=False)
    full = {"weight": torch.rand(100, 1000, generator=generator) + 0.01}
    forget = {"weight": torch.rand(100, 1000, generator=generator) + 0.01}
    alpha = ssd.adaptive_alpha(ssd.sorted_ratios(full, forget), count / 50000)
    selected = ssd.dampen(model, full, forget, alpha=alpha, lam=1)
    assert 100 * selected == pytest.approx(percent, abs=1e-3 + 1e-5)


def test_alpha_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no parameter"):
        ssd.sorted_ratios({"a": torch.zeros(3)}, {"a": torch.ones(3)})


def test_never_more_than_everything_is_selected():
    assert ssd.adaptive_alpha(torch.tensor([1.0, 2, 3]), 0.1, strength=1e300) == 1


@pytest.mark.parametrize(("method", "measure"), [("assd", "fisher"), ("alfssd", "norm")])
def test_the_method_and_the_library_agree(method, measure):
    split, model = small_split("full_class"), net()
    other = twin(model)
    notes = {}
    METHODS[method].unlearn(model, split, batch_size=48, notes=notes)
    parts = [batches(part, other, 48) for part in (split.forget, split.full)]
    ssd.unlearn(other, *parts, alpha="adaptive", lam=1, measure=measure)
    assert_same(model, other)
    assert notes["adaptive_alpha"] > 0
    assert 0 < notes["selected"] < 0.1


def test_denominator_takes_the_retain_sets_importances():
    """The stored I_D, here NaN, is not used."""
    split, model = small_split("full_class"), net()
    other = twin(model)
    retain = ssd.importance(model, batches(split.retain, model, 48))
    forget = ssd.importance(model, batches(split.forget, model, 48))
    share = len(split.forget) / len(split.full)
    wanted = ssd.adaptive_alpha(ssd.sorted_ratios(retain, forget), share)
    stored = {name: torch.full_like(p, torch.nan) for name, p in model.named_parameters()}
    notes = {}
    assd.unlearn(
        model, split, batch_size=48, denominator="D_r", full_importance=stored, notes=notes
    )
    assert notes["adaptive_alpha"] == pytest.approx(wanted)
    suitability = notes["suitability"]
    assert suitability["denominator"] == "D_r"
    assert suitability["adaptive_alpha"] == notes["adaptive_alpha"]
    assert "ceiling" not in suitability  # I_Df may be any multiple of I_Dr
    said = ssd.suitability(other, retain, forget)
    assert suitability["overlap"] == pytest.approx(said.overlap)


def test_the_overlap_with_d_is_larger_than_that_with_d_r():
    """D holds D_f."""
    split, model = small_split("full_class"), net()
    overlaps = []
    for denominator in ("D", "D_r"):
        notes = {}
        assd.unlearn(twin(model), split, batch_size=48, denominator=denominator, notes=notes)
        overlaps.append(notes["suitability"]["overlap"])
    assert 1 > overlaps[0] > overlaps[1] > 0


@pytest.mark.parametrize(("method", "measure"), [("assd", "fisher"), ("alfssd", "norm")])
def test_a_stored_importance_is_used(method, measure):
    """Twice I_D halves alpha and selects the same."""
    split, model = small_split("full_class"), net()
    data = batches(split.full, model, 48)
    full = ssd.importance(model, data, measure=measure)
    doubled = {name: 2 * value for name, value in full.items()}
    alphas = []
    for stored in (full, doubled):
        notes = {}
        METHODS[method].unlearn(
            twin(model), split, batch_size=48, full_importance=stored, notes=notes
        )
        alphas.append(notes["adaptive_alpha"])
    assert alphas[1] == pytest.approx(alphas[0] / 2)
