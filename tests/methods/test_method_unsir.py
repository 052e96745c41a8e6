"""UNSIR: its noise and its steps by hand, and the released loop written out."""

from dataclasses import replace

import pytest
import torch
from helpers import (
    all_of,
    assert_parameters,
    one_adam_step,
    small_split,
    tiny_resnet,
    tiny_split,
    traced_fit,
    twin,
)
from torch.nn import functional as F

import models
from common.errors import UserError
from learning.protocol import PAPER, RELEASED
from methods import METHODS, finetune, unsir

PROTOCOLS = pytest.mark.parametrize("protocol", [PAPER, RELEASED])


def trained():
    torch.manual_seed(0)
    split, model = small_split("full_class"), tiny_resnet()
    finetune.unlearn(model, split, batch_size=32, epochs=3)
    return split, model


@pytest.mark.parametrize("train_mode", [False, True])
def test_noise_raises_the_forgotten_class_loss(train_mode):
    split, model = trained()
    model.train(train_mode)
    before = twin(model)
    noise = unsir.noise_against(model, split.forget_class, (32, 3, 8, 8), 25, 0.1, 0.1)
    label = torch.full((32,), split.forget_class)
    losses = []
    for images in (torch.randn(32, 3, 8, 8), noise):
        losses.append(float(F.cross_entropy(twin(before)(images), label).detach()))
    assert losses[1] > losses[0] + 0.5
    # Noise moves BatchNorm's statistics only in train mode.
    pairs = zip(before.buffers(), model.buffers(), strict=True)
    assert any((a != b).any() for a, b in pairs) == train_mode


@PROTOCOLS
def test_32_or_3_noise_images_are_used(monkeypatch, protocol):
    split, model = trained()
    before = twin(model)
    calls = traced_fit(monkeypatch, unsir)
    unsir.unlearn(model, split, protocol=protocol)
    (impair, optimizer, epochs), (repair, second, _) = calls
    used = 3 if protocol is RELEASED else 32
    counts = impair.images.labels.bincount(minlength=10).tolist()
    assert counts.pop(split.forget_class) == 80 * used
    kept = repair.images.labels.bincount(minlength=10).tolist()
    assert kept.pop(split.forget_class) == 0
    assert counts == kept
    assert not set(repair.images.index.tolist()) & set(split.forget.index.tolist())
    assert (impair.batch_size, repair.batch_size, epochs) == (32, 128, 1)
    assert optimizer is not second
    # Noise is made in train mode under the released protocol.
    pairs = zip(before.buffers(), model.buffers(), strict=True)
    assert any((a != b).any() for a, b in pairs) == (protocol is RELEASED)


def test_noise_has_25_steps_for_a_class_and_250_for_a_sub_class():
    defaults = METHODS["unsir"].defaults
    assert defaults(None, small_split("full_class"), 64) == {"noise_steps": 25}
    assert defaults(None, small_split("sub_class"), 64) == {"noise_steps": 250}


def test_the_noise_has_as_many_steps_as_are_said(monkeypatch):
    """The defaults are taken where none are given."""
    steps = []

    def noise_against(model, label, shape, count, *rest):
        steps.append(count)
        return torch.randn(shape)

    monkeypatch.setattr(unsir, "noise_against", noise_against)
    traced_fit(monkeypatch, unsir)
    for task in ("full_class", "sub_class"):
        split = small_split(task)
        unsir.unlearn(tiny_resnet(split.num_classes), split)
    unsir.unlearn(tiny_resnet(), small_split("full_class"), noise_steps=4)
    assert steps == [25, 250, 4]


def test_at_most_500_images_of_a_class_are_kept(monkeypatch):
    calls = traced_fit(monkeypatch, unsir)
    split = small_split("full_class")
    unsir.unlearn(tiny_resnet(), split, per_class=20, noise_steps=1)
    counts = split.retain.labels.bincount(minlength=10).clamp(max=20)
    repair, _, _ = calls[1]
    assert repair.images.labels.bincount(minlength=10).tolist() == counts.tolist()
    assert METHODS["unsir"].parameters["per_class"].default == 500


