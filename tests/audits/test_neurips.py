"""The NeurIPS 2023 score against drawn numbers that pin it and against closed forms."""

import math

import numpy as np
import pytest
import torch

from audits.neurips import LARGEST, epsilon, quality


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_single_thresholds_on_numbers_that_anybody_can_draw():
    generator = np.random.default_rng(0)
    retrained = torch.tensor(generator.normal(0, 1, (64, 3)))
    unlearned = torch.tensor(generator.normal(0, 1, (64, 3)))
    epsilons = epsilon(unlearned, retrained)
    assert epsilons.tolist() == pytest.approx([1.60931, 1.09851, 1.94582], abs=5e-6)


def test_epsilon_by_hand():
    # Positives 1, 2, 3, 4 (unlearned), negatives 0, 1.5, 2.5, 2.6. Above 2.6: FPR 0, FNR 1/2: does
    # not count. Above 2.5: FPR 1/4, FNR 1/2. Above 1: FPR 3/4, FNR 1/4. Above 0: FPR 3/4, FNR 0.
    above_2_5 = math.log(1 - 1e-5 - 1 / 2) - math.log(1 / 4)
    above_1 = math.log(1 - 1e-5 - 3 / 4) - math.log(1 / 4)
    by_hand = max(above_2_5, above_1)
    result = epsilon(column(1, 2, 3, 4), column(0, 1.5, 2.5, 2.6))
    assert result.item() == pytest.approx(by_hand)


def test_networks_that_one_threshold_parts_have_the_largest_epsilon():
    assert epsilon(column(5, 6, 7), column(0, 1, 2)).item() == LARGEST
    assert epsilon(column(0, 1, 2), column(5, 6, 7)).item() == LARGEST


def test_a_point_mass_is_told_apart_at_once():
    assert epsilon(column(1, 1, 1, 1), column(0, 1, 2, 3)).item() == LARGEST


def test_equal_samples_are_not_told_apart_by_much():
    values = column(*range(16))
    assert epsilon(values, values).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("value", "weight"), [(0, 1), (0.49, 1), (0.5, 1 / 2), (1.0, 1 / 4), (2.4, 1 / 16), (2.5, 0)]
)
def test_each_half_of_epsilon_halves_the_weight(value, weight):
    # ceil(ln 63) = 5: from epsilon 2.5 on there is nothing.
    assert quality(torch.tensor([value], dtype=torch.float64), networks=64) == weight


@pytest.mark.parametrize("networks", [1, 2, 3])
def test_few_networks_earn_nothing_or_little(networks):
    assert 0 <= quality(torch.zeros(3, dtype=torch.float64), networks) <= 1


def test_a_larger_shift_is_told_apart_more_often():
    generator = torch.Generator().manual_seed(0)
    retrained, unlearned = torch.randn(2, 128, 200, generator=generator, dtype=torch.float64)
    qualities = []
    for shift in (0, 0.25, 0.5, 1, 2):
        qualities.append(quality(epsilon(unlearned + shift, retrained), 128))
    assert qualities == sorted(qualities, reverse=True)
    assert qualities[0] > 0.3 > 0.02 > qualities[3]
