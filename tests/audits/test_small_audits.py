"""Margins, separation, the neighbour trace and tug of war, by hand."""

import math

import pytest
import torch

from audits.margins import margin
from audits.neighbour_trace import jensen_shannon, over_other_classes
from audits.separation import auc, tpr_at_fpr
from audits.tug_of_war import tug_of_war

# ---- margins ----


def test_margin_by_hand():
    phi = margin(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0]))
    assert phi.item() == pytest.approx(0.68674, abs=5e-6)


def test_margin_is_the_logit_of_the_probability():
    logits = torch.tensor([[0.9, 0.1]]).log()
    assert margin(logits, torch.tensor([0])).item() == pytest.approx(2.19722, abs=5e-6)


def test_margins_beyond_any_probability_stay_exact():
    phi = margin(torch.tensor([[500.0, 0.0]]), torch.tensor([0]))
    assert phi.item() == 500.0


def test_margins_of_several_networks():
    logits = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 0])
    probabilities = logits.double().softmax(-1)
    of_label = probabilities.gather(-1, labels.expand(3, 5)[..., None]).squeeze(-1)
    assert torch.allclose(margin(logits, labels), (of_label / (1 - of_label)).log())


# ---- how well scores are told apart ----


def naive_auc(positives, negatives):
    won = 0.0
    for positive in positives:
        for negative in negatives:
            won += (positive > negative) + 0.5 * (positive == negative)
    return won / (len(positives) * len(negatives))


def test_auc_counts_pairs_and_ties_half():
    generator = torch.Generator().manual_seed(0)
    positives = torch.randint(0, 5, (7,), generator=generator).tolist()
    negatives = torch.randint(0, 5, (9,), generator=generator).tolist()
    result = auc(torch.tensor(positives), torch.tensor(negatives)).item()
    assert result == pytest.approx(naive_auc(positives, negatives))


def test_auc_of_several_columns():
    positives, negatives = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    assert auc(positives, negatives).tolist() == [1.0, 0.25]


def test_a_rate_needs_enough_negatives():
    assert tpr_at_fpr(torch.ones(10), torch.zeros(999)) is None
    assert tpr_at_fpr(torch.ones(10), torch.zeros(1000)) == 1.0


def test_one_percent_of_the_negatives_may_lie_above_the_threshold():
    negatives = torch.arange(1000)
    # Ten of them, 990 to 999, lie above 989.
    assert tpr_at_fpr(torch.tensor([989.0, 989.5]), negatives) == 0.5


# ---- the neighbour trace ----


def test_the_own_class_does_not_count():
    logits = torch.tensor([[[100.0, 0.0, 0.0]], [[-100.0, 0.0, 0.0]]])  # two networks, one image
    others = over_other_classes(logits, torch.tensor([0]))
    assert others.tolist() == [[0.0, 0.5, 0.5]]


def test_divergence_of_distributions_with_nothing_in_common():
    p, q = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert jensen_shannon(p, q).item() == pytest.approx(math.log(2))
    assert jensen_shannon(p, p).item() == 0


# ---- tug of war ----


def test_tug_of_war_by_hand():
    assert tug_of_war([0.01, -0.05, 0.01]) == pytest.approx(0.931095)
    assert tug_of_war([0.0, 0.0, 0.0]) == 1.0
