"""metrics.py against numbers by hand, SciPy's own minimiser and the definitions."""

import copy
import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import torch

import datasets
import metrics
import models
import splits
from common.errors import UserError
from learning.images import batches
from learning.protocol import PAPER, RELEASED
from learning.training import fit, predict, sgd
from methods import METHODS


def test_accuracy_by_hand():
    logits = torch.eye(5)[[0, 1, 2, 3, 0]]
    labels = torch.tensor([0, 1, 2, 0, 4])
    assert metrics.accuracy(logits, labels) == pytest.approx(60)
    # the batch of one counts in full
    assert metrics.accuracy_of_batches(logits, labels, 4) == pytest.approx((75 + 0) / 2)


def test_class_accuracy_by_hand():
    logits = torch.eye(4)[[0, 1, 1, 0, 3]]
    labels = torch.tensor([0, 0, 1, 1, 3])
    assert metrics.class_accuracy(logits, labels, 4) == [50, 50, None, 100]  # no image of class 2
    assert metrics.class_accuracy(logits, labels, 6) == [50, 50, None, 100, None, None]


def test_entropy_by_hand():
    logits = torch.tensor(
        [[0.0, 0, 0, 0], [1000, 0, 0, 0], [math.log(3), 0, -1e9, -1e9]], dtype=torch.float64
    )
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
    kl_to_m = scipy.special.rel_entr(p, m) + scipy.special.rel_entr(q, m)
    wanted = 1 - np.mean(kl_to_m.sum(1) / 2)
    a, b = torch.tensor(a), torch.tensor(b)
    assert metrics.zrf(a, b) == pytest.approx(wanted, abs=1e-12)
    assert metrics.zrf(a, a) == pytest.approx(1)
    far = torch.eye(2, dtype=torch.float64) * 1e4
    assert metrics.zrf(far, far.flip(1)) == pytest.approx(1 - math.log(2))
    kl_from_m = scipy.special.rel_entr(m, p) + scipy.special.rel_entr(m, q)
    released = kl_from_m.mean() / 2  # over N and C
    assert metrics.zrf(a, b, elementwise_kl=True) == pytest.approx(1 - float(released), abs=1e-12)


@pytest.mark.parametrize(("scale", "members", "others"), [(0.05, 900, 150), (0.1, 200, 20)])
def test_mia_equals_the_released_multinomial_fit(scale, members, others):
    """Two-class softmax regression with balanced weights, minimised by SciPy.

    Its penalty is 0.5 ||W||^2 at C = 1. It moves the border here: at C = 1 of the binary fit the
    second score would be 2.1 points higher.
    """
    rng = np.random.default_rng(0)
    member_entropy = rng.gamma(0.3, scale, members)
    other_entropy = rng.gamma(2.0, 2 * scale, others)
    forget_entropy = np.linspace(0, 8 * scale, 4001)  # so fine that a moved border shows
    x = np.concatenate([member_entropy, other_entropy])
    y = np.concatenate([np.ones(members, int), np.zeros(others, int)])
    weight = len(y) / (2 * np.bincount(y)[y])

    def loss(v):
        logits = np.outer(x, v[:2]) + v[2:]
        log_p = scipy.special.log_softmax(logits, 1)[np.arange(len(y)), y]
        return -(weight * log_p).sum() + 0.5 * (v[:2] ** 2).sum()

    v = scipy.optimize.minimize(loss, np.zeros(4), method="BFGS", tol=1e-9).x
    wanted = 100 * np.mean((np.outer(forget_entropy, v[:2]) + v[2:]).argmax(1))
    got = metrics.mia(member_entropy, other_entropy, forget_entropy)
    assert 15 < wanted < 85
    assert got == pytest.approx(wanted, abs=0.03)  # one of the 4001


def best_threshold(members, others):
    """The entropy at which the attack's regression changes its mind, to the last digit."""
    x = np.concatenate([members, others])
    features = np.stack([x, np.ones(len(x))])
    y = np.concatenate([np.ones(len(members)), np.zeros(len(others))])
    counts = np.where(y == 1, len(members), len(others))
    weight = 2.0 * len(y) / (2 * counts)  # C times the balanced classes'
    penalty = np.array([1.0, 0.0])

    def loss(v):
        z = v @ features
        return weight @ (np.logaddexp(0, z) - y * z) + 0.5 * v[0] ** 2

    def gradient(v):
        return features @ (weight * (scipy.special.expit(v @ features) - y)) + penalty * v

    def hessian(v):
        p = scipy.special.expit(v @ features)
        return (features * (weight * p * (1 - p))) @ features.T + np.diag(penalty)

    derivatives = {"jac": gradient, "hess": hessian}
    v = scipy.optimize.minimize(loss, np.zeros(2), method="trust-exact", **derivatives).x
    for _ in range(20):
        v = v - np.linalg.solve(hessian(v), gradient(v))
    return -v[1] / v[0]


