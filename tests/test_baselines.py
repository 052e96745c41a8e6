"""bad_teacher, amnesiac, unsir, fisher and ntk against their equations: one step by hand, loops, the dense solve."""

import copy
import inspect
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_methods import NETWORKS, small_split
from test_models import tiny_vit

import datasets
import models
import splits
import ssd
from common.errors import UserError
from learning.images import batches
from learning.protocol import PAPER, RELEASED
from methods import (
    METHODS,
    _linearised,
    amnesiac,
    bad_teacher,
    finetune,
    fisher,
    ntk,
    unsir,
)


def tiny_split(task="full_class"):
    """A few dozen images of the digits, so that one batch holds all."""
    train, test = datasets.load("DigitShapes" if task == "sub_class" else "Digits")
    train, test = (
        train.take(torch.arange(0, len(train), 36)),
        test.take(torch.arange(0, len(test), 5)),
    )
    if task == "random":
        return splits.split_random(train, test, 0.2, 0)
    return (splits.split_class if task == "full_class" else splits.split_sub_class)(
        train, test, "7"
    )


def twin(model):
    return copy.deepcopy(model)


def one_adam_step(model, loss):
    """What Adam's first step at 1e-4 makes of the parameters: theta - lr g / (|g| + eps), with bias correction."""
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return [
        p.detach() - 1e-4 * g / (g.abs() + 1e-8)
        for p, g in zip(model.parameters(), gradients, strict=True)
    ]


def assert_parameters(model, wanted):
    """Equal but for a few entries of a gradient so near 0 that its sign is float noise."""
    pairs = [(p.detach() - w).abs() > 2e-6 for p, w in zip(model.parameters(), wanted, strict=True)]
    differing = sum(int(d.sum()) for d in pairs)
    assert differing <= 0.002 * sum(d.numel() for d in pairs), differing


def all_of(images, model):
    return next(iter(batches(images, model, len(images))))


def test_bad_teacher_one_step_by_hand():
    """One batch of everything: KL to the original's outputs on D_r, to the untrained network's on D_f, by log and sum."""
    torch.manual_seed(0)
    split, model, untrained = (
        tiny_split(),
        models.ResNet18(10, width=8),
        models.ResNet18(10, width=8),
    )
    finetune.unlearn(model, split, batch_size=16, epochs=2)
    student = twin(model).train()
    (retain, _), (forget, _) = all_of(split.retain, model), all_of(split.forget, model)
    with torch.no_grad():
        goal = (
            torch.cat([twin(model).eval()(retain), twin(untrained).eval()(forget)])
            .double()
            .softmax(1)
        )
    got = student(torch.cat([retain, forget])).double().softmax(1)
    wanted = one_adam_step(student, (goal * (goal.log() - got.log())).sum() / len(goal))
    before = twin(untrained)
    result = METHODS["bad_teacher"].unlearn(model, split, untrained=untrained, retain_share=1.0)
    assert_parameters(result, wanted)
    assert all(
        torch.equal(a, b)
        for a, b in zip(before.state_dict().values(), untrained.state_dict().values(), strict=True)
    )


def test_bad_teacher_sees_30_percent_of_the_retain_set_and_all_of_the_forget_set(monkeypatch):
    calls = traced_fit(monkeypatch, bad_teacher)
    split = tiny_split("random")
    METHODS["bad_teacher"].unlearn(
        models.ResNet18(10, width=8), split, untrained=models.ResNet18(10, width=8)
    )
    METHODS["bad_teacher"].unlearn(tiny_vit(), split, untrained=tiny_vit())
    for (data, optimizer, epochs), size in zip(calls, (256, 128), strict=True):
        chosen, forgotten = data.images.index.split(
            [int(0.3 * len(split.retain)), len(split.forget)]
        )
        assert data.images.labels.tolist() == list(range(len(data.images)))
        assert (
            len(chosen)
            == int(0.3 * len(split.retain))
            == len(set(chosen.tolist()) & set(split.retain.index.tolist()))
        )
        assert sorted(forgotten.tolist()) == sorted(split.forget.index.tolist())
        assert data.batch_size == size and epochs == 1 and data.shuffle and not data.augment
        assert type(optimizer) is torch.optim.Adam and optimizer.param_groups[0]["lr"] == 1e-4
    METHODS["bad_teacher"].unlearn(
        models.ResNet18(10, width=8), split, untrained=models.ResNet18(10, width=8), retain_share=0
    )
    assert calls[-1][0].images.index.tolist() == split.forget.index.tolist()
    METHODS["bad_teacher"].unlearn(tiny_vit(), split, untrained=tiny_vit(), batch_size=7)
    assert calls[-1][0].batch_size == 7
    assert METHODS["bad_teacher"].defaults(tiny_vit(), split, 64) == {"batch_size": 128}
    assert METHODS["bad_teacher"].defaults(models.ResNet18(10, width=8), split, 64) == {"batch_size": 256}


