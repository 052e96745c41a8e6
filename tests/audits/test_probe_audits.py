"""CKA, relearning, memorisation and the poison's table by hand."""

import pytest
import scipy.stats
import torch
from handmade import record

from audits.memorisation import memorisation, of_outputs
from audits.poison import chapters, interval_of
from audits.relearning import share_of_gap
from audits.similarity import linear_cka

# ---- CKA ----


def features(columns, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(200, columns, generator=generator, dtype=torch.float64)


def test_turned_stretched_and_shifted_features_are_the_same():
    x = features(5, 0)
    turn, _ = torch.linalg.qr(features(5, 1)[:5])
    assert linear_cka(x, 3 * x @ turn + 7) == pytest.approx(1)


def test_features_with_nothing_in_common_are_near_zero():
    assert linear_cka(features(4, 0), features(6, 1)) < 0.1


def test_cka_against_the_similarity_of_gram_matrices():
    x, y = features(3, 0), features(4, 1) + features(3, 0).sum(1, keepdim=True)
    centring = torch.eye(200, dtype=torch.float64) - 1 / 200
    k, h = centring @ x @ x.T @ centring, centring @ y @ y.T @ centring
    by_gram = (k * h).sum() / (k.norm() * h.norm())
    assert linear_cka(x, y) == pytest.approx(by_gram.item())


def test_features_that_do_not_vary_are_like_nothing():
    assert linear_cka(torch.ones(9, 2), features(2, 0)[:9]) == 0


# ---- relearning ----


def test_shares_of_the_gap_between_retrain_and_the_original():
    assert share_of_gap(20.0, 20.0, 100.0) == 0
    assert share_of_gap(100.0, 20.0, 100.0) == 1
    assert share_of_gap(40.0, 20.0, 100.0) == 0.25
    assert share_of_gap(10.0, 20.0, 100.0) < 0  # slower than retrain


def test_where_retrain_is_as_good_as_the_original_nothing_can_be_relearned():
    assert share_of_gap(97.0, 97.0, 99.0) is None


# ---- memorisation ----


def test_memorisation_is_the_share_right_with_the_image_less_that_without():
    learned = torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0]], dtype=torch.bool)
    right = torch.tensor([[1, 1], [1, 1], [0, 0], [0, 1]], dtype=torch.bool)
    assert memorisation(right, learned).tolist() == [1.0, -0.5]


def test_an_image_that_every_network_learned_has_none():
    learned = torch.ones(3, 1, dtype=torch.bool)
    assert memorisation(learned, learned).isnan().all()


def outputs_of(forgotten, right):
    """Outputs of a network for four images of label 0."""
    retained = [place for place in range(4) if place not in forgotten]
    tensors = {}
    for part, places in (("forget", forgotten), ("retain", retained)):
        answers = [[1.0, 0.0] if place in right else [0.0, 1.0] for place in places]
        tensors[f"{part}_logits"] = torch.tensor(answers)
        tensors[f"{part}_labels"] = torch.zeros(len(places), dtype=torch.int64)
        tensors[f"{part}_positions"] = torch.tensor(places)
    return tensors


def test_memorisation_from_the_outputs_of_retrained_networks():
    networks = [outputs_of([0, 1], right=[1, 2, 3]), outputs_of([2, 3], right=[0, 1, 3])]
    # Image 0 is right only where it was learned; 1 and 3 always; 2 as 0.
    assert of_outputs(networks, 4).tolist() == [1.0, 0.0, 1.0, 0.0]


# ---- Gaussian poison ----


def test_the_interval_of_one_network_is_that_of_its_images():
    assert interval_of([0.1], [400]) == pytest.approx((0.1 - 0.098, 0.1 + 0.098))


def test_the_interval_of_networks_that_differ_is_students():
    wanted = scipy.stats.ttest_1samp([0.1, -0.2, 0.4], 0).confidence_interval(0.95)
    assert interval_of([0.1, -0.2, 0.4], [99] * 3) == pytest.approx((wanted.low, wanted.high))


def test_the_interval_of_networks_that_agree_is_that_of_all_images():
    low, high = interval_of([0.01, 0.0, -0.01], [100] * 3)
    assert high - low == pytest.approx(2 * 1.96 / 300**0.5)


def poisoned(method, training, mean):
    config = {"corruption": "gaussian", "corrupt_count": 50, "known_share": 1.0}
    entry = record(method, 0, 90.0, 10.0, 20.0, task="corrupted", training=training, **config)
    entry["probes"] = {"poison": {"count": 50, "mean": mean, "below": 0.1, "above": 0.01}}
    return entry


def test_a_network_that_knows_the_noise_is_told_from_one_that_does_not():
    records = []
    for training, wobble in enumerate([-0.1, 0.0, 0.1]):
        records.append(poisoned("ssd", training, -1.0 + wobble))
        records.append(poisoned("retrain", training, wobble))
    (chapter,) = chapters(records)
    frame = chapter.sections[0].frames[0].set_index("method")
    assert frame.loc["ssd", "verdict"] == "knows the noise"
    assert frame.loc["retrain", "verdict"] == "as if never seen"
    assert frame.loc["ssd", "mean I"].startswith("-1.000 [")
    assert frame.loc["ssd", "below %"] == "10.00"