# Of members and of others, in nats: (shape, scale) of two gamma distributions, and their start.
ENTROPIES = {
    "members surer": ((0.3, 0.2), (0.6, 0.8), 0),
    "nearly alike": ((4, 0.2), (4, 0.22), 0),
    "all sure": ((0.3, 1e-4), (0.6, 4e-4), 0),
    "all nearly uniform": ((0.3, 1.1e-4), (0.3, 1e-4), math.log(10)),
}


def drawn_entropies(kind, seed):
    """Entropies, [N] float64, of 1,200 members, 350 others and, drawn as these, 51 to forget."""
    member_law, other_law, uniform = ENTROPIES[kind]
    rng = np.random.default_rng(seed)
    drawn = [rng.gamma(*member_law, 1200), rng.gamma(*other_law, 350), rng.gamma(*other_law, 51)]
    return [np.abs(uniform - values) for values in drawn]


@pytest.mark.parametrize("kind", ENTROPIES)
@pytest.mark.parametrize("seed", range(4))
def test_mia_is_at_its_optimum(kind, seed):
    """Of two forget images, 1e-6 nats on either side of the best threshold, one is a member."""
    members, others, _ = drawn_entropies(kind, seed)
    threshold = best_threshold(members, others)
    assert members.min() < threshold < others.max()
    below, above = np.array([threshold - 1e-6]), np.array([threshold + 1e-6])
    judged = [metrics.mia(members, others, below), metrics.mia(members, others, above)]
    assert sorted(judged) == [0, 100]


def test_mia_counts_an_image_that_a_fit_stopped_early_takes_for_another():
    """At scikit-learn's own tolerance the threshold is 1e-3 nats off, and 25 are members."""
    members, others, forget = drawn_entropies("nearly alike", 65)
    threshold = best_threshold(members, others)
    assert min(abs(forget - threshold)) > 1e-4  # so that no rounding decides
    assert metrics.mia(members, others, forget) == pytest.approx(100 * 24 / 51)
    assert int((forget < threshold).sum()) == 24


def test_mia_extremes():
    low, high = torch.rand(500) * 0.1, torch.rand(500) * 0.1 + 2
    assert metrics.mia(low, high, low[:50]) == 100
    assert metrics.mia(low, high, high[:50]) == 0


TASKS = ("class", "sub_class", "random")


def split_of_shapes(task, protocol):
    train, test = datasets.load("DigitShapes")
    if task == "random":
        return splits.split_random(train, test, 0.02, 0, protocol=protocol)
    split = splits.split_class if task == "class" else splits.split_sub_class
    return split(train, test, 1, protocol=protocol)


def networks_for(split, classes):
    """(a network trained for an epoch, an untrained one)."""
    torch.manual_seed(0)
    model = models.ResNet18(classes, width=8)
    untrained = models.ResNet18(classes, width=8)
    data = batches(split.retain, model, 64, shuffle=True)
    fit(model, data, sgd(model, 0.05), 1)
    return model, untrained


def logits_in_one_batch(model, images):
    x, _, _ = next(iter(batches(images, model, len(images))))
    with torch.no_grad():
        return model.eval()(x)


@pytest.mark.parametrize("protocol", [PAPER, RELEASED])
@pytest.mark.parametrize("task", TASKS)
def test_score_agrees_with_its_parts(task, protocol):
    split = split_of_shapes(task, protocol)
    model, untrained = networks_for(split, 3)
    released = protocol is RELEASED
    logits = metrics.split_logits(model, split)
    scores = metrics.score(logits, untrained, split, batch_size=64, protocol=protocol)

    images_of = {
        "TestAcc": split.test,
        "RetainTestAcc": split.retain_test,
        "Df": split.forget_test,
    }
    for name, images in images_of.items():
        by_hand = logits_in_one_batch(model, images)
        if released:
            wanted = metrics.accuracy_of_batches(by_hand, images.labels, 64)
        else:
            wanted = metrics.accuracy(by_hand, images.labels)
        assert scores[name] == pytest.approx(wanted), name

    entropies = []
    for images in (split.retain, split.test, split.forget):
        entropies.append(metrics.entropy(logits_in_one_batch(model, images)))
    one_image_on_the_border = 100 / 29
    mia = metrics.mia(*entropies)
    assert scores["MIA"] == pytest.approx(mia, abs=one_image_on_the_border + 0.1)

    data = batches(split.forget_test, untrained, 64)
    base = predict(untrained, data, train_mode=released)
    by_hand = logits_in_one_batch(model, split.forget_test)
    zrf = metrics.zrf(by_hand, base, elementwise_kl=released)
    assert scores["ZRF"] == pytest.approx(zrf, abs=1e-5)
    assert zrf < 1
    if not released:
        assert zrf >= 1 - math.log(2)


@pytest.mark.parametrize("task", TASKS)
def test_a_network_sees_every_image_once(task):
    split = split_of_shapes(task, PAPER)
    model, untrained = models.ResNet18(3, width=8), models.ResNet18(3, width=8)
    seen = []
    model.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    logits = metrics.split_logits(model, split)
    metrics.score(logits, untrained, split, batch_size=64)
    assert sum(seen) == len(split.train) + len(split.test)


