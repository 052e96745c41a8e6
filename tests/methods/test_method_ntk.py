"""NTK scrubbing against the dense solve; what it uses, holds and refuses."""

import weakref

import numpy as np
import pytest
import torch
from helpers import all_of, assert_identical, small_split, tiny_resnet, tiny_split, twin, weights_of
from torch.nn import functional as F

import models
from common.errors import UserError
from methods import METHODS, _linearised, finetune, ntk


def dense_jacobian_and_residual(model, images):
    """(G [P, N C], softmax - onehot [N C]) in double precision, a logit at a time."""
    x, y = all_of(images, model)
    rows, residual = [], []
    for image, label in zip(x, y, strict=True):
        logits = model(image[None])[0]
        for logit in logits:
            gradients = torch.autograd.grad(logit, list(model.parameters()), retain_graph=True)
            rows.append(np.concatenate([gradient.flatten().numpy() for gradient in gradients]))
        residual.append((logits.softmax(0) - F.one_hot(label, len(logits))).detach().numpy())
    return np.stack(rows).T.astype(float), np.concatenate(residual).astype(float)


def dense_solution(g, r, count, decay):
    """w = -G (G^T G + decay N I)^-1 r."""
    kernel = g.T @ g + decay * count * np.eye(g.shape[1])
    return -g @ np.linalg.inv(kernel) @ r


def dense_step(model, split, decay):
    """The step with all of G, both solves, and the released scripts' rescaling."""
    g_retain, r_retain = dense_jacobian_and_residual(model, split.retain)
    g_forget, r_forget = dense_jacobian_and_residual(model, split.forget)
    g, r = np.concatenate([g_retain, g_forget], 1), np.concatenate([r_retain, r_forget])
    w_all = dense_solution(g, r, len(split.full), decay)
    w_retain = dense_solution(g_retain, r_retain, len(split.retain), decay)
    step, m = w_retain - w_all, -w_retain
    c = step @ m / np.linalg.norm(step) / np.linalg.norm(m)
    if c < 0:
        norm = np.linalg.norm(step) + 2 * np.sin(np.arccos(c) - np.pi / 2) * np.linalg.norm(m)
    else:
        norm = np.linalg.norm(step) + 2 * c * np.linalg.norm(m)
    return step * norm / np.linalg.norm(step)


@pytest.mark.parametrize("memory", [16.0, 0.004])  # all Jacobians at once; blocks of a dozen images
@pytest.mark.parametrize("trained", [False, True])
def test_it_is_the_dense_solve(memory, trained):
    torch.manual_seed(0)
    split, model = tiny_split("sub_class"), models.ResNet18(3, width=2)
    if trained:
        finetune.unlearn(model, split, batch_size=16, epochs=6)
    model.eval()
    before = weights_of(model)
    wanted = dense_step(model, split, 0.1)
    notes = {}
    result = ntk.unlearn(model, split, images=len(split.full), memory=memory, notes=notes)
    step = (weights_of(result) - before).numpy()
    assert np.linalg.norm(step - wanted) < 0.01 * np.linalg.norm(wanted)
    assert notes["subsample"] == {"retain": len(split.retain), "forget": len(split.forget)}


@pytest.mark.parametrize(
    ("m", "length"),
    [
        ((6.0, 8.0), 5 + 2 * 10),
        ((-6.0, -8.0), 5 + 2 * 10),
        ((8.0, -6.0), 5),
        ((10.0, 0.0), 5 + 2 * 0.6 * 10),
    ],
)
def test_the_step_is_lengthened_whatever_the_angle(m, length):
    step = torch.tensor([3.0, 4.0])
    assert torch.allclose(ntk.rescaled(step, torch.tensor(m)), step * length / 5)


def test_a_step_of_zero_stays_one():
    assert torch.equal(ntk.rescaled(torch.zeros(2), torch.ones(2)), torch.zeros(2))


def test_it_holds_two_blocks_at_most(monkeypatch):
    """`memory` is for two blocks' Jacobians: when one is made at most one more is alive.

    The Jacobians are patched, since nothing else says how many there are at a time.
    """
    made, alive = [], []
    jacobian = _linearised.jacobian

    def counted(*args):
        alive.append(sum(block() is not None for block in made))
        result = jacobian(*args)
        made.append(weakref.ref(result.untyped_storage()))
        return result

    monkeypatch.setattr(_linearised, "jacobian", counted)
    split, model = tiny_split("sub_class"), models.ResNet18(3, width=2)
    ntk.unlearn(model, split, images=24, memory=0.0012)
    assert len(alive) > 6
    assert max(alive) == 1


@pytest.mark.parametrize("images", [10, 30, 200])
def test_half_of_the_subsample_is_of_the_forget_set_where_it_has_enough(images):
    split = small_split("full_class")
    retain, forget = ntk.subsample(split, images)
    assert len(forget) == min(images // 2, len(split.forget))
    assert len(retain) + len(forget) == images
    assert set(forget.index.tolist()) <= set(split.forget.index.tolist())
    assert set(retain.index.tolist()) <= set(split.retain.index.tolist())


def test_too_little_memory_is_refused_with_a_way_out():
    words = r"needs 0\.\d+ GB and may take 0\.02: use at most \d+ images .*-set memory=1"
    with pytest.raises(UserError, match=words):
        ntk.unlearn(tiny_resnet(), small_split("full_class"), memory=0.02)


def test_one_image_is_refused():
    with pytest.raises(UserError, match="at least two"):
        ntk.unlearn(tiny_resnet(), small_split("full_class"), images=1)


@pytest.mark.parametrize("surplus", [1, 10**9])
def test_more_images_than_there_are_are_refused(surplus):
    split, model = tiny_split(), models.ResNet18(10, width=2)
    before = twin(model)
    most = len(split.full)
    images = most + surplus
    words = rf"ntk on {images} images: D has {most};.*\(-set images={most}\)$"
    with pytest.raises(UserError, match=words):
        ntk.unlearn(model, split, images=images)
    assert_identical(model, before)


def test_it_takes_100_images_or_all_of_fewer():
    defaults, few = METHODS["ntk"].defaults, tiny_split()
    assert len(few.full) < 100
    assert defaults(None, few, 64) == {"images": len(few.full)}
    assert defaults(None, small_split("full_class"), 64) == {"images": 100}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_solving_leaves_the_kernel_as_it_is(dtype):
    """kernel = 2 I: two solves with ridge 3 both give residual / 5."""
    kernel, residual = 2 * torch.eye(4, dtype=dtype), torch.arange(4, dtype=dtype)
    for _ in range(2):
        solution = ntk.solve(kernel, residual, 3.0)
        assert torch.allclose(solution, residual / 5)
        assert solution.dtype == dtype
    assert torch.equal(kernel, 2 * torch.eye(4, dtype=dtype))