def traced_fit(monkeypatch, module):
    calls = []

    def fit(model, data, optimizer, epochs, **options):
        calls.append((data, optimizer, epochs))
        return model

    monkeypatch.setattr(module, "fit", fit)
    return calls


@pytest.mark.parametrize("task", ["full_class", "sub_class", "random"])
def test_amnesiac_labels_are_never_the_true_one(monkeypatch, task):
    calls = traced_fit(monkeypatch, amnesiac)
    split = small_split(task)
    METHODS["amnesiac"].unlearn(models.ResNet18(split.num_classes, width=8), split)
    data, optimizer, epochs = calls[0]
    truth = dict(zip(split.full.index.tolist(), split.full.labels.tolist(), strict=True))
    told = dict(zip(data.images.index.tolist(), data.images.labels.tolist(), strict=True))
    gone = set(split.forget.index.tolist())
    assert told.keys() == truth.keys() and all(
        (told[i] == truth[i]) == (i not in gone) for i in truth
    )
    assert all(0 <= label < split.num_classes for label in told.values())
    assert (
        data.batch_size,
        epochs,
        optimizer.param_groups[0]["lr"],
        data.shuffle,
        data.augment,
    ) == (128, 3, 1e-4, True, False)


def test_wrong_labels_are_uniform():
    torch.manual_seed(0)
    counts = torch.bincount(
        amnesiac.wrong_labels(torch.full((9000,), 3), 10), minlength=10
    ).tolist()
    assert counts[3] == 0 and all(880 < count < 1120 for i, count in enumerate(counts) if i != 3)


def test_amnesiac_one_step_by_hand(monkeypatch):
    torch.manual_seed(0)
    split, model = tiny_split(), models.ResNet18(10, width=8)
    wrong = (split.forget.labels + 4) % 10
    monkeypatch.setattr(amnesiac, "wrong_labels", lambda labels, count: wrong)
    (retain, y), (forget, _) = all_of(split.retain, model), all_of(split.forget, model)
    student = twin(model).train()
    logits = student(torch.cat([retain, forget]))
    wanted = one_adam_step(
        student, -logits.log_softmax(1)[torch.arange(len(logits)), torch.cat([y, wrong])].mean()
    )
    assert_parameters(METHODS["amnesiac"].unlearn(model, split, epochs=1), wanted)


@pytest.mark.parametrize("protocol", [PAPER, RELEASED])
def test_unsir_noise_raises_the_forgotten_class_loss_and_32_or_3_images_are_used(
    monkeypatch, protocol
):
    torch.manual_seed(0)
    split, model, seen = small_split("full_class"), models.ResNet18(10, width=8), []
    finetune.unlearn(model, split, batch_size=32, epochs=3)
    original, calls, made = twin(model), traced_fit(monkeypatch, unsir), []
    plain = unsir.noise_against
    monkeypatch.setattr(
        unsir,
        "noise_against",
        lambda m, *rest: seen.append(m.training) or made.append(plain(m, *rest)) or made[0],
    )
    METHODS["unsir"].unlearn(model, split, protocol=protocol)
    assert seen == [protocol is RELEASED] and made[0].shape == (32, 3, 8, 8)
    original.train(protocol is RELEASED)
    start, label = torch.randn(32, 3, 8, 8), torch.full((32,), split.forget_class)
    loss_before, loss_after = (
        float(F.cross_entropy(original(noise), label).detach()) for noise in (start, made[0])
    )
    assert loss_after > loss_before + 0.5
    (impair, optimizer, epochs), (repair, second, _) = calls
    used = 3 if protocol is RELEASED else 32
    counts = torch.bincount(impair.images.labels, minlength=10 + used).tolist()
    assert counts[10:] == [80] * used and counts[split.forget_class] == 0
    assert counts[:10] == torch.bincount(repair.images.labels, minlength=10).tolist()
    assert not set(repair.images.index.tolist()) & set(split.forget.index.tolist())
    assert (impair.batch_size, repair.batch_size, epochs) == (
        32,
        128,
        1,
    ) and optimizer is not second
    changed = any((a != b).any() for a, b in zip(original.buffers(), model.buffers(), strict=True))
    assert changed == (
        protocol is RELEASED
    )  # noise moves BatchNorm's statistics in train mode alone


