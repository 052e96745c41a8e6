"""The score of the NeurIPS 2023 unlearning challenge: forgetting quality times utility.

    F = mean over images of H(epsilon);   score = F x (RA_u / RA_r) x (TA_u / TA_r)

epsilon is how well a threshold on the margin tells unlearned from retrained networks, image by
image. RA and TA are accuracies on the retain set and on test images, of u(nlearned) and r(etrained)
networks. Higher is better; a held-out retrain reaches about 0.19, not 1. Source: Triantafillou et
al., arXiv:2406.09073.

Differs 1: Thresholds are single ones; the challenge's code tries pairs too. More thresholds make
    epsilon larger, so values compare with the same set of thresholds only.
"""

import math

import torch
from torch import Tensor

from audits._audit import Audit, Column
from audits.networks import Networks

DELTA = 1e-5
LARGEST = 50.0  # of epsilon, in place of infinity
NARROW = 0.01  # a spread that is less than this share of the other one is told apart at once


def epsilon(unlearned: Tensor, retrained: Tensor) -> Tensor:
    """How well one threshold on the margin tells the networks apart, for each image; [M], nats.

    unlearned [n, M], retrained [n', M]: margins. The networks with the larger median are the
    positives. A threshold at which exactly one of the two error rates is 0 does not count; where
    both are 0, epsilon is 50.
    """
    unlearned_is_higher = unlearned.quantile(0.5, dim=0) >= retrained.quantile(0.5, dim=0)
    best = torch.zeros(unlearned.shape[1], dtype=torch.float64)
    for threshold in torch.cat([unlearned, retrained]):  # [M], each network's margins once
        unlearned_above = (unlearned > threshold).double().mean(0)
        retrained_above = (retrained > threshold).double().mean(0)
        fpr = torch.where(unlearned_is_higher, retrained_above, unlearned_above)
        fnr = torch.where(unlearned_is_higher, 1 - unlearned_above, 1 - retrained_above)
        best = torch.maximum(best, _at_threshold(fpr, fnr))
    spread_u, spread_r = unlearned.std(0), retrained.std(0)
    is_narrow = (spread_u < NARROW * spread_r) | (spread_r < NARROW * spread_u)
    return torch.where(is_narrow, LARGEST, best)


def _at_threshold(fpr, fnr):
    """epsilon at one threshold for each image, from its two error rates."""
    # Where an error rate is 0 or 1 these are infinite or no numbers; such thresholds are dealt with
    # below, or the other order of the two rates wins.
    first = (1 - DELTA - fpr).log() - fnr.log()
    second = (1 - DELTA - fnr).log() - fpr.log()
    larger = torch.maximum(first.nan_to_num(-LARGEST), second.nan_to_num(-LARGEST))
    none_wrong = (fpr == 0) & (fnr == 0)
    one_wrong = (fpr == 0) ^ (fnr == 0)
    larger = torch.where(none_wrong, LARGEST, larger)
    return torch.where(one_wrong, 0, larger).clamp(max=LARGEST)


def quality(epsilons: Tensor, networks: int) -> float:
    """F: the mean over images of H(epsilon) = 2^-k for epsilon in [k/2, (k+1)/2).

    H is 0 from k = ceil(ln(n - 1)) on. epsilons [M]; networks: n, of unlearned ones.
    """
    k = (2 * epsilons).floor()
    last = math.ceil(math.log(networks - 1)) if networks > 1 else 0
    return float(torch.where(k < last, 2.0**-k, 0).mean())


def measure(candidate: Networks, retrained: Networks, original: Networks) -> dict:
    """{column: value} from the forgotten images, the retained ones and the test images."""
    epsilons = epsilon(candidate.margins["forget"], retrained.margins["forget"])
    forgetting = quality(epsilons, len(candidate))
    utility = 1.0
    for part in ("retain", "test"):
        utility *= candidate.mean_accuracy(part) / retrained.mean_accuracy(part)
    return {"score": forgetting * utility, "F": forgetting, "epsilon": float(epsilons.median())}


AUDIT = Audit(
    title="NeurIPS 2023",
    question="How seldom does a threshold tell unlearned from retrained networks?",
    measure=measure,
    columns={"score": Column("high"), "F": Column("high"), "epsilon": Column("low")},
    least=4,
)
