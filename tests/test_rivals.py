"""The adaptive family, Potion, JiT, SCRUB, SalUn, NegGrad+ and l1-sparse, each against numbers made another way."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_baselines import all_of, tiny_split, twin
from test_methods import small_split, tiny_vit
from torch import nn

import datasets
import models
import ssd
from common.errors import UserError
from learning.images import batches
from learning.protocol import PAPER, RELEASED
from learning.training import fit, sgd, trains_alone
from methods import (
    METHODS,
    assd,
    jit,
    l1_sparse,
    neggrad_plus,
    potion,
    salun,
    scrub,
)


def random_importances(sizes=(4000, 500, 12), seed=0):
    generator = torch.Generator().manual_seed(seed)
    full, forget = ({str(n): torch.rand(n, generator=generator) for n in sizes} for _ in range(2))
    full["12"][:3], forget["12"][:2] = 0, 0  # two NaNs, one infinity
    return full, forget


class Net(nn.Module):
    """A network that the repository does not have: no convolution, no BatchNorm, a Dropout."""

    def __init__(self, num_classes=10, inputs=192):
        super().__init__()
        self.a, self.drop, self.b = (
            nn.Linear(inputs, 16),
            nn.Dropout(0.3),
            nn.Linear(16, num_classes),
        )

    def forward(self, x):
        return self.b(self.drop(torch.tanh(self.a(x.flatten(1)))))


def net(seed=0):
    torch.manual_seed(seed)
    return Net()


def assert_same(model, other):
    for (name, p), wanted in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(p, wanted, rtol=1e-4, atol=2e-6), name


def sgd_step(model, loss, lr, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr, **options)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# ---- the adaptive percentile ----


@pytest.mark.parametrize(
    ("share", "strength"), [(83 / 50000, 1), (0.05, 1), (0.1, 1 / 25), (1.0, 1), (0.1, 1e3)]
)
def test_adaptive_alpha_is_numpys_percentile(share, strength):
    full, forget = random_importances()
    ratios = np.concatenate([(forget[k] / full[k]).numpy() for k in full]).astype(np.float64)
    ratios[np.isinf(ratios)] = np.nan
    wanted = np.nanpercentile(ratios, 100 - math.log(1 + 100 * strength * share))
    assert ssd.adaptive_alpha(ssd.sorted_ratios(full, forget), share, strength) == pytest.approx(
        wanted, rel=1e-6
    )


@pytest.mark.parametrize(("count", "percent"), [(83, 0.153), (500, 0.693), (2500, 1.792)])
def test_share_selected_is_the_papers(count, percent):
    """The published checks, of 50,000 images; ties aside, of which random importances have none."""
    generator = torch.Generator().manual_seed(1)
    model = nn.Linear(1000, 100, bias=False)
    full, forget = ({"weight": torch.rand(100, 1000, generator=generator) + 0.01} for _ in range(2))
    alpha = ssd.adaptive_alpha(ssd.sorted_ratios(full, forget), count / 50000)
    assert 100 * ssd.dampen(model, full, forget, alpha=alpha, lam=1) == pytest.approx(
        percent, abs=1e-3 + 1e-5
    )


def test_adaptive_alpha_of_nothing():
    with pytest.raises(ValueError, match="no parameter"):
        ssd.sorted_ratios({"a": torch.zeros(3)}, {"a": torch.ones(3)})
    assert (
        ssd.adaptive_alpha(torch.tensor([1.0, 2, 3]), 0.1, strength=1e300) == 1
    )  # never more than everything


@pytest.mark.parametrize("method", ["assd", "alfssd"])
def test_adaptive_methods_and_the_library_agree(method):
    split, model = small_split("full_class"), net()
    other, measure = copy.deepcopy(model), {"assd": "fisher", "alfssd": "norm"}[method]
    notes = {}
    METHODS[method].unlearn(model, split, batch_size=48, notes=notes)
    parts = [batches(part, other, 48) for part in (split.forget, split.full)]
    ssd.unlearn(other, *parts, alpha="adaptive", lam=1, measure=measure)
    assert_same(model, other)
    assert notes["adaptive_alpha"] > 0 and 0 < notes["selected"] < 0.1


def test_denominator_takes_the_rests_importances():
    split, model = small_split("full_class"), net()
    rest, forget = (
        ssd.importance(model, batches(part, model, 48)) for part in (split.retain, split.forget)
    )
    wanted = ssd.adaptive_alpha(
        ssd.sorted_ratios(rest, forget), len(split.forget) / len(split.full)
    )
    notes, stored = (
        {},
        {name: torch.full_like(p, torch.nan) for name, p in model.named_parameters()},
    )
    assd.unlearn(
        model, split, batch_size=48, denominator="D_r", full_importance=stored, notes=notes
    )
    assert notes["adaptive_alpha"] == pytest.approx(wanted)


# ---- Potion ----


def test_xlf_is_the_gradient_of_the_norm_not_squared():
    model, x = net(), torch.randn(5, 192, generator=torch.Generator().manual_seed(0))
    model.eval()
    loss = torch.stack([out.square().sum().sqrt() for out in model(x)]).mean()
    wanted = [g.abs() for g in torch.autograd.grad(loss, list(model.parameters()))]
    found = ssd.importance(model, [(x, torch.zeros(5))], measure="xlf")
    for got, value in zip(found.values(), wanted, strict=True):
        assert torch.allclose(got, value, rtol=1e-4, atol=1e-6)


def test_potion_searches_from_the_original_and_stops_at_the_first_that_heals():
    torch.manual_seed(0)
    split, model = small_split("full_class"), models.ResNet18(10, width=8)
    fit(model, batches(split.full, model, 32, shuffle=True), sgd(model, 0.05), 12)
    (x, y), original, notes = all_of(split.forget, model), copy.deepcopy(model), {}
    potion.unlearn(model, split, batch_size=48, rho=0.2, notes=notes)
    importances = [
        ssd.importance(original, batches(p, original, 48), measure="xlf")
        for p in (split.retain, split.forget)
    ]
    strength, steps = 1 / 25, 0
    while True:  # the slow way: importances sorted anew, every network from the original
        steps, tried = steps + 1, copy.deepcopy(original)
        share = math.log(1 + 100 * strength * len(split.forget) / len(split.full))
        ratios = torch.cat(
            [(b / a).flatten() for a, b in zip(*[i.values() for i in importances], strict=True)]
        ).numpy()
        alpha = np.nanpercentile(
            np.where(np.isfinite(ratios), ratios, np.nan).astype(np.float64), 100 - share
        )
        ssd.dampen(tried, *importances, alpha=float(alpha), lam=1)
        with torch.no_grad():
            if (tried(x).argmax(1) == y).double().mean() <= 0.2 * (
                original(x).argmax(1) == y
            ).double().mean():
                break
        strength *= 1.1
    assert notes["search"] == {"steps": steps, "strength": pytest.approx(strength)} and steps > 1
    assert_same(model, tried)


def test_potion_that_heals_nothing_says_so():
    split, model = small_split("full_class"), net()
    with torch.no_grad():
        model.b.bias[split.forget_class] = (
            100  # all images are of D_f's class, whatever is dampened a little
        )
    with pytest.warns(UserWarning, match="in 2 steps"):
        potion.unlearn(model, split, batch_size=48, steps=2, strength=1e-9)


# ---- JiT ----


def lipschitz_by_hand(model, x, sigma, copies):
    """Summed over the images, one image and one copy at a time."""
    total, outputs = 0, model(x)
    for _ in range(copies):
        noisy = torch.minimum(torch.maximum(x + sigma * torch.randn(x.shape), x.min()), x.max())
        others = model(noisy).detach()
        for i in range(len(x)):
            change = (noisy[i] - x[i]).square().sum().sqrt()
            total = total + (outputs[i] - others[i]).square().sum().sqrt() / change
    return total / copies


@pytest.mark.parametrize("protocol", [PAPER, RELEASED])
def test_jit_steps_by_hand(protocol):
    split, model = tiny_split(), net()
    other = copy.deepcopy(model).train(protocol is RELEASED)
    torch.manual_seed(3)
    size = 2 + len(split.forget) % 2  # two batches or more, no last one of a single image
    jit.unlearn(model, split, batch_size=size, sigma=0.5, eta=0.01, copies=2, protocol=protocol)
    torch.manual_seed(3)
    for x, _ in batches(split.forget, other, size):
        if protocol is PAPER:
            other.zero_grad()
        lipschitz_by_hand(other, x, 0.5, 2).backward()
        with torch.no_grad():
            for p in other.parameters():
                p -= 0.01 * p.grad
    assert len(split.forget) > 3 and not model.training
    assert_same(model, other)


JIT_BATCH_SIZES = [("full_class", 128), ("sub_class", 64), ("random", 128)]


@pytest.mark.parametrize(("task", "size"), JIT_BATCH_SIZES)
def test_jit_without_a_batch_size_takes_the_tasks_and_for_a_class_the_studys(task, size):
    """150 images, some several times, so that no size holds them all: as with that size only."""
    split = small_split(task)
    many = torch.arange(len(split.forget)).repeat(8)[:150]
    split = datasets.replace(split, forget=split.forget.take(many))
    results = []
    for options in ({}, {"batch_size": size}, {"batch_size": 100}):
        torch.manual_seed(0)
        model = Net(split.num_classes)
        jit.unlearn(model, split, sigma=0.5, eta=0.01, copies=1, **options)
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    in_a_run = 128 if task == "full_class" else 77  # whose task's batches are of 77
    assert METHODS["jit"].defaults(model, split, 77)["batch_size"] == in_a_run


def test_jit_takes_sigma_and_eta_from_its_table(monkeypatch):
    seen = []
    monkeypatch.setattr(
        jit,
        "lipschitz",
        lambda model, x, sigma, copies: seen.append((sigma, copies)) or model(x).sum(1) * 0,
    )
    plain = torch.optim.SGD
    monkeypatch.setattr(
        torch.optim, "SGD", lambda parameters, lr: seen.append(lr) or plain(parameters, lr)
    )
    for network in (tiny_vit, net):
        for task in ("full_class", "sub_class", "random"):
            split = small_split(task)
            jit.unlearn(
                tiny_vit(split.num_classes) if network is tiny_vit else Net(split.num_classes),
                split,
                batch_size=999,
            )
    etas, sigmas = seen[::2], seen[1::2]
    assert etas == [1.5, 0.5, 0.1, 3e-4, 3e-4, 3e-4]
    assert sigmas == [(0.8, 25), (1.5, 25), (0.5, 25), (0.5, 25), (0.01, 25), (0.01, 25)]


def test_jit_refuses_what_cannot_be():
    split = small_split("full_class")
    with pytest.raises(UserError, match="sigma=0"):
        jit.unlearn(net(), split, batch_size=8, sigma=0.0)
    with pytest.raises(UserError, match="batch of one image"):
        jit.unlearn(
            models.ResNet18(10, width=8), split, batch_size=len(split.forget) - 1, protocol=RELEASED
        )
    jit.unlearn(
        net(), split, batch_size=len(split.forget) - 1, protocol=RELEASED
    )  # no BatchNorm, nothing to refuse


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (potion, {"growth": 1.0}),
        (potion, {"strength": 0.0}),
        (potion, {"rho": 1.0}),
        (salun, {"share": 0.0}),
        (salun, {"share": 1.5}),
    ],
)
def test_settings_that_lead_nowhere_are_refused(method, settings):
    sized = {"batch_size": 8} if method is potion else {}
    with pytest.raises(UserError, match=next(iter(settings))):
        method.unlearn(net(), small_split("full_class"), **sized, **settings)


# ---- SCRUB ----


def test_scrub_divergence_by_hand():
    teacher, student = torch.randn(6, 4), torch.randn(6, 4)
    p, q = F.softmax(teacher / 4, 1), F.softmax(student / 4, 1)
    wanted = 16 * (p * (p.log() - q.log())).sum(1).mean()
    assert float(scrub.divergence(teacher, student, 4.0)) == pytest.approx(float(wanted), rel=1e-5)


def test_scrub_passes_in_order_and_their_losses(monkeypatch):
    split, model = tiny_split(), net()
    teacher = copy.deepcopy(model).eval()
    calls = []
    monkeypatch.setattr(scrub, "fit", lambda *args, **options: calls.append((*args, options)))
    scrub.unlearn(model, split, batch_size=8)
    assert [data.images.index is split.forget.index for _, data, *_ in calls] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert all(
        data.images.labels.tolist() == list(range(len(data.images))) for _, data, *_ in calls
    )
    assert len({id(optimizer) for _, _, optimizer, *_ in calls}) == 1 and all(
        data.shuffle for _, data, *_ in calls
    )
    group = calls[0][2].param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (5e-4, 0.9, 5e-4)
    student = net(seed=1)
    student.eval()
    for part, (*_, options), sign, weight in (
        (split.forget, calls[0], -1, 0),
        (split.retain, calls[1], 1, 5),
    ):
        some = torch.randperm(len(part))[:7]
        x, y = all_of(part.take(some), model)
        wanted = sign * scrub.divergence(teacher(x), student(x), 4.0) + weight * F.cross_entropy(
            student(x), y
        )
        assert float(options["loss"](student, x, some).detach()) == pytest.approx(
            float(wanted.detach()), rel=1e-5
        )


def test_scrub_has_both_settings_of_the_jit_study():
    stated = {"study": "stated", "kl_weight": 1, "ce_weight": 5, "clip": 0}
    by_script = {"study": "class_script", "kl_weight": 0.001, "ce_weight": 0.99, "clip": 1}
    by_script["batch_size"] = 128
    for task, size in (("full_class", 64), ("sub_class", 64), ("random", 128)):
        split = small_split(task)
        assert METHODS["scrub"].defaults(net(), split) == {**stated, "batch_size": size}
        assert METHODS["scrub"].defaults(net(), split, 77, {"lr": 1.0}) == {**stated, "batch_size": 77}
        assert METHODS["scrub"].defaults(net(), split, 77, {"study": "class_script"}) == by_script


OWN = {"kl_weight": 2.0, "ce_weight": 3.0, "clip": 0.0, "batch_size": 9}
SCRUB_SETTINGS = [
    ({}, 1, 5, 0, 64),
    ({"study": "class_script"}, 0.001, 0.99, 1, 128),
    ({"study": "class_script", **OWN}, 2, 3, 0, 9),
    ({"clip": 0.5, "batch_size": 9}, 1, 5, 0.5, 9),
]


@pytest.mark.parametrize(("options", "kl_weight", "ce_weight", "clip", "size"), SCRUB_SETTINGS)
def test_scrub_is_the_plain_loop_in_either_setting(options, kl_weight, ce_weight, clip, size):
    split, model = small_split("full_class"), net()
    model.drop.p = 0.0
    teacher, student = copy.deepcopy(model).eval(), copy.deepcopy(model).train()
    torch.manual_seed(3)
    scrub.unlearn(model, split, epochs=2, forget_epochs=2, lr=0.03, **options)
    torch.manual_seed(3)
    optimizer = torch.optim.SGD(student.parameters(), 0.03, momentum=0.9, weight_decay=5e-4)
    norms = {True: [], False: []}
    for part, forgets in 2 * ((split.forget, True), (split.retain, False)):
        x, y = all_of(part, model)
        for some in torch.randperm(len(part)).split(size):
            if len(some) == 1:
                continue
            logits = student(x[some])
            kl = scrub.divergence(teacher(x[some]).detach(), logits, 4.0)
            loss = -kl if forgets else kl_weight * kl + ce_weight * F.cross_entropy(logits, y[some])
            optimizer.zero_grad()
            loss.backward()
            gradient = torch.cat([p.grad.flatten() for p in student.parameters()])
            norms[forgets].append(float(gradient.norm()))
            if clip:
                for p in student.parameters():
                    p.grad *= min(1, clip / norms[forgets][-1])
            optimizer.step()
    assert_same(model, student)
    assert max(norms[False]) > clip  # else nothing was clipped
    assert clip != 0.5 or max(norms[True]) > clip  # at 1 the few steps on D_f are short enough


# ---- SalUn ----


def test_salun_masks_half_of_all_parameters_by_the_forget_gradient():
    split, model = tiny_split(), net()
    model.eval()
    x, y = all_of(split.forget, model)
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    sizes = torch.cat([g.abs().flatten() for g in gradients])
    masks = salun.salient(model, batches(split.forget, model, 2), 0.5)
    chosen = torch.cat([mask.flatten() for mask in masks])
    assert int(chosen.sum()) == round(len(sizes) / 2)
    assert sizes[chosen].min() >= sizes[~chosen].max() * (1 - 1e-4)


def test_salun_moves_nothing_outside_the_mask_and_leaves_no_hook():
    torch.manual_seed(0)
    split, model = small_split("full_class"), models.ResNet18(10, width=8)
    before = twin(model)
    masks = salun.salient(copy.deepcopy(model), batches(split.forget, model, 48), 0.5)
    salun.unlearn(model, split, batch_size=48, epochs=1)
    for (name, p), old, mask in zip(
        model.named_parameters(), before.parameters(), masks, strict=True
    ):
        assert torch.equal(p[~mask], old[~mask]), name
        assert not p._backward_hooks
    moved = sum(
        int((p != old).sum())
        for p, old in zip(model.parameters(), before.parameters(), strict=True)
    )
    assert moved > 0.5 * sum(int(mask.sum()) for mask in masks)


# ---- NegGrad+ and l1-sparse ----


def test_neggrad_plus_one_step_by_hand(monkeypatch):
    split, model = tiny_split(), net()
    model.drop.p = 0.0
    other = copy.deepcopy(model).train()
    neggrad_plus.unlearn(model, split, batch_size=999, epochs=1, lr=0.1, retain_weight=0.9)
    (rx, ry), (fx, fy) = all_of(split.retain, other), all_of(split.forget, other)
    loss = 0.9 * F.cross_entropy(other(rx), ry) - 0.1 * F.cross_entropy(other(fx), fy)
    sgd_step(other, loss, 0.1, momentum=0.9, weight_decay=5e-4)
    assert_same(model, other)


def test_one_image_trains_where_batchnorm_has_several_values_of_it():
    """At 32 pixels a side ResNet18's last maps are of 4x4; at the digits' 8 they are of one value."""
    model, without = models.ResNet18(10, width=8), net()
    before = torch.get_rng_state()
    state = copy.deepcopy(model.state_dict())
    assert trains_alone(model, 32) and not trains_alone(model, 8) and trains_alone(without, 8)
    assert model.training and all(
        torch.equal(value, state[name]) for name, value in model.state_dict().items()
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_neggrad_plus_goes_round_the_forget_set_and_refuses_one_image(monkeypatch):
    split, model, seen = small_split("full_class"), net(), []
    plain = F.cross_entropy
    monkeypatch.setattr(
        neggrad_plus.F, "cross_entropy", lambda logits, y: seen.append(y) or plain(logits, y)
    )
    neggrad_plus.unlearn(model, split, batch_size=16, epochs=1)
    forgotten = torch.cat(seen[::2])
    steps = len(batches(split.retain, model, 16, shuffle=True))
    assert (
        len(seen) == 2 * steps
        and (forgotten == split.forget_class).all()
        and len(forgotten) > len(split.forget)
    )
    one = datasets.replace(split, forget=split.forget.take(torch.tensor([0])))
    with pytest.raises(UserError, match="one image"):
        neggrad_plus.unlearn(models.ResNet18(10, width=8), one, batch_size=16)
    neggrad_plus.unlearn(net(), one, batch_size=16, epochs=1)  # without BatchNorm one image will do
    with pytest.raises(UserError, match="between 0 and 1"):
        neggrad_plus.unlearn(net(), split, batch_size=16, retain_weight=1.5)


def test_l1_sparse_steps_by_hand_and_its_penalty_falls_to_zero(monkeypatch):
    split, model = tiny_split(), net()
    model.drop.p = 0.0
    other = copy.deepcopy(model).train()
    l1_sparse.unlearn(model, split, batch_size=999, epochs=4, lr=0.1, penalty=0.01)
    optimizer = torch.optim.SGD(other.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    x, y = all_of(split.retain, other)
    for c in (0.01, 0.0075, 0.005, 0.0025):
        optimizer.zero_grad()
        (
            F.cross_entropy(other(x), y) + c * sum(p.abs().sum() for p in other.parameters())
        ).backward()
        optimizer.step()
    assert_same(model, other)


def test_ranges_name_what_the_methods_take():
    import inspect

    for method in METHODS:
        ranges = METHODS[method].ranges
        takes = METHODS[method].parameters
        for name, (low, high) in ranges.items():
            assert name in takes and 0 < low < high, (method, name)
            if type(takes[name].default) is int:
                assert type(low) is int and type(high) is int


def test_no_method_warns_on_a_tiny_forget_set():
    split = small_split("random")
    few = datasets.replace(split, forget=split.forget.take(torch.arange(2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in ("assd", "alfssd", "jit", "salun"):
            settings = {"batch_size": 48} if method != "salun" else {}
            METHODS[method].unlearn(models.ResNet18(10, width=8), few, **settings)