def test_unsir_takes_at_most_500_images_of_a_class_and_250_steps_for_a_sub_class(monkeypatch):
    calls, steps = traced_fit(monkeypatch, unsir), []
    plain = unsir.noise_against
    monkeypatch.setattr(
        unsir,
        "noise_against",
        lambda m, label, shape, n, *rest: steps.append(n) or plain(m, label, shape, 1, *rest),
    )
    for task in ("full_class", "sub_class"):
        split = small_split(task)
        METHODS["unsir"].unlearn(models.ResNet18(split.num_classes, width=8), split, per_class=20)
    kept = calls[1][0].images
    wanted = small_split("full_class").retain.labels.bincount(minlength=10).clamp(max=20).tolist()
    assert kept.labels.bincount(minlength=10).tolist() == wanted and steps == [25, 250]
    assert METHODS["unsir"].parameters["per_class"].default == 500
    METHODS["unsir"].unlearn(models.ResNet18(3, width=8), split, per_class=20, noise_steps=4)
    assert steps[2:] == [4]
    for task, usual in (("full_class", 25), ("sub_class", 250)):
        assert METHODS["unsir"].defaults(None, small_split(task), 64) == {"noise_steps": usual}


@pytest.mark.parametrize("protocol", [PAPER, RELEASED])
def test_unsir_takes_per_class_images_of_each_sub_class(monkeypatch, protocol):
    """Up to 20 images of each of nine digits (of three shapes they would be 60 at most)."""
    calls = traced_fit(monkeypatch, unsir)
    split = small_split("sub_class")
    model = models.ResNet18(3, width=8)
    METHODS["unsir"].unlearn(model, split, per_class=20, noise_steps=1, protocol=protocol)
    counts = split.retain.fine_labels.bincount(minlength=10).clamp(max=20)
    assert counts.tolist() == [20] * 7 + [0] + [20] * 2
    impair, repair = (data.images for data, *_ in calls)
    noise = impair.labels >= split.num_classes
    for images in (repair, impair.take(~noise)):
        assert images.fine_labels.bincount(minlength=10).tolist() == counts.tolist()
    assert int(noise.sum()) == 80 * (3 if protocol is RELEASED else 32)


class InDouble(torch.nn.Module):
    """A network that computes in double precision, so that only what is wrong shows."""

    def __init__(self):
        super().__init__()
        self.network = models.ResNet18(10, width=4).double()

    def forward(self, x):
        return self.network(x.double())


def released_unsir(model, split, steps, repeats, keeps_gradients):
    """The released loops written out, for 6 noise images of which 3 are used; all in train mode."""
    noise = torch.randn(6, 3, 8, 8).requires_grad_()
    optimizer = torch.optim.Adam([noise], lr=0.1)
    model.train()
    for _ in range(steps):
        labels = torch.full((6,), split.forget_class)
        size = torch.mean(torch.sum(noise**2, [1, 2, 3]))
        loss = -F.cross_entropy(model(noise), labels) + 0.1 * size
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if not keeps_gradients:
        model.zero_grad()
    x, y = all_of(split.retain.take(unsir.some_of_each(split.retain.labels, 500)), model)
    noisy_x = torch.cat([x, noise[:3].detach().repeat(repeats, 1, 1, 1)])
    noisy_y = torch.cat([y, torch.full((3 * repeats,), split.forget_class)])
    for images, labels, size in ((noisy_x, noisy_y, 32), (x, y, 128)):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
        for some in torch.randperm(len(images)).split(size):
            F.cross_entropy(model(images[some]), labels[some]).backward()
            optimizer.step()
            optimizer.zero_grad()
    return model


