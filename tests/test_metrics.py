"""metrics.py against numbers by hand, SciPy's own minimiser and the definitions."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import torch

import datasets
import metrics
import models
from common import UserError
from images import batches
from protocol import PAPER, RELEASED
from training import fit, predict, sgd


def test_accuracy_by_hand():
    logits = torch.eye(5)[[0, 1, 2, 3, 0]]
    labels = torch.tensor([0, 1, 2, 0, 4])
    assert metrics.accuracy(logits, labels) == pytest.approx(60)
    assert metrics.accuracy_of_batches(logits, labels, 4) == pytest.approx((75 + 0) / 2)  # the batch of one counts in full


def test_entropy_by_hand():
    logits = torch.tensor([[0.0, 0, 0, 0], [1000, 0, 0, 0], [math.log(3), 0, -1e9, -1e9]], dtype=torch.float64)
    wanted = [math.log(4), 0, -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))]
    assert metrics.entropy(logits).tolist() == pytest.approx(wanted, abs=1e-12)


def test_entropy_histogram_by_hand():
    even, sure = [0.0] * 4, [50.0, 0, 0, 0]
    two = [0.0, 0, -1e9, -1e9]  # ln 2 is half of ln 4
    assert metrics.entropy_histogram(torch.tensor([even, even, sure, two]), bins=4) == [1, 0, 1, 2]


def test_entropy_histogram_counts_every_image():
    """The entropy of a uniform output is ln C up to rounding, here and there above it."""
    for classes in range(2, 120):
        assert sum(metrics.entropy_histogram(torch.zeros(3, classes))) == 3, classes


def test_zrf_against_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30, 7)) * 4
    p, q = scipy.special.softmax(a, 1), scipy.special.softmax(b, 1)
    m = (p + q) / 2
    wanted = 1 - np.mean((scipy.special.rel_entr(p, m) + scipy.special.rel_entr(q, m)).sum(1) / 2)
    a, b = torch.tensor(a), torch.tensor(b)
    assert metrics.zrf(a, b) == pytest.approx(wanted, abs=1e-12)
    assert metrics.zrf(a, a) == pytest.approx(1)
    far = torch.eye(2, dtype=torch.float64) * 1e4
    assert metrics.zrf(far, far.flip(1)) == pytest.approx(1 - math.log(2))
    released = (scipy.special.rel_entr(m, p) + scipy.special.rel_entr(m, q)).mean() / 2  # over N and C
    assert metrics.zrf(a, b, elementwise_kl=True) == pytest.approx(1 - float(released), abs=1e-12)


@pytest.mark.parametrize(("scale", "members", "others"), [(0.05, 900, 150), (0.1, 200, 20)])
def test_mia_equals_the_released_multinomial_fit(scale, members, others):
    """Two-class softmax regression with penalty 0.5 ||W||^2 at C = 1 and balanced weights, minimised by SciPy.

    The penalty moves the border here: at C = 1 of the binary fit the second score would be 2.1 points higher.
    """
    rng = np.random.default_rng(0)
    member_entropy, other_entropy = rng.gamma(0.3, scale, members), rng.gamma(2.0, 2 * scale, others)
    forget_entropy = np.linspace(0, 8 * scale, 4001)  # so fine that a moved border shows
    x = np.concatenate([member_entropy, other_entropy])
    y = np.concatenate([np.ones(members, int), np.zeros(others, int)])
    weight = len(y) / (2 * np.bincount(y)[y])

    def loss(v):
        logits = np.outer(x, v[:2]) + v[2:]
        return -(weight * scipy.special.log_softmax(logits, 1)[np.arange(len(y)), y]).sum() + 0.5 * (v[:2] ** 2).sum()

    v = scipy.optimize.minimize(loss, np.zeros(4), method="BFGS", tol=1e-9).x
    wanted = 100 * np.mean((np.outer(forget_entropy, v[:2]) + v[2:]).argmax(1))
    got = metrics.mia(*(torch.tensor(values) for values in (member_entropy, other_entropy, forget_entropy)))
    assert 15 < wanted < 85
    assert got == pytest.approx(wanted, abs=0.3)


def test_mia_extremes():
    low, high = torch.rand(500) * 0.1, torch.rand(500) * 0.1 + 2
    assert metrics.mia(low, high, low[:50]) == 100
    assert metrics.mia(low, high, high[:50]) == 0


@pytest.mark.parametrize("protocol", [PAPER, RELEASED])
@pytest.mark.parametrize("task", ["class", "sub_class", "random"])
def test_score_sees_every_image_once_and_agrees_with_the_parts(task, protocol):
    train, test = datasets.load("DigitShapes")
    if task == "random":
        split = datasets.split_random(train, test, 0.02, 0, protocol=protocol)
    else:
        split = (datasets.split_class if task == "class" else datasets.split_sub_class)(train, test, 1, protocol=protocol)
    torch.manual_seed(0)
    model, untrained = models.ResNet18(3, width=8), models.ResNet18(3, width=8)
    fit(model, batches(train, model, 64, shuffle=True), sgd(model, 0.05), 1)
    seen = []
    hook = model.register_forward_hook(lambda m, inputs, out: seen.append(len(inputs[0])))
    stored = metrics.logits_of(model, split.train), metrics.logits_of(model, split.test)
    scores = metrics.score(*stored, untrained, split, batch_size=64, protocol=protocol)
    hook.remove()
    assert sum(seen) == len(train) + len(test)

    def logits(images):
        with torch.no_grad():
            return model.eval()(next(iter(batches(images, model, len(images))))[0])

    def share_right(images):
        if protocol is PAPER:
            return metrics.accuracy(logits(images), images.labels)
        return metrics.accuracy_of_batches(logits(images), images.labels, 64)

    wanted = {"TestAcc": test, "RetainTestAcc": split.retain_test, "Df": split.forget_test}
    assert {name: scores[name] for name in wanted} == pytest.approx({name: share_right(images) for name, images in wanted.items()})
    parts = [metrics.entropy(logits(images)) for images in (split.retain, test, split.forget)]
    assert scores["MIA"] == pytest.approx(metrics.mia(*parts), abs=3.5)  # one image of 29 may lie on the border
    base = predict(untrained, batches(split.forget_test, untrained, 64), train_mode=protocol is RELEASED)
    zrf = metrics.zrf(logits(split.forget_test), base, elementwise_kl=protocol is RELEASED)
    assert scores["ZRF"] == pytest.approx(zrf, abs=1e-5) and zrf < 1
    assert protocol is RELEASED or zrf >= 1 - math.log(2)


def test_score_refuses_a_broken_network():
    split = datasets.split_class(*datasets.load("Digits"), 3)
    logits = [torch.zeros(len(images), 10) for images in (split.train, split.test)]
    logits[1][7, 3] = float("nan")
    with pytest.raises(UserError, match="diverged"):
        metrics.score(*logits, models.ResNet18(10, width=8), split, batch_size=64)
