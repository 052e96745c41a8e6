"""U-LiRA against closed forms: Gaussians one deviation apart, equal laws, point masses."""

import math

import pytest
import torch

from audits.u_lira import balanced_accuracy, image_aucs, log_ratio, u_lira, worst_tenth

IMAGES = 400


def drawn(networks, shift=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return shift + torch.randn(networks, IMAGES, generator=generator, dtype=torch.float64)


def mean_auc(forgotten, unseen):
    return float(image_aucs(u_lira(forgotten, unseen)).mean())


@pytest.mark.parametrize("networks", [8, 16, 64])
def test_networks_of_one_law_cannot_be_told_apart(networks):
    # Scores of the networks that the Gaussians were fitted to would give 0.69 at 8.
    assert mean_auc(drawn(networks), drawn(networks, seed=1)) == pytest.approx(0.5, abs=0.025)


def test_a_shift_of_one_deviation_gives_the_auc_of_two_gaussians():
    exact = (1 + math.erf(0.5)) / 2  # Phi(1 / sqrt 2) = 0.760
    assert exact == pytest.approx(0.760, abs=5e-4)
    assert mean_auc(drawn(64, 1.0), drawn(64, seed=1)) == pytest.approx(exact, abs=0.015)


def test_few_networks_estimate_the_gaussians_badly_and_see_less():
    assert 0.65 < mean_auc(drawn(8, 1.0), drawn(8, seed=1)) < 0.73


def test_a_score_is_the_log_ratio_of_two_gaussians_by_hand():
    fitted_f = torch.tensor([[1.0], [3.0]])  # mean 2, variance 2
    fitted_o = torch.tensor([[-2.0], [2.0]])  # mean 0, variance 8
    score = log_ratio(torch.tensor([[1.0]]), fitted_f, fitted_o)
    by_hand = (-1 / 4 - math.log(2) / 2) - (-1 / 16 - math.log(8) / 2)
    assert score.item() == pytest.approx(by_hand)


def test_images_that_are_always_alike_say_nothing_and_do_not_divide_by_zero():
    same = torch.full((8, 3), 2.0, dtype=torch.float64)
    halves = u_lira(same, same)
    assert image_aucs(halves).tolist() == [0.5, 0.5, 0.5]
    assert balanced_accuracy(halves) == 0.5


def test_point_masses_apart_are_told_apart_for_sure():
    forgotten = torch.full((4, 2), 1.0, dtype=torch.float64)
    unseen = torch.zeros(4, 2, dtype=torch.float64)
    halves = u_lira(forgotten, unseen)
    assert image_aucs(halves).tolist() == [1.0, 1.0]
    assert balanced_accuracy(halves) == 1.0


def test_the_worst_tenth_is_the_mean_of_the_largest():
    assert worst_tenth(torch.arange(20.0)) == 18.5
    assert worst_tenth(torch.tensor([3.0, 1.0])) == 3.0  # at least one image


def test_three_networks_are_too_few_to_fit_and_to_score():
    with pytest.raises(AssertionError):
        u_lira(drawn(3), drawn(4))