def test_unsir_released_is_the_released_loop():
    """The noise's gradients, summed over its steps, enter the first impair step."""
    torch.manual_seed(0)
    split, model = small_split("full_class"), InDouble()
    other_rows = replace(RELEASED, unsir_keeps_noise_gradients=False)
    results = {}
    for keeps_gradients, protocol in ((True, RELEASED), (False, other_rows)):
        torch.manual_seed(3)
        wanted = released_unsir(twin(model), split, 4, 20, keeps_gradients)
        torch.manual_seed(3)
        options = {"noise_images": 6, "noise_steps": 4, "repeats": 20, "protocol": protocol}
        got = METHODS["unsir"].unlearn(twin(model), split, **options)
        for p, q in zip(got.parameters(), wanted.parameters(), strict=True):
            assert torch.allclose(p, q, rtol=0, atol=1e-8)
        results[keeps_gradients] = torch.cat([p.detach().flatten() for p in got.parameters()])
    assert (results[True] - results[False]).abs().max() > 1e-5


def test_unsir_one_impair_step_by_hand(monkeypatch):
    """Every batch's noise places hold noise under the forgotten label, the others their image under its own."""
    torch.manual_seed(0)
    split, model = tiny_split(), models.ResNet18(10, width=8)
    noise = torch.randn(32, 3, 8, 8)
    monkeypatch.setattr(unsir, "noise_against", lambda *rest: noise)
    plain = unsir.fit
    monkeypatch.setattr(
        unsir,
        "fit",
        lambda *args, what, **kw: plain(*args, what=what, **kw) if what == "impair" else args[0],
    )
    student = twin(model).train()
    x, y = all_of(split.retain, model)
    logits = student(torch.cat([x, noise]))
    labels = torch.cat([y, torch.full((32,), split.forget_class)])
    wanted = one_adam_step(
        student, -logits.log_softmax(1)[torch.arange(len(logits)), labels].mean()
    )
    assert_parameters(METHODS["unsir"].unlearn(model, split, repeats=1, batch_size=1000), wanted)


def test_unsir_noise_step_by_hand():
    """minimise -CE + 0.1 mean ||x||^2 by Adam at 0.1: after one step every pixel has moved by 0.1 against that gradient."""
    torch.manual_seed(3)
    model = models.ResNet18(10, width=8).eval()
    torch.manual_seed(5)
    start = torch.randn(4, 3, 8, 8).requires_grad_()
    log_p = model(start).log_softmax(1)[:, 2]
    (gradient,) = torch.autograd.grad(log_p.mean() + 0.1 * (start**2).sum() / 4, [start])
    torch.manual_seed(5)
    got = unsir.noise_against(model, 2, (4, 3, 8, 8), 1, 0.1, 0.1)
    assert torch.allclose(got, start.detach() - 0.1 * gradient.sign(), atol=1e-4)


def test_unsir_refuses_the_random_task():
    with pytest.raises(UserError, match="random images"):
        METHODS["unsir"].unlearn(models.ResNet18(10, width=8), small_split("random"))


def naive_fisher(model, images):
    """Golatkar's loop: one image at a time, one backward pass a label, squares weighted by the model's probability."""
    total = [torch.zeros_like(p) for p in model.eval().parameters()]
    for x in all_of(images, model)[0]:
        for label in range(3):
            log_p = model(x[None]).log_softmax(1)[0]
            gradients = torch.autograd.grad(-log_p[label], list(model.parameters()))
            for sum_, g in zip(total, gradients, strict=True):
                sum_ += log_p[label].detach().exp() * g**2
    return [value / len(images) for value in total]


@pytest.mark.parametrize("network", NETWORKS)
def test_fisher_equals_the_naive_loop(network, monkeypatch):
    torch.manual_seed(0)
    split, model, seen = tiny_split("sub_class"), NETWORKS[network](3), []
    plain = fisher.ssd.importance
    monkeypatch.setattr(
        fisher.ssd, "importance", lambda *args, **kw: seen.append(plain(*args, **kw)) or seen[0]
    )
    wanted = naive_fisher(twin(model), split.retain)
    METHODS["fisher"].unlearn(model, split, batch_size=7)
    for got, value in zip(seen[0].values(), wanted, strict=True):
        assert (got - value).norm() <= 1e-4 * value.norm() + 1e-12


