"""Gaussian poison: the noise in the training images, its inner product, and its null."""

from dataclasses import replace

import pytest
import torch
from helpers import all_of, net, tiny_resnet

import datasets
from learning.corruption import NOISE_DEVIATION, corrupt
from learning.images import batches
from learning.training import fit, sgd
from probes.poison import inner_product, poison_scores, summary
from splits import split_corrupted


@pytest.fixture(scope="module")
def digits():
    return datasets.load("Digits")


def poisoned_split(digits, count=200):
    train, test = digits
    return split_corrupted(train, test, "gaussian", count, 1.0, train_seed=0, seed=0)


# ---- the noise ----


def test_the_noise_is_added_to_the_chosen_images_and_to_no_other(digits):
    train, _ = digits
    poisoned, positions = corrupt(train, "gaussian", 60, seed=3)
    before, _ = all_of(train, tiny_resnet())
    after, labels = all_of(poisoned, tiny_resnet())
    difference = after - before
    is_clean = torch.ones(len(train), dtype=torch.bool)
    is_clean[positions] = False
    assert (difference[is_clean] == 0).all()
    assert difference[positions].std().item() == pytest.approx(0.32**0.5, rel=0.03)
    assert difference[positions].mean().item() == pytest.approx(0, abs=0.02)
    assert torch.equal(labels, train.labels)  # they stay true
    assert poisoned.digest != train.digest


def test_the_same_seed_draws_the_same_noise(digits):
    train, _ = digits
    first, second = corrupt(train, "gaussian", 20, 1)[0], corrupt(train, "gaussian", 20, 1)[0]
    assert torch.equal(first.noise, second.noise)
    assert first.digest == second.digest


def test_augmentation_leaves_the_noise_where_it_is(digits):
    train, _ = digits
    poisoned, positions = corrupt(train, "gaussian", 40, seed=0)
    images = poisoned.take(positions)
    torch.manual_seed(0)
    (with_noise, _, _) = next(iter(batches(images, tiny_resnet(), 40, augment=True)))
    torch.manual_seed(0)
    clean = replace(images, noise=None, noise_place=None)
    (without, _, _) = next(iter(batches(clean, tiny_resnet(), 40, augment=True)))
    noise = images.noise[images.noise_place[images.index]]
    assert torch.allclose(with_noise - without, noise, atol=1e-5)


# ---- the score ----


def test_inner_product_by_hand():
    gradient = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    xi = torch.tensor([[1.0, 2.0], [1.0, 1.0]], dtype=torch.float64)
    scores = inner_product(gradient, xi)
    assert scores.tolist() == pytest.approx([11 / (NOISE_DEVIATION * 5), 0])


def test_the_null_is_a_standard_normal_distribution():
    generator = torch.Generator().manual_seed(0)
    gradient, xi = torch.randn(2, 750, 3072, generator=generator, dtype=torch.float64)
    scores = inner_product(gradient, NOISE_DEVIATION * xi)
    assert scores.mean().item() == pytest.approx(0, abs=3 * 0.0365)
    assert scores.std().item() == pytest.approx(1, abs=0.08)


def test_a_gradient_that_falls_along_the_noise_gives_the_mean_of_the_formula():
    generator = torch.Generator().manual_seed(0)
    g, xi = torch.randn(2, 750, 3072, generator=generator, dtype=torch.float64)
    scores = inner_product(g - 0.02 * xi, NOISE_DEVIATION * xi)
    assert scores.mean().item() == pytest.approx(-1.108, abs=3 * 0.0365)


@pytest.mark.parametrize(("shift", "rate"), [(0, 0.01), (-1, 0.0924), (-2, 0.3721)])
def test_the_rate_at_one_percent(shift, rate):
    scores = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert summary(scores + shift)["below"] == pytest.approx(rate, abs=0.003)


def test_a_network_that_learned_the_noise_is_found_and_another_is_not(digits):
    split = poisoned_split(digits)
    torch.manual_seed(0)
    untrained = net(dropout=0.0)
    never = summary(poison_scores(untrained, split.forget))
    assert abs(never["mean"]) < 0.3
    data = batches(split.forget, untrained, 50, shuffle=True)
    learned = fit(untrained, data, sgd(untrained, 0.1), 60)
    assert summary(poison_scores(learned, split.forget))["mean"] < -0.8


def test_what_is_healed_is_judged_on_the_noisy_images(digits):
    split = poisoned_split(digits, 50)
    assert len(split.forget) == len(split.forget_test) == 50
    assert split.forget_test_from == "train"
    assert set(split.forget_test.index.tolist()) == set(split.forget.index.tolist())
    assert split.forget_test.labels.tolist() == true_labels(split)


def true_labels(split):
    """The labels of forget_test's images in the data set."""
    positions = torch.searchsorted(split.train.index, split.forget_test.index)
    return split.train.labels[positions].tolist()
