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
from protocol import PAPER, RELEASED


def test_accuracy_by_hand():
    logits = torch.eye(5)[[0, 1, 2, 3, 0]]
    labels = torch.tensor([0, 1, 2, 0, 4])
    assert metrics.accuracy(logits, labels) == pytest.approx(60)
    assert metrics.accuracy_of_batches(logits, labels, 4) == pytest.approx((75 + 0) / 2)  # the batch of one counts in full


def test_entropy_by_hand():
    logits = torch.tensor([[0.0, 0, 0, 0], [1000, 0, 0, 0], [math.log(3), 0, -1e9, -1e9]], dtype=torch.float64)
    wanted = [math.log(4), 0, -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))]
    assert metrics.entropy(logits).tolist() == pytest.approx(wanted, abs=1e-12)


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


def test_mia_equals_the_released_multinomial_fit():
    """Two-class softmax regression with penalty 0.5 ||W||^2 at C = 1 and balanced weights, minimised by SciPy."""
    rng = np.random.default_rng(0)
    members, others, forget = rng.gamma(1.0, 0.3, 900), rng.gamma(2.0, 0.3, 150), rng.gamma(1.4, 0.3, 200)
    x = np.concatenate([members, others])
    y = np.concatenate([np.ones(900, int), np.zeros(150, int)])
    weight = 1050 / (2 * np.bincount(y)[y])

    def loss(v):
        logits = np.outer(x, v[:2]) + v[2:]
        return -(weight * scipy.special.log_softmax(logits, 1)[np.arange(len(y)), y]).sum() + 0.5 * (v[:2] ** 2).sum()

    v = scipy.optimize.minimize(loss, np.zeros(4), method="BFGS").x
    wanted = 100 * np.mean((np.outer(forget, v[:2]) + v[2:]).argmax(1))
    got = metrics.mia(*(torch.tensor(values) for values in (members, others, forget)))
    assert 20 < wanted < 80
    assert got == pytest.approx(wanted, abs=0.51)  # at most one of 200 may lie on the border


def test_mia_extremes():
    low, high = torch.rand(500) * 0.1, torch.rand(500) * 0.1 + 2
    assert metrics.mia(low, high, low[:50]) == 100
    assert metrics.mia(low, high, high[:50]) == 0


@pytest.fixture(scope="module")
def digits():
    return datasets.load("Digits")


@pytest.mark.parametrize("task", ["class", "random"])
def test_score_sees_every_image_once_and_agrees_with_the_parts(digits, task):
    train, test = digits
    split = datasets.split_class(train, test, 3) if task == "class" else datasets.split_random(train, test, 0.02, 0)
    torch.manual_seed(0)
    model, untrained = models.ResNet18(10, width=8), models.ResNet18(10, width=8)
    seen = []
    hook = model.register_forward_hook(lambda m, inputs, out: seen.append(len(inputs[0])))
    scores = metrics.score(model, untrained, split, batch_size=64, protocol=PAPER)
    hook.remove()
    assert sum(seen) == len(train) + len(test)

    def logits(images):
        with torch.no_grad():
            return model.eval()(next(iter(metrics.batches(images, model, len(images))))[0])

    assert scores["TestAcc"] == pytest.approx(metrics.accuracy(logits(test), test.labels), abs=1e-9)
    assert scores["Df"] == pytest.approx(metrics.accuracy(logits(split.forget_test), split.forget_test.labels), abs=1e-9)
    parts = [metrics.entropy(logits(images)) for images in (split.retain, test, split.forget)]
    assert scores["MIA"] == pytest.approx(metrics.mia(*parts), abs=0.8)
    assert 1 - math.log(2) <= scores["ZRF"] <= 1


def test_released_accuracy_follows_the_test_set_order(digits):
    train, test = digits
    split = datasets.split_class(train, test, 3, protocol=RELEASED)
    torch.manual_seed(0)
    model, untrained = models.ResNet18(10, width=8), models.ResNet18(10, width=8)
    scores = metrics.score(model, untrained, split, batch_size=64, protocol=RELEASED)
    logits = metrics.predict(model, metrics.batches(test, model, 64))
    assert scores["TestAcc"] == pytest.approx(metrics.accuracy_of_batches(logits, test.labels, 64), abs=1e-9)


def test_score_refuses_a_broken_network(digits):
    model = models.ResNet18(10, width=8)
    model.fc.bias.data.fill_(float("nan"))
    with pytest.raises(UserError, match="diverged"):
        metrics.score(model, models.ResNet18(10, width=8), datasets.split_class(*digits, 3), batch_size=64)
