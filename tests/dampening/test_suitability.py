"""What is said of a model before it is dampened, against numbers by hand and the slow way."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from oracles import Odd, odd_batch, one_line
from torch import nn

import ssd


def by_hand():
    """(model, I_D, I_Df) of five parameters."""
    model = nn.Linear(5, 1, bias=False)
    full = {"weight": torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0]])}
    forget = {"weight": torch.tensor([[1.0, 3.0, 8.0, 2.0, 0.0]])}
    return model, full, forget


def test_by_hand():
    """The cosine is (1 + 3 + 8) / (sqrt 3 sqrt 78); ratios 1, 3, 8, infinity, none."""
    model, full, forget = by_hand()
    result = ssd.suitability(model, full, forget, alphas=[0.5, 1, 3, 100], share_forgotten=0.25)
    assert result.overlap == pytest.approx(12 / math.sqrt(3 * 78))
    shares = {alpha: result.selected[alpha] for alpha in (0.5, 1, 3, 100)}
    assert shares == {0.5: 0.8, 1: 0.6, 3: 0.4, 100: 0.2}
    assert result.ceiling == 4
    position = 2 * (1 - math.log(26) / 100)  # among 1, 3, 8
    assert result.adaptive_alpha == pytest.approx(3 + (position - 1) * 5)
    assert result.selected[result.adaptive_alpha] == 0.4


def test_it_agrees_with_dampen_and_leaves_the_model():
    torch.manual_seed(0)
    model = Odd()
    full = ssd.importance(model, [odd_batch(), odd_batch()])
    forget = ssd.importance(model, [odd_batch(4)])
    before = copy.deepcopy(model.state_dict())
    result = ssd.suitability(model, full, forget, alphas=[2], share_forgotten=0.1)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    a = torch.cat([value.flatten() for value in full.values()])
    b = torch.cat([value.flatten() for value in forget.values()])
    assert result.overlap == pytest.approx(F.cosine_similarity(a, b, dim=0).item(), rel=1e-5)
    selection = ssd.dampen(model, full, forget, alpha=2, lam=1)
    assert result.selected[2] == selection
    names = ("conv.weight", "conv.bias")
    count = sum(selection.by_name[name] * full[name].numel() for name in names)
    size = sum(full[name].numel() for name in names)
    assert result.selected_by_layer["conv"][2] == pytest.approx(count / size)
    wanted = ssd.adaptive_alpha(ssd.sorted_ratios(full, forget), 0.1)
    assert result.adaptive_alpha == wanted


def test_importances_too_small_to_square_in_float32_have_an_overlap():
    model = nn.Linear(2, 1, bias=False)
    full, forget = (
        {"weight": torch.tensor([[1e-30, 0]])},
        {"weight": torch.tensor([[1e-30, 1e-30]])},
    )
    assert ssd.suitability(model, full, forget).overlap == pytest.approx(math.sqrt(0.5))


def test_without_gradients_there_is_no_overlap():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    zero = {"0.weight": torch.zeros(2, 2), "1.weight": torch.ones(1, 2)}
    result = ssd.suitability(model, zero, zero)
    assert math.isnan(result.overlap_by_layer["0"])
    assert result.overlap == result.overlap_by_layer["1"] == pytest.approx(1)


def test_it_prints_a_table():
    model, full, forget = by_hand()
    lines = str(ssd.suitability(model, full, forget, alphas=[1, 3], share_forgotten=0.25))
    head, of_all, of_layer, ceiling, adaptive = lines.splitlines()
    assert head.split()[:6] == ["layer", "overlap", "alpha", "1", "alpha", "3"]
    assert of_all.split()[:6] == ["all", "0.784", "60", "%", "40", "%"]
    assert of_layer.split()[0] == "(model)"
    assert ceiling == "ceiling |D| / |D_f|: alpha 4"
    assert adaptive.startswith("adaptive alpha: ")
    short = ssd.suitability(model, full, forget, alphas=[1])
    assert len(str(short).splitlines()) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alphas": [1, -2]}, "alpha is -2"),
        ({"alphas": []}, "alphas is empty; give the values"),
        ({"share_forgotten": 0}, "share_forgotten is 0; it must be |D_f| / |D|"),
        ({"share_forgotten": 1.5}, "share_forgotten is 1.5"),
        ({"share_forgotten": "all"}, "share_forgotten is 'all'"),
        ({"full": {}}, "I_D holds nothing of weight's shape"),
        ({"forget": {"weight": torch.full((1, 5), -1.0)}}, "I_Df of weight is not finite or is"),
        ({"model": None}, "must be a torch.nn.Module"),
    ],
)
def test_what_is_refused(change, words):
    model, full, forget = by_hand()
    arguments = {"model": model, "full": full, "forget": forget, **change}
    with pytest.raises((TypeError, ValueError)) as error:
        ssd.suitability(**arguments)
    one_line(error, words)