def test_fisher_variance_by_hand():
    f = torch.tensor(
        [[1e3, 1.0], [0.0, 1e-2], [4.0, 4.0]]
    )  # three classes, two inputs: the last layer
    inverse = [[1e-3, 1.0], [100, 100], [0.25, 0.25]]  # 1 / F, at most 1e2
    rows = [1e-6 * sum(row) / 2 for row in inverse]
    mean, var = fisher.normal(torch.ones(3, 2), f, 3, 1, 1e-6)
    assert mean.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert var.flatten().tolist() == pytest.approx(
        [10 * v for row in (rows[0], 1e-4, rows[2]) for v in (row, row)]
    )
    mean, var = fisher.normal(
        torch.ones(3, 2), f, 3, None, 1e-6
    )  # sub-class and random: no row goes, no factor
    assert mean.eq(1).all() and var.flatten().tolist() == pytest.approx(
        [v for row in rows for v in (row, row)]
    )
    _, var = fisher.normal(
        torch.ones(2), torch.tensor([0.0, 4.0]), 3, 1, 1e-6
    )  # a vector of another length
    assert var.tolist() == pytest.approx([10 * 1e-6 * 1e3, 10 * 1e-6 * 0.25])
    mean, var = fisher.normal(
        torch.ones(3), torch.zeros(3), 3, 1, 1e-6
    )  # the last layer's bias: ten times once
    assert mean.tolist() == [1, 0, 1] and var.tolist() == pytest.approx([1e-3, 1e-3, 1e-3])


def test_fisher_draws_around_the_old_weights():
    torch.manual_seed(0)
    split, model = tiny_split("random"), models.ResNet18(10, width=8)
    before, result = twin(model), METHODS["fisher"].unlearn(model, split)
    data = batches(split.retain, before, 32)
    f = ssd.importance(before, data, measure="true_fisher", per_sample=True)
    for (name, p), q in zip(before.named_parameters(), result.parameters(), strict=True):
        mean, var = fisher.normal(p.detach(), f[name], 10, None, 1e-6)
        z = (q.detach() - mean) / var.sqrt()
        if z.numel() > 500:
            assert abs(float(z.mean())) < 5 / z.numel() ** 0.5 and abs(float(z.std()) - 1) < 0.1


def dense_ntk(model, split, decay):
    """Spec by NumPy in double precision: all of G, both solves, the released scripts' rescaling."""

    def g_and_r(images):
        x, y = all_of(images, model)
        rows, residual = [], []
        for one, label in zip(x, y, strict=True):
            logits = model(one[None])[0]
            for logit in logits:
                gradients = torch.autograd.grad(logit, list(model.parameters()), retain_graph=True)
                rows.append(np.concatenate([g.flatten().numpy() for g in gradients]))
            residual.append((logits.softmax(0) - F.one_hot(label, len(logits))).detach().numpy())
        return np.stack(rows).T.astype(float), np.concatenate(residual).astype(float)

    (g_r, r_r), (g_f, r_f) = g_and_r(split.retain), g_and_r(split.forget)
    g, r = np.concatenate([g_r, g_f], 1), np.concatenate([r_r, r_f])
    w_all = -g @ np.linalg.inv(g.T @ g + decay * len(split.full) * np.eye(g.shape[1])) @ r
    w_retain = (
        -g_r @ np.linalg.inv(g_r.T @ g_r + decay * len(split.retain) * np.eye(g_r.shape[1])) @ r_r
    )
    step, m = w_retain - w_all, -w_retain
    c = step @ m / np.linalg.norm(step) / np.linalg.norm(m)
    if c < 0:
        norm = np.linalg.norm(step) + 2 * np.sin(np.arccos(c) - np.pi / 2) * np.linalg.norm(m)
    else:
        norm = np.linalg.norm(step) + 2 * c * np.linalg.norm(m)
    return c, step * norm / np.linalg.norm(step)


