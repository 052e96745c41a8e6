"""KLoM against numbers by hand and against simulated nulls."""

import math

import pytest
import torch

from audits.klom import klom


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def drawn(networks, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(networks, 2000, generator=generator, dtype=torch.float64)


def test_the_same_samples_are_no_distance_apart():
    assert klom(drawn(10, 0), drawn(10, 0)).abs().max() == 0


def test_shares_by_hand():
    # Shares .6 .2 .2 against .2 .6 .2; code that drops the largest value gives 0.5493.
    divergence = klom(column(0, 0, 0, 10, 20), column(0, 10, 10, 10, 20))
    assert divergence.item() == pytest.approx(0.4 * math.log(3))
    assert divergence.item() == pytest.approx(0.4394449, abs=5e-8)


def test_the_largest_value_lies_in_the_last_bin():
    by_hand = 0.3 * math.log(0.3 / 0.5) + 0.7 * math.log(0.7 / 0.5)
    divergence = klom(column(0, 0, 0, 1, 1, 1, 1, 1, 1, 1), column(0, 1))
    assert divergence.item() == pytest.approx(by_hand)
    assert divergence.item() == pytest.approx(0.0823, abs=5e-5)


def test_samples_that_share_no_bin_are_kept_finite_by_the_floor():
    low = torch.linspace(0, 1, 100, dtype=torch.float64)[:, None]
    assert klom(low, low + 10).item() == pytest.approx(10.8248, abs=5e-5)


def test_point_masses():
    assert klom(column(3, 3), column(3, 3, 3)).item() == 0
    # At the joint maximum, where public code gives nothing or NaN.
    assert klom(column(3, 3), column(1, 1)).item() == pytest.approx(math.log(1e5))


def test_margins_are_clipped():
    assert klom(column(1e9, 0), column(100, 0)).item() == 0
    assert klom(column(math.inf, 0), column(100, 0)).item() == 0


@pytest.mark.parametrize(
    ("networks", "floor", "tolerance"),
    [(10, 5.55, 0.15), (20, 3.01, 0.15), (50, 0.85, 0.06), (100, 0.334, 0.03)],
)
def test_the_null_depends_on_the_number_of_networks(networks, floor, tolerance):
    divergences = klom(drawn(networks, 1), drawn(networks, 2))
    assert divergences.mean().item() == pytest.approx(floor, abs=tolerance)


def test_the_null_of_a_hundred_networks_at_its_95th_percentile():
    assert klom(drawn(100, 1), drawn(100, 2)).quantile(0.95).item() == pytest.approx(0.65, abs=0.07)
