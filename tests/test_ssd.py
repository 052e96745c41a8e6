"""ssd.py against closed forms and numbers worked by hand."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from helpers import ROOT
from oracles import Odd, assert_same, naive_importance, odd_batch, small_net
from torch import nn

import ssd

# ---- importances ----


def test_per_sample_does_not_depend_on_batches_and_batch_importance_does():
    torch.manual_seed(0)
    model, (x, y) = Odd(), odd_batch(12)
    order = torch.randperm(12)
    whole = ssd.importance(model, [(x, y)], per_sample=True)
    parts = list(zip(x[order].split(5), y[order].split(5), strict=True))
    assert_same(ssd.importance(model, parts, per_sample=True), whole)
    of_batch = ssd.importance(model, [(x, y)])
    difference = of_batch["head.weight"] - whole["head.weight"]
    assert difference.norm() > 0.1 * whole["head.weight"].norm()


@pytest.mark.parametrize("measure", ["fisher", "norm", "xlf"])
def test_batch_importances_equal_a_loop(measure):
    torch.manual_seed(0)
    model, batches = Odd(), [odd_batch(count) for count in (5, 5, 2)]
    importances = ssd.importance(model, batches, measure=measure)
    assert_same(importances, naive_importance(model, batches, measure, per_sample=False))


@pytest.mark.parametrize("per_sample", [False, True])
def test_linear_model_closed_form(per_sample):
    """Of softmax regression the gradient of the cross-entropy is (p - onehot) x^T."""
    torch.manual_seed(0)
    model = nn.Linear(7, 3)
    sizes = (4, 4, 1)  # the short batch weighs as the others
    batches = [(torch.randn(size, 7), torch.randint(3, (size,))) for size in sizes]
    terms = []
    for x, y in batches:
        error = (torch.softmax(model(x), 1) - F.one_hot(y, 3)).detach()
        gradients = error[:, :, None] * x[:, None, :]
        terms.append(gradients if per_sample else gradients.mean(0, keepdim=True))
    wanted = torch.cat(terms).square().mean(0)
    importances = ssd.importance(model, batches, per_sample=per_sample)
    assert torch.allclose(importances["weight"], wanted, atol=1e-7)


def test_norm_measure_closed_form_and_label_free():
    """d ||Wx + b||^2 / dW = 2 (Wx + b) x^T, absolute value of the batch's mean."""
    torch.manual_seed(0)
    model, x = nn.Linear(5, 3), torch.randn(6, 5)
    wanted = (2 * model(x)[:, :, None] * x[:, None, :]).mean(0).abs().detach()
    with_label_0 = ssd.importance(model, [(x, torch.full((6,), 0))], measure="norm")
    with_label_2 = ssd.importance(model, [(x, torch.full((6,), 2))], measure="norm")
    assert torch.allclose(with_label_0["weight"], wanted, atol=1e-6)
    assert torch.equal(with_label_0["weight"], with_label_2["weight"])


def test_what_follows_the_labels_in_a_batch_is_ignored():
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.arange(6) % 3
    wanted = ssd.importance(model, [(x, y)])
    for rest in ((torch.arange(6),), ("a note", None)):
        assert_same(ssd.importance(model, [(x, y, *rest)]), wanted, tolerance=0)
    assert_same(ssd.importance(model, [[x, y, torch.arange(6)]]), wanted, tolerance=0)


def test_importance_leaves_nothing_behind():
    model = Odd()
    model.bn.eval()
    model.unused.requires_grad_(False)
    for per_sample in (False, True):
        ssd.importance(model, [odd_batch()], per_sample=per_sample)
    assert model.training
    assert model.mix.training
    assert not model.bn.training
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_importance_runs_in_eval_mode_and_keeps_statistics():
    torch.manual_seed(0)
    model, batch = Odd(), odd_batch()
    statistics = model.bn.running_mean.clone()
    in_train_mode = ssd.importance(model, [batch])
    assert torch.equal(model.bn.running_mean, statistics)
    assert_same(ssd.importance(model.eval(), [batch]), in_train_mode, tolerance=0)