@pytest.mark.parametrize("memory", [16.0, 0.004])  # all Jacobians at once; blocks of a dozen images
@pytest.mark.parametrize("trained", [False, True])
def test_ntk_equals_the_dense_solve(memory, trained):
    torch.manual_seed(0)
    split, model = tiny_split("sub_class"), models.ResNet18(3, width=2)
    if trained:
        finetune.unlearn(model, split, batch_size=16, epochs=6)
    model.eval()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    _, wanted = dense_ntk(model, split, 0.1)
    notes = {}
    result = METHODS["ntk"].unlearn(model, split, images=len(split.full), memory=memory, notes=notes)
    got = (torch.cat([p.detach().flatten() for p in result.parameters()]) - before).numpy()
    assert np.linalg.norm(got - wanted) < 0.01 * np.linalg.norm(wanted)
    assert notes["subsample"] == {"retain": len(split.retain), "forget": len(split.forget)}


def test_ntk_step_is_lengthened_whatever_the_angle():
    step = torch.tensor([3.0, 4.0])
    for m, length in (
        ((6.0, 8.0), 5 + 2 * 10),
        ((-6.0, -8.0), 5 + 2 * 10),
        ((8.0, -6.0), 5),
        ((10.0, 0.0), 5 + 2 * 0.6 * 10),
    ):
        assert torch.allclose(ntk.rescaled(step, torch.tensor(m)), step * length / 5)
    assert torch.equal(ntk.rescaled(torch.zeros(2), step), torch.zeros(2))


def test_ntk_holds_two_blocks_at_most(monkeypatch):
    """`memory` is for two blocks' Jacobians: when one is made no more than one other is alive."""
    made, alive, plain = [], [], _linearised.jacobian

    def counted(*args):
        alive.append(sum(block() is not None for block in made))
        result = plain(*args)
        made.append(weakref.ref(result.untyped_storage()))
        return result

    monkeypatch.setattr(_linearised, "jacobian", counted)
    split, model = tiny_split("sub_class"), models.ResNet18(3, width=2)
    METHODS["ntk"].unlearn(model, split, images=24, memory=0.0012)
    assert len(alive) > 6 and max(alive) == 1


def test_ntk_uses_a_stated_subsample_and_refuses_what_does_not_fit():
    split = small_split("full_class")
    for images in (10, 30, 200):
        retain, forget = ntk.subsample(split, images)
        assert (
            len(forget) == min(images // 2, len(split.forget))
            and len(retain) + len(forget) == images
        )
        assert set(forget.index.tolist()) <= set(split.forget.index.tolist())
    model = models.ResNet18(10, width=8)
    with pytest.raises(
        UserError,
        match=r"needs 0\.\d+ GB and may take 0\.02: use at most \d+ images .*-set memory=1",
    ):
        METHODS["ntk"].unlearn(model, split, memory=0.02)
    with pytest.raises(UserError, match="at least two"):
        METHODS["ntk"].unlearn(model, split, images=1)


def test_ntk_refuses_more_images_than_there_are_and_takes_all_of_a_few():
    split, model = tiny_split(), models.ResNet18(10, width=2)
    before = twin(model)
    most = len(split.full)
    assert most < 100
    for images in (most + 1, 10**9):
        words = rf"ntk on {images} images: D has {most};.*\(-set images={most}\)$"
        with pytest.raises(UserError, match=words):
            METHODS["ntk"].unlearn(model, split, images=images)
    for p, old in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(p, old)
    assert METHODS["ntk"].defaults(model, split, 64) == {"images": most}
    assert METHODS["ntk"].defaults(model, small_split("full_class"), 64) == {"images": 100}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ntk_solve_leaves_its_kernel_as_it_is(dtype):
    """kernel = 2 I: two solves with ridge 3 both give residual / 5."""
    kernel, residual = 2 * torch.eye(4, dtype=dtype), torch.arange(4, dtype=dtype)
    first, second = (ntk.solve(kernel, residual, 3.0) for _ in range(2))
    assert torch.equal(kernel, 2 * torch.eye(4, dtype=dtype))
    for solution in (first, second):
        assert torch.allclose(solution, residual / 5) and solution.dtype == dtype