def test_what_depends_on_the_method_under_released():
    """Bad teacher's ZRF: untrained network in eval mode. UNSIR's RetainTestAcc: batches of 32."""
    split = splits.split_class(*datasets.load("Digits"), 8, protocol=RELEASED)
    assert len(split.retain_test) % 32  # else a last batch is as long as all others
    model, untrained = networks_for(split, 10)
    logits = metrics.split_logits(model, split)

    def scores(method):
        scoring = METHODS[method].scoring
        options = scoring(RELEASED) if scoring else {}
        network = copy.deepcopy(untrained)  # in train mode its running statistics move
        return metrics.score(logits, network, split, batch_size=48, protocol=RELEASED, **options)

    usual, taught, impaired = scores("ssd"), scores("bad_teacher"), scores("unsir")
    forget_test = metrics.forget_test_logits(logits, split)
    in_eval_mode = metrics.logits_of(untrained, split.forget_test)
    assert taught["ZRF"] == metrics.zrf(forget_test, in_eval_mode, elementwise_kl=True)
    assert taught["ZRF"] != usual["ZRF"]
    retain_test = metrics.logits_of_part(logits.test, split.test, split.retain_test)
    by_32 = metrics.accuracy_of_batches(retain_test, split.retain_test.labels, 32)
    assert impaired["RetainTestAcc"] == by_32
    assert impaired["RetainTestAcc"] != usual["RetainTestAcc"]
    assert {**taught, "ZRF": None} == {**usual, "ZRF": None}
    assert {**impaired, "RetainTestAcc": None} == {**usual, "RetainTestAcc": None}
    assert METHODS["bad_teacher"].scoring(PAPER) == METHODS["unsir"].scoring(PAPER) == {}


def test_score_refuses_a_broken_network():
    split = splits.split_class(*datasets.load("Digits"), 3)
    test_logits = torch.zeros(len(split.test), 10)
    test_logits[7, 3] = float("nan")
    logits = metrics.Logits(train=torch.zeros(len(split.train), 10), test=test_logits)
    with pytest.raises(UserError, match="diverged"):
        metrics.score(logits, models.ResNet18(10, width=8), split, batch_size=64)


def one_hot(labels):
    return torch.nn.functional.one_hot(labels, 10).float() * 20


def test_scores_of_a_healed_trigger_by_hand():
    """A quarter of the triggered images goes to class 0, all other answers are right."""
    train, test = datasets.load("Digits")
    split = splits.split_corrupted(train, test, "patch", 50, 0.5, train_seed=0, seed=1)
    answers = split.forget_test.labels.clone()
    quarter = len(answers) // 4
    answers[:quarter] = 0
    logits = metrics.Logits(
        train=one_hot(split.train.labels), test=one_hot(test.labels), triggered=one_hot(answers)
    )
    scores = metrics.score(logits, models.ResNet18(10, width=8), split, batch_size=64)
    share = 100 * quarter / len(answers)
    assert scores["TestAcc"] == scores["RetainTestAcc"] == 100
    assert scores["AttackSuccess"] == pytest.approx(share)
    assert scores["Df"] == pytest.approx(100 - share)
    assert scores["Healed"] == 0  # every corrupted training image still gets class 0
    assert scores["Utility"] == 100


def test_scores_of_healed_labels_by_hand():
    """Of the 50 images with a wrong label 10 are given their true one."""
    train, test = datasets.load("Digits")
    split = splits.split_corrupted(train, test, "label", 50, 0.5, train_seed=0, seed=1)
    corrupted = torch.searchsorted(train.index, split.forget_test.index)
    answers = split.train.labels.clone()
    answers[corrupted[:10]] = train.labels[corrupted[:10]]
    logits = metrics.Logits(train=one_hot(answers), test=one_hot(test.labels))
    scores = metrics.score(logits, models.ResNet18(10, width=8), split, batch_size=64)
    assert scores["TestAcc"] == scores["RetainTestAcc"] == 100
    assert scores["Df"] == scores["Healed"] == pytest.approx(20)
    assert "AttackSuccess" not in scores


def test_scores_of_two_confused_classes_by_hand():
    """Of 50 confused images 5 are healed; all test images are taken for a 3."""
    train, test = datasets.load("Digits")
    split = splits.split_corrupted(train, test, "confusion", 50, 0.5, train_seed=0, seed=1)
    corrupted = torch.searchsorted(train.index, split.corrupted.index)
    answers = split.train.labels.clone()
    answers[corrupted[:5]] = train.labels[corrupted[:5]]
    test_answers = test.labels.clone()
    test_answers[test.labels == 5] = 3
    test_answers[test.labels == 9] = 3
    logits = metrics.Logits(train=one_hot(answers), test=one_hot(test_answers))
    scores = metrics.score(logits, models.ResNet18(10, width=8), split, batch_size=64)
    others = test.labels[(test.labels != 3) & (test.labels != 5)]
    assert scores["Healed"] == pytest.approx(10)
    assert scores["Utility"] == pytest.approx(100 * float((others != 9).double().mean()))
    assert scores["TestAcc"] < scores["Utility"]