@pytest.mark.parametrize("per_sample", [False, True])
def test_tied_parameters_are_counted_once(per_sample):
    """Both uses give one gradient; one name in the importances; dampened once, by half."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    batch = torch.randn(6, 4), torch.randint(4, (6,))
    importances = ssd.importance(model, [batch], per_sample=per_sample)
    assert list(importances) == ["0.weight", "0.bias", "2.bias"]
    assert_same(importances, naive_importance(model, [batch], per_sample=per_sample))
    before = model[0].weight.detach().clone()
    full = {name: torch.ones_like(value) for name, value in importances.items()}
    forget = {name: torch.full_like(value, 2) for name, value in importances.items()}
    assert ssd.dampen(model, full, forget, alpha=1, lam=1) == 1
    assert model[2].weight is model[0].weight
    assert torch.equal(model[2].weight, before / 2)


@pytest.mark.parametrize("per_sample", [False, True])
def test_frozen_parameters_have_no_importance_and_are_never_selected(per_sample):
    torch.manual_seed(0)
    model, x, y = small_net(), torch.randn(6, 2, 4, 4), torch.randint(3, (6,))
    unfrozen = ssd.importance(model, [(x, y)], per_sample=per_sample)
    model[4].weight.requires_grad_(False)
    model[0].requires_grad_(False)
    frozen = {"4.weight", "0.weight", "0.bias"}
    full = ssd.importance(model, [(x, y)], per_sample=per_sample)
    forget = ssd.importance(model, [(x[:1], y[:1])], per_sample=per_sample)
    for name, value in full.items():
        wanted = torch.zeros_like(value) if name in frozen else unfrozen[name]
        assert torch.equal(value, wanted), name
    before = copy.deepcopy(model.state_dict())
    selection = ssd.dampen(model, full, forget, alpha=0, lam=0)
    assert selection > 0.2
    assert {name for name, share in selection.by_name.items() if share == 0} == frozen
    for name in frozen:
        assert torch.equal(model.state_dict()[name], before[name])


@pytest.mark.parametrize("per_sample", [False, True])
def test_empty_batches_are_left_out(per_sample):
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.randint(3, (6,))
    empty, first, second = (x[:0], y[:0]), (x[:4], y[:4]), (x[4:], y[4:])
    wanted = ssd.importance(model, [first, second], per_sample=per_sample)
    importances = ssd.importance(model, [empty, first, empty, second], per_sample=per_sample)
    assert_same(importances, wanted, tolerance=0)
    with pytest.raises(ValueError, match="no batches"):
        ssd.importance(model, [empty], per_sample=per_sample)


def test_batches_from_a_generator_that_switches_gradients_off():
    def batches():
        with torch.no_grad():
            yield x, y
            yield 2 * x, y

    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.randint(3, (6,))
    wanted = ssd.importance(model, [(x, y), (2 * x, y)])
    assert_same(ssd.importance(model, batches()), wanted, tolerance=0)
    with torch.inference_mode():
        made_in_it = 1 * x
    importances = ssd.importance(model, [(made_in_it, y), (2 * x, y)])
    assert_same(importances, wanted, tolerance=0)


def test_labels_of_any_integer_type():
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.randint(3, (6,))
    wanted = ssd.importance(model, [(x, y)])
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert_same(ssd.importance(model, [(x, y.to(dtype))]), wanted, tolerance=0)


# ---- dampening ----


def test_dampen_by_hand():
    """theta 1..5; I_D 1 1 1 0 0; I_Df 1 3 8 2 0; alpha 2, lambda 1.5.

    The middle three are selected.
    """
    model = nn.Linear(5, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    full = {"weight": torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0]])}
    forget = {"weight": torch.tensor([[1.0, 3.0, 8.0, 2.0, 0.0]])}
    share = ssd.dampen(model, full, forget, alpha=2, lam=1.5)
    assert share == 3 / 5
    assert torch.allclose(model.weight, torch.tensor([[1.0, 2 * 0.5, 3 * 1.5 / 8, 0.0, 5.0]]))


def random_importances(model):
    """Of one decimal, so that some are equal and some are 0."""
    return {name: torch.rand_like(p).round(decimals=1) for name, p in model.named_parameters()}


def test_dampen_never_enlarges_and_infinite_alpha_changes_nothing():
    torch.manual_seed(0)
    model = Odd()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    full, forget = random_importances(model), random_importances(model)
    assert ssd.dampen(model, full, forget, alpha=float("inf"), lam=1) == 0
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])
    # lambda I_D / I_Df > 1 for many: they stay.
    assert ssd.dampen(model, full, forget, alpha=0.2, lam=3) > 0.5
    for name, p in model.named_parameters():
        assert (p.abs() <= before[name].abs()).all()


def test_numbers_of_other_libraries_are_settings():
    numpy = pytest.importorskip("numpy")
    full, forget = {"weight": torch.full((1, 2), 1.0)}, {"weight": torch.full((1, 2), 4.0)}
    for number in (2, numpy.float32(2), numpy.int64(2), torch.tensor(2.0)):
        model = nn.Linear(2, 1, bias=False)
        model.weight.data.fill_(8)
        assert ssd.dampen(model, full, forget, alpha=number, lam=number) == 1
        assert model.weight.tolist() == [[4, 4]]


# ---- unlearning ----


def four_classes():
    """(a linear model, x [40, 4], y [40] sorted, batches of 10 with one class each)."""
    torch.manual_seed(0)
    x, y = torch.randn(40, 4), torch.arange(40) // 10
    return nn.Linear(4, 4), x, y, list(zip(x.split(10), y.split(10), strict=True))


def test_unlearn_is_the_three_steps_and_warns_at_the_ceiling():
    model, _, _, full = four_classes()
    by_steps, forget = copy.deepcopy(model), full[:1]
    assert ssd.unlearn(model, forget, full, alpha=1.5, lam=0.5) is model
    i_full = ssd.importance(by_steps, full)
    i_forget = ssd.importance(by_steps, forget)
    assert ssd.dampen(by_steps, i_full, i_forget, alpha=1.5, lam=0.5) > 0
    assert torch.equal(model.weight, by_steps.weight)
    with pytest.warns(UserWarning, match="smaller alpha"):
        ssd.unlearn(model, forget, full, alpha=4, lam=1)


def test_nothing_is_selected_above_the_ceiling():
    """Where D's batches over D_f are D_f's own, I_D >= |D_f| / |D| I_Df: alpha = |D| / |D_f|."""
    model, _, _, batches = four_classes()
    full, forget = ssd.importance(model, batches), ssd.importance(model, batches[:1])
    assert ssd.dampen(model, full, forget, alpha=4.001, lam=0) == 0
    assert ssd.dampen(model, full, forget, alpha=3, lam=0) > 0


def test_nothing_selected_is_said():
    model, _, _, full = four_classes()
    with pytest.warns(UserWarning, match="no parameter was selected"):
        ssd.unlearn(model, full[:1], full, alpha=3.9999, lam=1)


def test_an_iterator_can_be_read_once_and_is_refused_after():
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.randint(3, (6,))
    before = copy.deepcopy(model.state_dict())
    used = iter([(x, y)])
    ssd.importance(model, used)
    with pytest.raises(ValueError, match=r"used up before; give a list or a DataLoader"):
        ssd.importance(model, used)
    with pytest.raises(ValueError, match=r"used up before"):
        ssd.unlearn(model, used, [(x, y)], alpha=1, lam=1)
    once = iter([(x, y)])
    with pytest.raises(ValueError, match="one iterator, which can be read only once"):
        ssd.unlearn(model, once, once, alpha=1, lam=1)
    assert len(list(once)) == 1  # refused before anything was read
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_two_iterators_do_as_two_lists():
    model, _, _, full = four_classes()
    by_iterators = copy.deepcopy(model)
    ssd.unlearn(model, full[:1], full, alpha=1.1, lam=0.5)
    ssd.unlearn(by_iterators, iter(full[:1]), iter(full), alpha=1.1, lam=0.5)
    assert torch.equal(model.weight, by_iterators.weight)


# ---- what it needs ----

IMPORTED_BESIDES_TORCH = """
import sys
import torch
brought_by_torch = set(sys.modules)
import ssd
names = {name.split(".")[0] for name in sys.modules if name not in brought_by_torch}
print(sorted(names - {"torch"}))
"""


def test_import_needs_only_torch():
    command = [sys.executable, "-c", IMPORTED_BESIDES_TORCH]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "['dampening', 'per_sample_gradients', 'ssd']"