@PROTOCOLS
def test_per_class_images_of_each_sub_class_are_kept(monkeypatch, protocol):
    """Up to 20 images of each of nine digits (of three shapes they would be 60 at most)."""
    calls = traced_fit(monkeypatch, unsir)
    split = small_split("sub_class")
    unsir.unlearn(tiny_resnet(3), split, per_class=20, noise_steps=1, protocol=protocol)
    counts = split.retain.fine_labels.bincount(minlength=10).clamp(max=20)
    assert counts.tolist() == [20] * 7 + [0] + [20] * 2
    (impair, _, _), (repair, _, _) = calls
    kept = impair.images.take(torch.arange(len(repair.images)))
    for images in (repair.images, kept):
        assert images.fine_labels.bincount(minlength=10).tolist() == counts.tolist()
    used = 3 if protocol is RELEASED else 32
    assert len(impair.images) == len(kept) + 80 * used


class InDouble(torch.nn.Module):
    """A network that computes in double precision, so that only what is wrong shows."""

    def __init__(self):
        super().__init__()
        self.network = models.ResNet18(10, width=4).double()

    def forward(self, x):
        return self.network(x.double())


def released_unsir(model, split, steps, repeats, keeps_gradients):
    """The released loops written out, for 6 noise images of which 3 are used; in train mode."""
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


def test_released_it_is_the_released_loop():
    """The noise's gradients, summed over its steps, enter the first impair step."""
    torch.manual_seed(0)
    split, model = small_split("full_class"), InDouble()
    without = replace(RELEASED, unsir_keeps_noise_gradients=False)
    results = {}
    for keeps_gradients, protocol in ((True, RELEASED), (False, without)):
        torch.manual_seed(3)
        wanted = released_unsir(twin(model), split, 4, 20, keeps_gradients)
        torch.manual_seed(3)
        options = {"noise_images": 6, "noise_steps": 4, "repeats": 20, "protocol": protocol}
        result = unsir.unlearn(twin(model), split, **options)
        for p, q in zip(result.parameters(), wanted.parameters(), strict=True):
            assert torch.allclose(p, q, rtol=0, atol=1e-8)
        results[keeps_gradients] = torch.cat([p.detach().flatten() for p in result.parameters()])
    assert (results[True] - results[False]).abs().max() > 1e-5


def test_one_impair_step_by_hand():
    """Noise under the forgotten label, the images of D_r under their own."""
    torch.manual_seed(0)
    split, model = tiny_split(), tiny_resnet()
    noise = torch.randn(32, 3, 8, 8)
    student = twin(model).train()
    x, y = all_of(split.retain, model)
    logits = student(torch.cat([x, noise]))
    labels = torch.cat([y, torch.full((32,), split.forget_class)])
    wanted = one_adam_step(student, F.cross_entropy(logits, labels))
    unsir.impair(
        model,
        split.retain,
        noise,
        split.forget_class,
        repeats=1,
        lr=1e-4,
        batch_size=1000,
        uses_gradients=False,
    )
    assert_parameters(model, wanted)


def test_one_noise_step_by_hand():
    """minimise -CE + 0.1 mean ||x||^2: Adam at 0.1 moves each pixel by 0.1 against its gradient."""
    torch.manual_seed(3)
    model = tiny_resnet().eval()
    torch.manual_seed(5)
    start = torch.randn(4, 3, 8, 8).requires_grad_()
    log_p = model(start).log_softmax(1)[:, 2]
    (gradient,) = torch.autograd.grad(log_p.mean() + 0.1 * (start**2).sum() / 4, [start])
    torch.manual_seed(5)
    noise = unsir.noise_against(model, 2, (4, 3, 8, 8), 1, 0.1, 0.1)
    assert torch.allclose(noise, start.detach() - 0.1 * gradient.sign(), atol=1e-4)


def test_the_random_task_is_refused():
    with pytest.raises(UserError, match="random images"):
        unsir.unlearn(tiny_resnet(), small_split("random"))
